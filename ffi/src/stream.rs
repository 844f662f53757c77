//! Streams: a cursor that several threads may share, each message going to one of them.

use std::ffi::c_int;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use plasmite_core::{Error, Message, Pool, Result, Seq, Tail, TailOptions, Waited};

use crate::args::{Out, borrow};
use crate::buffers::Buf;
use crate::envelope;
use crate::error::CError;
use crate::guard::{OK, fallible};
use crate::handles::{StreamHandle, free};
use crate::readiness::Readiness;

/// The stream has ended.
const END: c_int = 0;
/// There is at least one message.
const MESSAGE: c_int = 1;
/// No message came in the time given; more may come.
const AGAIN: c_int = 2;

#[derive(Debug)]
pub(crate) struct Stream {
    timeout: Option<Duration>,
    /// Microseconds for which a wait spins before it sleeps.
    spin_us: AtomicU32,
    /// The last wait that spun did so for what comes after this message: the next such ones sleep at once.
    spun_after: AtomicU64,
    /// Held while messages are copied, never while waiting.
    cursor: Mutex<Cursor>,
    /// Made when it is asked for.
    readiness: OnceLock<Readiness>,
}

#[derive(Debug)]
struct Cursor {
    tail: Tail,
    /// Its memory is used again for each message.
    message: Message,
    /// What stopped a batch that had messages to deliver before it.
    pending: Option<Error>,
}

/// How much one read takes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    messages: u64,
    bytes: u64,
}

/// What a signal handler that runs during a wait does to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signals {
    Nothing,
    EndTheWait,
}

/// What came of waiting for a message.
enum Step<T> {
    Got(T),
    Ended,
    Nothing,
}

impl Stream {
    pub(crate) fn new(pool: &Pool, tail: TailOptions, timeout: Option<Duration>) -> Result<Self> {
        let tail = pool.tail(tail)?;
        let message = Message::default();
        let cursor = Mutex::new(Cursor { tail, message, pending: None });
        Ok(Self {
            timeout,
            spin_us: AtomicU32::new(0),
            spun_after: AtomicU64::new(u64::MAX),
            cursor,
            readiness: OnceLock::new(),
        })
    }

    fn fd(&self) -> Result<RawFd> {
        if self.readiness.get().is_none() {
            // Of two threads that come here at once, one is in vain.
            let _ = self.readiness.set(Readiness::new(self.cursor().tail.pool())?);
        }
        self.readiness.get().map_or(Ok(-1), Readiness::fd)
    }

    /// True when a message has come while this thread looked for it.
    fn spin(&self, pool: &Pool, seen: Seq, left: Option<Duration>) -> Result<bool> {
        let spin = Duration::from_micros(self.spin_us.load(Ordering::Relaxed).into());
        if spin.is_zero() || self.spun_after.swap(seen.get(), Ordering::Relaxed) == seen.get() {
            return Ok(false);
        }
        pool.spin(seen, left.map_or(spin, |left| left.min(spin)))
    }

    /// Waits for a message after `seen`, or for a signal handler. No other thread brings the stream to its end without a message after
    /// `seen`.
    fn wait(
        &self,
        pool: &Pool,
        seen: Seq,
        left: Option<Duration>,
        signals: Signals,
    ) -> Result<Waited> {
        if self.spin(pool, seen, left)? {
            return Ok(Waited::Newer);
        }
        match signals {
            Signals::EndTheWait => pool.wait_or_signal(seen, left),
            Signals::Nothing if pool.wait(seen, left)? => Ok(Waited::Newer),
            Signals::Nothing => Ok(Waited::TimeOut),
        }
    }

