//! The thread that sleeps on a pool for all of a process' streams whose descriptors are polled.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt as _;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use plasmite_core::{Error, ErrorKind, MAX_SEQ, Pool, Result, Seq, fork_generation};

use crate::readiness::Signal;

/// How long the thread may take to notice that its last stream was freed.
const LOOK: Duration = Duration::from_secs(1);

/// What a process watches: one entry for each pool's file.
#[derive(Debug)]
struct Watches {
    generation: u32,
    list: Mutex<Vec<Arc<Watch>>>,
}

/// Those of the process that looked last. A forked child makes a new list: it has none of its parent's threads, one of
/// which may have held the lock.
static WATCHES: AtomicPtr<Watches> = AtomicPtr::new(ptr::null_mut());

/// One pool's thread.
#[derive(Debug)]
pub(crate) struct Watch {
    pool: Pool,
    /// Device and inode.
    file: (u64, u64),
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How many streams there are, asleep or not. At 0 the thread ends.
    streams: usize,
    sleepers: Vec<Sleeper>,
}

/// A stream that found nothing after `seen`.
#[derive(Debug)]
struct Sleeper {
    seen: Seq,
    signal: Arc<Signal>,
}

impl Watches {
    fn of_this_process() -> &'static Self {
        let current = WATCHES.load(Ordering::Acquire);
        // SAFETY: NULL, or a list that was leaked below.
        let found = unsafe { current.as_ref() };
        if let Some(watches) = found.filter(|w| w.generation == fork_generation()) {
            return watches;
        }
        let list = Mutex::new(Vec::new());
        let new = Box::into_raw(Box::new(Self { generation: fork_generation(), list }));
        // Release, for the Acquire above and on failure here.
        let chosen =
            match WATCHES.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => new,
                Err(of_another_thread) => {
                    // SAFETY: made above, and seen by nobody.
                    drop(unsafe { Box::from_raw(new) });
                    of_another_thread
                }
            };
        // SAFETY: a list that is never freed.
        unsafe { &*chosen }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Watch>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// The watch of the pool's file, with one stream more.
    pub(crate) fn join(pool: &Pool) -> Result<Arc<Self>> {
        let fail = |what: &str, e: io::Error| {
            Error::new(ErrorKind::Io, format!("cannot {what}: {e}")).with_path(pool.path())
        };
        let facts = pool.file().metadata().map_err(|e| fail("look at the pool", e))?;
        let file = (facts.dev(), facts.ino());
        let mut list = Watches::of_this_process().list();
        if let Some(watch) = list.iter().find(|watch| watch.file == file) {
            watch.waiting().streams += 1;
            return Ok(Arc::clone(watch));
        }
        let watch = Arc::new(Self {
            pool: pool.clone(),
            file,
            waiting: Mutex::new(Waiting { streams: 1, sleepers: Vec::new() }),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&watch);
        spawn_deaf(move || of_thread.run()).map_err(|e| fail("start a thread", e))?;
        list.push(Arc::clone(&watch));
        Ok(watch)
    }

    /// One stream less.
    pub(crate) fn leave(&self, signal: &Arc<Signal>) {
        let mut list = Watches::of_this_process().list();
        let mut waiting = self.waiting();
        waiting.sleepers.retain(|sleeper| !Arc::ptr_eq(&sleeper.signal, signal));
        waiting.streams -= 1;
        if waiting.streams == 0 {
            list.retain(|watch| !ptr::eq(Arc::as_ptr(watch), self));
            self.changed.notify_one();
        }
    }

    /// Clears `signal`, and sets it once there is a message after `seen`, or no more hope for one.
    pub(crate) fn wake_after(&self, seen: Seq, signal: &Arc<Signal>) {
        let mut waiting = self.waiting();
        waiting.sleepers.retain(|sleeper| !Arc::ptr_eq(&sleeper.signal, signal));
        signal.clear();
        // The thread never waits for more than the message after the newest one, and looks at the sleepers each time: what is
        // committed after this look wakes it, and it finds this sleeper.
        if self.newest() > seen {
            signal.set();
            return;
        }
        waiting.sleepers.push(Sleeper { seen, signal: Arc::clone(signal) });
        self.changed.notify_one();
    }

    /// True when no message comes to its file any more.
    pub(crate) fn is_over(&self) -> bool {
        self.pool.bounds().is_err()
    }

    fn run(&self) {
        loop {
            let mut waiting = self.waiting();
            while waiting.sleepers.is_empty() {
                if waiting.streams == 0 {
                    return;
                }
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let newest = self.newest();
            waiting.wake_before(newest);
            drop(waiting);
            // An error is for the readers to get.
            if self.pool.wait(newest, Some(LOOK)).is_err() {
                self.waiting().wake_before(MAX_SEQ);
            }
        }
    }

    /// As far as readers should look: all the way, when there is an error for them to get.
    fn newest(&self) -> Seq {
        self.pool.bounds().map_or(MAX_SEQ, |bounds| bounds.newest)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Wakes who has not seen all up to `newest`.
    fn wake_before(&mut self, newest: Seq) {
        self.sleepers.retain(|sleeper| {
            let goes_on_sleeping = sleeper.seen >= newest;
            if !goes_on_sleeping {
                sleeper.signal.set();
            }
            goes_on_sleeping
        });
    }
}

/// Starts a thread that takes no signals but SIGBUS: they are the program's, whose own threads wait for them.
fn spawn_deaf(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both places are for the sets that the calls write; a thread inherits the mask of the one that starts it.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        // Its own: what it reads may be cut under it, and the kernel ends a process that blocks the signal of that.
        libc::sigdelset(all.as_mut_ptr(), libc::SIGBUS);
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = thread::Builder::new().name("plasmite-watch".to_owned()).spawn(run);
    // SAFETY: the set was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    started.map(drop)
}
