//! Writers whose messages one sync made safe are woken together, and mostly append again at once. The next sync is worth most if
//! it covers all of them: so whoever comes back first sleeps for a moment, and the last to come back makes the sync.
//!
//! All of this is a guess that costs at most a part of a sync when it is wrong; who never shares a sync never waits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::sys::clock::Instant;
use crate::sys::map::Map;

/// The longest wait for others, on a disk however slow.
const MAX_WAIT: Duration = Duration::from_millis(1);
/// The shortest: less than this no sleep can be.
const MIN_WAIT: Duration = Duration::from_micros(20);

/// How many times its own messages somebody who is alone must expect in order to wait. Of two writers the one would be held up for
/// as long as the other does something else, and win little. Under the model checker there are mostly two.
const WORTH_IT: u64 = if cfg!(test) { 2 } else { 3 };

/// What one process knows of those who shared its last sync.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Company {
    /// How many messages they wait for syncs with, when all are back, and by when they should be.
    expected: Option<(u64, Instant)>,
}

impl Company {
    /// After a sync of so many messages that others waited for too, by a process that waited for it since `since`.
    pub(super) fn met(messages: u64, since: Instant) -> Self {
        let wait = (since.elapsed() / 2).clamp(MIN_WAIT, MAX_WAIT);
        Self { expected: Instant::now().checked_add(wait).map(|until| (messages, until)) }
    }

    /// How long to wait for others now, who have the time until then to ask for a sync. None: all are here, or nobody will come, or
    /// too few for somebody who is the first to wait.
    pub(super) fn is_missed_for(&self, map: &Map, is_first: bool) -> Option<Duration> {
        let (messages, until) = self.expected?;
        let asked = map.flush_target().load(Ordering::Relaxed);
        let waiting = asked.saturating_sub(map.durable().load(Ordering::Relaxed));
        let left = until.saturating_duration_since(Instant::now());
        let enough =
            if is_first { waiting.saturating_mul(WORTH_IT) } else { waiting.saturating_add(1) };
        (messages >= enough && !left.is_zero()).then_some(left)
    }
}
