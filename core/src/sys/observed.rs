//! Shared words under observation, for the engine's own tests: a thread may have an [`Observer`], which sees each access that
//! the engine makes to shared memory, each sleep, wake and sync, and decides what comes of it. Without one, everything is as
//! in a normal build.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::futex::Ended;

/// What is accessed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Word(&'a AtomicU64),
    Half(&'a AtomicU32),
}

impl Cell<'_> {
    pub(crate) fn address(self) -> usize {
        match self {
            Self::Word(word) => word.as_ptr() as usize,
            Self::Half(half) => half.as_ptr() as usize,
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Word(_) => 8,
            Self::Half(_) => 4,
        }
    }

    pub(crate) fn load(self) -> u64 {
        match self {
            Self::Word(word) => word.load(Ordering::SeqCst),
            Self::Half(half) => half.load(Ordering::SeqCst).into(),
        }
    }

    pub(crate) fn store(self, value: u64) {
        match self {
            Self::Word(word) => word.store(value, Ordering::SeqCst),
            Self::Half(half) => half.store(value as u32, Ordering::SeqCst),
        }
    }
}

/// The next value for the present one; None: leave it.
pub(crate) type Change<'a> = &'a mut dyn FnMut(u64) -> Option<u64>;

/// Sees and decides what one thread does to shared memory. The defaults do it, on the memory itself; an observer that does so
/// too is alone with it, so that a load and a store are as good as one instruction.
pub(crate) trait Observer {
    fn load(&self, cell: Cell<'_>, _order: Ordering) -> u64 {
        cell.load()
    }

    fn store(&self, cell: Cell<'_>, value: u64, _order: Ordering) {
        cell.store(value);
    }

    /// A read-modify-write operation: the value before, in `Err` when it was left.
    fn update(
        &self,
        cell: Cell<'_>,
        _success: Ordering,
        _failure: Ordering,
        change: Change<'_>,
    ) -> Result<u64, u64> {
        let now = cell.load();
        match change(now) {
            Some(next) => {
                cell.store(next);
                Ok(now)
            }
            None => Err(now),
        }
    }

    fn fence(&self, _order: Ordering) {}

    /// Sleeps while the lower half of each cell is what is expected of it.
    fn sleep_on(&self, cells: &[(Cell<'_>, u32)], timeout: Duration) -> Ended;

    /// Wakes up to `count` sleepers; how many that were.
    fn wake(&self, cell: Cell<'_>, count: i32) -> u32;

    /// Where a sleeper is woken if this thread dies from now on.
    fn last_will(&self, _cell: Option<Cell<'_>>) {}

    /// A file was mapped.
    fn mapped(&self, _start: usize, _bytes: usize) {}

    /// Syncs the file from the page of byte `from` on.
    fn sync(&self, from: usize) -> io::Result<()>;

    /// Before what the kernel does for all processes: locks. False: this process is dead and does nothing any more.
    fn system_call(&self) -> bool {
        true
    }

    /// The time since some moment.
    fn now(&self) -> Duration;

    /// Nothing to do until another thread has done something, or some time is over.
    fn pause(&self);
}

thread_local! {
    static OBSERVER: RefCell<Option<Rc<dyn Observer>>> = const { RefCell::new(None) };
}

/// The observer of this thread. The borrow does not last: the observer may switch to another task.
pub(crate) fn observer() -> Option<Rc<dyn Observer>> {
    OBSERVER.with_borrow(Clone::clone)
}

/// Puts an observer in place until the guard is dropped.
pub(crate) fn observe(observer: Rc<dyn Observer>) -> Observing {
    Observing(OBSERVER.replace(Some(observer)))
}

/// The observer before comes back when this is dropped.
pub(crate) struct Observing(Option<Rc<dyn Observer>>);

impl Drop for Observing {
    fn drop(&mut self) {
        OBSERVER.set(self.0.take());
    }
}

pub(crate) fn fence(order: Ordering) {
    match observer() {
        Some(observer) => observer.fence(order),
        None => std::sync::atomic::fence(order),
    }
}

/// The same as in a normal build; a thread that would wait is not run until others have.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let Some(observer) = observer() else {
        return mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    };
    loop {
        match super::word::try_lock(mutex) {
            Some(guard) => return guard,
            None => observer.pause(),
        }
    }
}

macro_rules! observed {
    ($name:ident, $cell:ident, $atomic:ty, $int:ty) => {
        /// An atomic whose accesses are observed.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name($atomic);

        #[allow(dead_code, reason = "one has what the other needs")]
        impl $name {
            pub(crate) const fn new(value: $int) -> Self {
                Self(<$atomic>::new(value))
            }

            /// # Safety
            /// As the standard library's atomic of this size.
            pub(crate) unsafe fn from_ptr<'a>(at: *mut $int) -> &'a Self {
                // SAFETY: an integer of this size and alignment, as the caller vouches for; this type is transparent.
                unsafe { &*at.cast() }
            }

            pub(crate) const fn as_ptr(&self) -> *mut $int {
                self.0.as_ptr()
            }

            pub(crate) fn cell(&self) -> Cell<'_> {
                Cell::$cell(&self.0)
            }

            pub(crate) fn load(&self, order: Ordering) -> $int {
                match observer() {
                    Some(observer) => observer.load(self.cell(), order) as $int,
                    None => self.0.load(order),
                }
            }

            pub(crate) fn store(&self, value: $int, order: Ordering) {
                match observer() {
                    Some(observer) => observer.store(self.cell(), value.into(), order),
                    None => self.0.store(value, order),
                }
            }

            fn update(&self, order: Ordering, change: impl Fn($int) -> $int) -> $int {
                let changed = match observer() {
                    Some(observer) => observer
                        .update(self.cell(), order, order, &mut |now| {
                            Some(change(now as $int).into())
                        })
                        .map(|before| before as $int)
                        .map_err(|before| before as $int),
                    None => self.0.fetch_update(order, Ordering::Relaxed, |now| Some(change(now))),
                };
                changed.unwrap_or_else(|before| before)
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                match observer() {
                    Some(observer) => observer
                        .update(self.cell(), success, failure, &mut |now| {
                            (now as $int == current).then(|| new.into())
                        })
                        .map(|before| before as $int)
                        .map_err(|before| before as $int),
                    None => self.0.compare_exchange(current, new, success, failure),
                }
            }

            pub(crate) fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                self.update(order, |now| now | value)
            }

            pub(crate) fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                self.update(order, |now| now & value)
            }

            pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                self.update(order, |now| now.wrapping_add(value))
            }

            pub(crate) fn fetch_max(&self, value: $int, order: Ordering) -> $int {
                self.update(order, |now| now.max(value))
            }
        }
    };
}

observed!(Word, Word, AtomicU64, u64);
observed!(Half, Half, AtomicU32, u32);

/// A moment, on the observer's clock or the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(observer().map_or_else(monotonic, |o| o.now()))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }
}

/// The time since some moment, on the system's clock.
pub(crate) fn monotonic() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

pub(crate) fn sleep(duration: Duration) {
    match observer() {
        Some(observer) => observer.pause(),
        None => std::thread::sleep(duration),
    }
}
