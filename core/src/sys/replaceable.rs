//! A value that can be replaced while it is borrowed: the old one is leaked.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Holds a `T` that is replaced very rarely (once in each forked child).
#[derive(Debug)]
pub(crate) struct Replaceable<T>(AtomicPtr<T>);

impl<T> Replaceable<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(AtomicPtr::new(Box::into_raw(Box::new(value))))
    }

    pub(crate) fn get(&self) -> &T {
        // SAFETY: the pointer comes from `Box::into_raw` and is freed by `drop` alone, when nothing borrows from `self`.
        unsafe { &*self.0.load(Ordering::Acquire) }
    }

    /// Puts `new` in the place of `old`, unless another thread was faster, and returns what is there now. The value that
    /// lost is leaked: someone may still use it.
    pub(crate) fn replace(&self, old: &T, new: T) -> &T {
        let new = Box::into_raw(Box::new(new));
        let old = ptr::from_ref(old).cast_mut();
        // Either way the value that is there is what counts.
        let _ = self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
        self.get()
    }
}

impl<T> Drop for Replaceable<T> {
    fn drop(&mut self) {
        // SAFETY: as in `get`; `&mut self` shows that no borrow is left.
        drop(unsafe { Box::from_raw(*self.0.get_mut()) });
    }
}