    /// Nothing has come in time.
    fn give_up(&self, pool: &Pool, seen: Seq) -> Result<()> {
        let Some(readiness) = self.readiness.get() else { return Ok(()) };
        // Nobody who waits elsewhere tells this stream of a file that was removed.
        pool.check_alive()?;
        readiness.found_nothing_after(pool, seen)
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is there, or waits until `take` finds something, or until a signal handler ran if that is to end the wait.
    fn wait_for<T>(
        &self,
        timeout: Option<Duration>,
        signals: Signals,
        take: impl Fn(&mut Cursor) -> Result<Option<T>>,
    ) -> Result<Step<T>> {
        let mut end = None;
        loop {
            let (pool, seen) = {
                let mut cursor = self.cursor();
                if let Some(taken) = take(&mut cursor)? {
                    return Ok(Step::Got(taken));
                }
                if cursor.tail.is_done() {
                    return Ok(Step::Ended);
                }
                (cursor.tail.pool().clone(), cursor.tail.position().prev())
            };
            // Without a limit, or with one beyond what the clock can tell: None.
            let end = *end.get_or_insert_with(|| {
                timeout.and_then(|timeout| Instant::now().checked_add(timeout))
            });
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            // Messages that `take` has no use for do not lengthen the wait.
            let is_over = left == Some(Duration::ZERO);
            let waited = if is_over {
                self.give_up(&pool, seen).map(|()| Waited::TimeOut)
            } else {
                self.wait(&pool, seen, left, signals)
            };
            match waited {
                // The cursor goes on in the pool's new file.
                Err(_) if pool.in_new_file().is_some() => {}
                Err(error) => return Err(error),
                Ok(Waited::Interrupted) if signals == Signals::EndTheWait => {
                    return Ok(Step::Nothing);
                }
                Ok(_) if is_over => return Ok(Step::Nothing),
                Ok(_) => {}
            }
        }
    }
}

impl Cursor {
    fn next(&mut self) -> Result<bool> {
        match self.pending.take() {
            Some(error) => Err(error),
            None => self.tail.try_next_into(&mut self.message),
        }
    }

    fn next_envelope(&mut self) -> Result<Option<String>> {
        Ok(self.next()?.then(|| envelope::of(&self.message)))
    }

    fn next_lines(&mut self, limits: Limits) -> Result<Option<String>> {
        let mut lines = String::new();
        let mut count = 0;
        while count < limits.messages && (lines.len() as u64) < limits.bytes {
            match self.next() {
                Ok(true) => self.message.write_line(&mut lines),
                Ok(false) => break,
                Err(e) if lines.is_empty() => return Err(e),
                Err(e) => {
                    self.pending = Some(e);
                    break;
                }
            }
            count += 1;
        }
        Ok((count > 0).then_some(lines))
    }
}

/// Frees a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_free(stream: *mut StreamHandle) {
    // SAFETY: the caller keeps what the header asks for.
    unsafe { free(stream) }
}

/// The next message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_next(
    stream: *const StreamHandle,
    out_message: *mut Buf,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_message, "out_message", Buf::EMPTY)?;
            let stream = &borrow(stream, "stream")?.0;
            Ok(match stream.wait_for(stream.timeout, Signals::Nothing, Cursor::next_envelope)? {
                Step::Got(envelope) => {
                    out.set(envelope.into());
                    MESSAGE
                }
                Step::Ended | Step::Nothing => END,
            })
        })
    }
}

/// The next messages, as many as are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_read(
    stream: *const StreamHandle,
    max_messages: u64,
    max_bytes: u64,
    wait_ms: u64,
    out_lines: *mut Buf,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_lines, "out_lines", Buf::EMPTY)?;
            let stream = &borrow(stream, "stream")?.0;
            let or_all = |limit: u64| if limit == 0 { u64::MAX } else { limit };
            let limits = Limits { messages: or_all(max_messages), bytes: or_all(max_bytes) };
            let wait = (wait_ms != u64::MAX).then(|| Duration::from_millis(wait_ms));
            let take = |cursor: &mut Cursor| cursor.next_lines(limits);
            Ok(match stream.wait_for(wait, Signals::EndTheWait, take)? {
                Step::Got(lines) => {
                    out.set(lines.into());
                    MESSAGE
                }
                Step::Ended => END,
                Step::Nothing => AGAIN,
            })
        })
    }
}

/// A file descriptor to wait on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_fd(
    stream: *const StreamHandle,
    out_fd: *mut c_int,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_fd, "out_fd", -1)?;
            let stream = &borrow(stream, "stream")?.0;
            out.set(stream.fd()?);
            Ok(OK)
        })
    }
}

/// Lets waits spin before they sleep.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_set_spin(
    stream: *const StreamHandle,
    spin_us: u32,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            borrow(stream, "stream")?.0.spin_us.store(spin_us, Ordering::Relaxed);
            Ok(OK)
        })
    }
}
