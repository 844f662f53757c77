//! The words that processes share, and the fence between accesses to them.
//!
//! They are the standard library's atomics. The engine's own tests put others in their place, whose every access an observer
//! sees (`observed.rs`): the same code then runs under a model checker, or leaves a trace of what it stored.

use std::sync::{Mutex, MutexGuard, TryLockError};

#[cfg(test)]
pub(crate) use super::observed::{Half, Word, fence, lock};
#[cfg(not(test))]
pub(crate) use std::sync::atomic::{AtomicU32 as Half, AtomicU64 as Word, fence};

/// Takes a lock between the threads of one process if it is free, also after a panic under it.
#[inline]
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Takes a lock between the threads of one process, also after a panic under it: no panic leaves what is locked so half changed.
#[cfg(not(test))]
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
