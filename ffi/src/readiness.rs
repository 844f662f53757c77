//! A file descriptor that is readable while a stream has something to say, for event loops.
//!
//! A thread of the library sleeps in the stream's stead. It is asked anew each time a read has found nothing, so that a busy stream
//! costs it nothing.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use plasmite_core::{Error, ErrorKind, Pool, Result, Seq};

/// How long the thread may take to notice that its stream was freed.
const LOOK: Duration = Duration::from_millis(100);

/// The readable end, and the thread that makes it so. The thread ends soon after this is dropped.
#[derive(Debug)]
pub(crate) struct Readiness {
    watch: Arc<Watch>,
    /// A forked child has neither the thread nor a descriptor of its own: it keeps its hands off.
    process: u32,
}

#[derive(Debug)]
struct Watch {
    pool: Pool,
    /// Holds a byte while the stream should be read. Neither end ever blocks.
    readable: UnixStream,
    writable: UnixStream,
    order: Mutex<Order>,
    changed: Condvar,
}

/// What the thread is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Rest,
    /// Make the descriptor readable when there is a message after this one, or no more hope for one.
    WatchAfter(Seq),
    Stop,
}

impl Readiness {
    /// A descriptor that is readable until the first read finds nothing.
    pub(crate) fn new(pool: Pool) -> Result<Self> {
        let ends = || -> io::Result<(UnixStream, UnixStream)> {
            let (readable, writable) = UnixStream::pair()?;
            readable.set_nonblocking(true)?;
            writable.set_nonblocking(true)?;
            Ok((readable, writable))
        };
        let fail = |e: io::Error| {
            Error::new(ErrorKind::Io, format!("cannot make a file descriptor to poll: {e}"))
        };
        let (readable, writable) = ends().map_err(fail)?;
        let order = Mutex::new(Order::Rest);
        let watch = Arc::new(Watch { pool, readable, writable, order, changed: Condvar::new() });
        watch.signal();
        let thread = thread::Builder::new().name("plasmite-watch".to_owned());
        let of_thread = Arc::clone(&watch);
        thread.spawn(move || of_thread.run()).map_err(fail)?;
        Ok(Self { watch, process: std::process::id() })
    }

    pub(crate) fn fd(&self) -> Result<RawFd> {
        if !self.is_ours() {
            return Err(Error::usage("the stream's descriptor belongs to the process that forked")
                .with_hint("open a new stream"));
        }
        Ok(self.watch.readable.as_raw_fd())
    }

    fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    /// Nothing is there after `seen`: not readable, until there is.
    pub(crate) fn found_nothing_after(&self, seen: Seq) {
        if !self.is_ours() {
            return;
        }
        let mut order = self.watch.order();
        self.watch.clear();
        *order = Order::WatchAfter(seen);
        self.watch.changed.notify_one();
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        if self.is_ours() {
            *self.watch.order() = Order::Stop;
            self.watch.changed.notify_one();
        }
    }
}

impl Watch {
    fn run(&self) {
        loop {
            let mut order = self.order();
            while *order == Order::Rest {
                order = self.changed.wait(order).unwrap_or_else(PoisonError::into_inner);
            }
            let Order::WatchAfter(seen) = *order else { return };
            drop(order);
            // An error is for the reader to get, too.
            if self.pool.wait(seen, Some(LOOK)).unwrap_or(true) {
                let mut order = self.order();
                // Otherwise somebody has read on meanwhile, and asked for something else.
                if *order == Order::WatchAfter(seen) {
                    *order = Order::Rest;
                    self.signal();
                }
            }
        }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self) {
        // It can only fail by being full, and then it is readable.
        let _ = (&self.writable).write(&[1]);
    }

    fn clear(&self) {
        let mut bytes = [0; 16];
        while matches!((&self.readable).read(&mut bytes), Ok(n) if n == bytes.len()) {}
    }
}
