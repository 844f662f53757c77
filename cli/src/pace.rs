//! `--replay`: messages at the pace at which they were appended, faster or slower.

use std::thread;
use std::time::{Duration, Instant};

use plasmite_core::Timestamp;

/// A pause no longer than this, whatever the times say.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// When each message is due, from when the first one was delivered.
#[derive(Debug)]
pub(crate) struct Pace {
    speed: f64,
    first: Option<(Timestamp, Instant)>,
}

impl Pace {
    /// The original pace times `speed`, which is above zero.
    pub(crate) fn new(speed: f64) -> Self {
        Self { speed, first: None }
    }

    /// How long it is from `now` until a message of `time` is due; the first one is due at once.
    fn pause(&mut self, time: Timestamp, now: Instant) -> Duration {
        let (first, began) = *self.first.get_or_insert((time, now));
        let nanos = time.as_nanos().saturating_sub(first.as_nanos());
        let due =
            Duration::try_from_secs_f64(Duration::from_nanos(nanos).as_secs_f64() / self.speed);
        let due = due.unwrap_or(LONGEST).min(LONGEST);
        due.saturating_sub(now.saturating_duration_since(began))
    }

    /// True when a message of `time` is due; otherwise waits until it is, after calling `before`.
    pub(crate) fn wait<E>(
        &mut self,
        time: Timestamp,
        before: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let pause = self.pause(time, Instant::now());
        if !pause.is_zero() {
            before()?;
            // What `before` took is part of the pause.
            thread::sleep(self.pause(time, Instant::now()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_of_the_writer_divided_by_the_speed() {
        let now = Instant::now();
        let at = |seconds: u64| Timestamp::from_nanos((100 + seconds) * 1_000_000_000);
        let mut pace = Pace::new(2.0);
        assert_eq!(pace.pause(at(0), now), Duration::ZERO);
        assert_eq!(pace.pause(at(4), now), Duration::from_secs(2));
        assert_eq!(pace.pause(at(4), now + Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(pace.pause(at(4), now + Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn no_speed_overflows() {
        let now = Instant::now();
        for speed in [f64::MIN_POSITIVE, 1e-300, 1e300, f64::MAX] {
            let mut pace = Pace::new(speed);
            assert_eq!(pace.pause(Timestamp::from_nanos(1), now), Duration::ZERO);
            assert!(pace.pause(Timestamp::from_nanos(u64::MAX), now) <= LONGEST);
        }
    }
}
