//! Ends the wait of a reader that has a signal to act upon.
//!
//! The kernel tells it with an INTERRUPT request. The FUSE library answers that one itself, with ENOSYS, and tells of it
//! nowhere but in its log of requests, which it writes before it answers; so the log is where we listen ([`listen`]). Answering
//! the read there and then has a second effect: the library's ENOSYS arrives for a request that is no more, and the kernel
//! ignores it. Had it arrived earlier, the kernel would send no INTERRUPT for that mount any more: its readers would wait in
//! state D, deaf even to SIGKILL.
//!
//! So nothing may depend on it. A reader that waits in state S has an INTERRUPT to come, and costs nothing. For one that waits in
//! state D, or when nobody listens, a thread looks at the signals pending for the reader. A library that hands INTERRUPT on
//! replaces this file.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};

use crate::numbers::ByNumber;
use crate::procs;
use crate::sync::{lock, small_thread};

const SHORTEST: Duration = Duration::from_millis(25);
const PER_READER: Duration = Duration::from_micros(500);
const LONGEST: Duration = Duration::from_millis(80);
/// How long the thread stays without a reader to look at.
const LINGER: Duration = Duration::from_secs(2);
/// An INTERRUPT may come before the other worker has got the read so far that it waits. So long it is waited for.
const GRACE: Duration = Duration::from_millis(10);
/// No read is tried for so long.
const TRYING: Duration = Duration::from_secs(1);

/// Whether the library's log of requests comes to us.
static LISTENING: AtomicBool = AtomicBool::new(false);
/// The mounts of this process.
static MOUNTS: Mutex<Vec<Weak<Interrupts>>> = Mutex::new(Vec::new());

/// Takes back a read that waits. False: it can't be found right now, ask again.
pub(crate) type Cancel = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// The reads that wait, and the thread that looks after their readers.
#[derive(Default)]
pub(crate) struct Interrupts {
    state: Mutex<State>,
    /// A read has come to be watched.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    watched: ByNumber<u64, Watched>,
    /// Ids of reads by the kernel's numbers for them.
    requests: ByNumber<u64, u64>,
    running: bool,
}

#[derive(Clone)]
struct Watched {
    tid: u32,
    request: u64,
    /// It could be looked at once; so when it can't any more, it is gone.
    seen: bool,
    /// The kernel is going to tell when it is interrupted: there is no need to look.
    told: bool,
    cancel: Cancel,
}

impl Interrupts {
    /// Has this mount get the INTERRUPT requests of its kernel.
    pub(crate) fn attend(self: &Arc<Self>) {
        let mut mounts = lock(&MOUNTS);
        mounts.retain(|mount| mount.strong_count() > 0);
        mounts.push(Arc::downgrade(self));
    }

    /// Watches the reader `tid` of the waiting read `id`, which is the kernel's `request`; `cancel` is called when it is to end.
    pub(crate) fn watch(self: &Arc<Self>, id: u64, request: u64, tid: u32, cancel: Cancel) {
        let mut state = lock(&self.state);
        state.watched.insert(id, Watched { tid, request, seen: false, told: false, cancel });
        state.requests.insert(request, id);
        self.changed.notify_all();
        if !state.running {
            let me = Arc::clone(self);
            // Without the thread a reader is still answered by the next message.
            state.running = small_thread("pool-signals", move || me.run()).is_ok();
        }
    }

    /// The read was answered.
    pub(crate) fn forget(&self, id: u64) {
        let mut state = lock(&self.state);
        if let Some(watched) = state.watched.remove(&id) {
            state.requests.remove(&watched.request);
        }
    }

    fn run(&self) {
        while let Some(round) = self.next_round() {
            let interval = (PER_READER * round.len() as u32).clamp(SHORTEST, LONGEST);
            std::thread::sleep(interval);
            for (id, watched) in round {
                self.look(id, &watched);
            }
        }
    }

    /// The reads to look at; None when there were none for a while, which ends the thread.
    fn next_round(&self) -> Option<Vec<(u64, Watched)>> {
        let nothing_to_do = |state: &mut State| state.watched.values().all(|w| w.told);
        let mut state = lock(&self.state);
        if nothing_to_do(&mut state) {
            let (again, _) = self
                .changed
                .wait_timeout_while(state, LINGER, nothing_to_do)
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
        }
        let round: Vec<_> =
            state.watched.iter().filter(|(_, w)| !w.told).map(|(id, w)| (*id, w.clone())).collect();
        state.running = !round.is_empty();
        state.running.then_some(round)
    }

    fn look(&self, id: u64, watched: &Watched) {
        let status = procs::status(watched.tid);
        let over = match status {
            Some(status) => status.ended || status.signalled,
            None => watched.seen,
        };
        if over {
            if lock(&self.state).watched.contains_key(&id) && (watched.cancel)(id) {
                self.forget(id);
            }
        } else if let Some(status) = status
            && let Some(watched) = lock(&self.state).watched.get_mut(&id)
        {
            watched.seen = true;
            watched.told = status.interruptible && LISTENING.load(Ordering::Relaxed);
        }
    }

