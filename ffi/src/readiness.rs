//! A file descriptor that is readable while a stream has something to say, for event loops.
//!
//! One thread for each pool ([`Watch`]) sleeps in the stead of all its streams. It is told anew each time a read has found
//! nothing, so that a busy stream costs it nothing.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plasmite_core::{Error, ErrorKind, Pool, Result, Seq, fork_generation};

use crate::watch::Watch;

/// A descriptor that one thread makes readable and another one clears; neither ever waits.
#[derive(Debug)]
pub(crate) struct Signal(File);

impl Signal {
    fn new() -> Result<Self> {
        // SAFETY: no pointer is given.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            let why = std::io::Error::last_os_error();
            let what = format!("cannot make a file descriptor to poll: {why}");
            return Err(Error::new(ErrorKind::Io, what));
        }
        // SAFETY: a descriptor just made, which nobody else has.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    pub(crate) fn set(&self) {
        // It can only fail by being full, and then it is readable.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    pub(crate) fn clear(&self) {
        // One read takes all that was written; it can only fail by there being nothing.
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

/// The descriptor of one stream.
#[derive(Debug)]
pub(crate) struct Readiness {
    signal: Arc<Signal>,
    /// Of the file that the stream reads, as of when it found nothing there.
    watch: Mutex<Arc<Watch>>,
    /// A forked child has neither the thread nor a descriptor of its own: it keeps its hands off.
    generation: u32,
}

impl Readiness {
    /// A descriptor that is readable until the first read finds nothing.
    pub(crate) fn new(pool: &Pool) -> Result<Self> {
        let signal = Arc::new(Signal::new()?);
        signal.set();
        let watch = Mutex::new(Watch::join(pool)?);
        Ok(Self { signal, watch, generation: fork_generation() })
    }

    pub(crate) fn fd(&self) -> Result<RawFd> {
        if !self.is_ours() {
            return Err(Error::usage("the stream's descriptor belongs to the process that forked")
                .with_hint("open a new stream"));
        }
        Ok(self.signal.0.as_raw_fd())
    }

    fn is_ours(&self) -> bool {
        self.generation == fork_generation()
    }

    /// Nothing is there in `pool` after `seen`: not readable, until there is.
    pub(crate) fn found_nothing_after(&self, pool: &Pool, seen: Seq) -> Result<()> {
        if !self.is_ours() {
            return Ok(());
        }
        let mut watch = self.watch();
        if watch.is_over() {
            // The pool was resized, so that `pool` is in another file.
            let new = Watch::join(pool)?;
            watch.leave(&self.signal);
            *watch = new;
        }
        watch.wake_after(seen, &self.signal);
        Ok(())
    }

    fn watch(&self) -> MutexGuard<'_, Arc<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        if self.is_ours() {
            self.watch().leave(&self.signal);
        }
    }
}