    /// The kernel interrupts a request. It is answered before this returns, if it is a read that waits.
    fn interrupted(self: &Arc<Self>, request: u64) {
        let end = Instant::now() + GRACE;
        let mut found = false;
        let mut state = lock(&self.state);
        loop {
            if let Some((id, cancel)) = state
                .requests
                .get(&request)
                .and_then(|id| Some((*id, Arc::clone(&state.watched.get(id)?.cancel))))
            {
                drop(state);
                if cancel(id) {
                    return self.forget(id);
                }
                // It is being tried at this moment: it is answered, or found again.
                found = true;
                std::thread::sleep(Duration::from_micros(50));
                state = lock(&self.state);
                if Instant::now() < end + TRYING {
                    continue;
                }
            }
            if found && !state.requests.contains_key(&request) {
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let (again, _) = self
                .changed
                .wait_timeout(state, left.min(Duration::from_millis(1)))
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
        }
        drop(state);
        self.doubt();
    }

    /// An INTERRUPT may have been lost: every reader is looked at again.
    fn doubt(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.watched.values_mut().for_each(|watched| watched.told = false);
        self.changed.notify_all();
        if !state.running && !state.watched.is_empty() {
            let me = Arc::clone(self);
            state.running = small_thread("pool-signals", move || me.run()).is_ok();
        }
    }
}

/// Has everything that is logged go to `logger`, up to `level`, and lets the mounts of this process listen to what the FUSE
/// library logs. For programs that serve a mount: without it a reader's signals are found by looking for them, which costs
/// time for each reader that waits.
///
/// # Errors
/// When this process has a logger already.
pub fn listen(logger: Box<dyn Log>, level: LevelFilter) -> Result<(), SetLoggerError> {
    log::set_boxed_logger(Box::new(Listener { logger, level }))?;
    log::set_max_level(level.max(LevelFilter::Debug));
    LISTENING.store(true, Ordering::Relaxed);
    Ok(())
}

struct Listener {
    logger: Box<dyn Log>,
    level: LevelFilter,
}

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level && self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() == Level::Debug
            && record.target() == "fuser::request"
            && let Some(request) = interrupted_request(record.args())
        {
            tell(request);
        }
        if record.level() <= self.level {
            self.logger.log(record);
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

/// Tells the mount whose request it is.
fn tell(request: u64) {
    let mounts: Vec<_> = lock(&MOUNTS).iter().filter_map(Weak::upgrade).collect();
    match &mounts[..] {
        [mount] => mount.interrupted(request),
        // The numbers are each mount's own, and the log does not say which one it is.
        several => several.iter().for_each(Interrupts::doubt),
    }
}

/// The request that is interrupted, when this is the log's text for an INTERRUPT:
/// `FUSE(NUMBER|1) ino 0x0000000000000000 INTERRUPT …`.
fn interrupted_request(text: &std::fmt::Arguments<'_>) -> Option<u64> {
    let mut start = Start::default();
    // It fails as soon as there is enough of it.
    let _ = start.write_fmt(*text);
    let text = std::str::from_utf8(start.bytes.get(..start.len)?).ok()?;
    let (number, rest) = text.strip_prefix("FUSE(")?.split_once(')')?;
    rest.strip_prefix(" ino 0x0000000000000000 INTERRUPT")?;
    Some(number.trim_start().parse::<u64>().ok()? & !1)
}

/// The beginning of a text, or nothing as soon as it shows that it is not the one.
struct Start {
    bytes: [u8; 64],
    len: usize,
    /// The number of the request has come.
    numbered: bool,
}

impl Default for Start {
    fn default() -> Self {
        Self { bytes: [0; 64], len: 0, numbered: false }
    }
}

impl std::fmt::Write for Start {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        // This runs for every request. The kernel gives odd numbers to nothing but INTERRUPTs, so most texts end here.
        if !self.numbered && piece.starts_with(|c: char| c.is_ascii_digit()) {
            self.numbered = true;
            if piece.as_bytes().last().is_some_and(|digit| digit.is_multiple_of(2)) {
                self.len = 0;
                return Err(std::fmt::Error);
            }
        }
        let room = &mut self.bytes[self.len..];
        let taken = piece.len().min(room.len());
        room[..taken].copy_from_slice(&piece.as_bytes()[..taken]);
        self.len += taken;
        if taken < piece.len() { Err(std::fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_told_from_other_requests_by_the_text_of_the_log() {
        for (number, inode, rest, expected) in [
            (9, 0_u64, "INTERRUPT unique RequestId(8)", Some(8)),
            (u64::MAX, 0, "INTERRUPT unique RequestId(1)", Some(u64::MAX - 1)),
            (8, 0, "BATCH_FORGET", None),
            (9, 0, "BATCH_FORGET", None),
            (8, 0, "INTERRUPT unique RequestId(8)", None),
            (9, 1, "INTERRUPT unique RequestId(8)", None),
            (8, 1 << 60, "READ fh 1, offset 0, size 4096", None),
        ] {
            let found = interrupted_request(&format_args!(
                "FUSE({number:3}) ino {inode:#018x} {rest} thread=x"
            ));
            assert_eq!(found, expected, "{rest}");
        }
        assert_eq!(interrupted_request(&format_args!("")), None);
        assert_eq!(interrupted_request(&format_args!("{}", "é".repeat(99))), None);
    }
}
