//! Memory of answers, for the next ones: fresh memory costs a page fault for each 4 KiB.

use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::lock;

/// Two for each worker.
const MAX_KEPT: usize = 4;
/// What is smaller the allocator keeps itself.
const MIN_BYTES: usize = 16 << 10;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static USED: AtomicBool = AtomicBool::new(false);

/// What an answer is made of. Its memory is left for another one by whoever is the last to need it: a reader that runs as soon as it
/// has its answer asks for the next one before the worker that gave it has come back from the kernel.
#[derive(Debug, Default)]
pub(crate) struct Bytes(Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

/// An empty buffer, which may have memory.
pub(crate) fn take() -> Vec<u8> {
    lock(&KEPT).pop().unwrap_or_default()
}

/// Leaves memory that is not needed any more.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() >= MIN_BYTES {
        USED.store(true, Ordering::Relaxed);
        buffer.clear();
        let mut kept = lock(&KEPT);
        if kept.len() < MAX_KEPT {
            kept.push(buffer);
        }
    }
}

/// Gives the memory back if none was left since the last time.
pub(crate) fn tidy() {
    if !USED.swap(false, Ordering::Relaxed) {
        let unused = std::mem::take(&mut *lock(&KEPT));
        drop(unused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_bounded_and_given_back_when_it_is_not_needed() {
        (0..2 * MAX_KEPT).for_each(|_| give(vec![1; 2 * MIN_BYTES]));
        assert!(lock(&KEPT).len() <= MAX_KEPT);
        let buffer = take();
        assert!(buffer.is_empty() && buffer.capacity() >= MIN_BYTES);
        give(Vec::with_capacity(1));
        let shared = std::sync::Arc::new(Bytes::from(vec![1; 3 * MIN_BYTES]));
        let answer = std::sync::Arc::clone(&shared);
        std::mem::take(&mut *lock(&KEPT));
        drop(shared);
        drop(answer);
        assert!(lock(&KEPT).iter().any(|kept| kept.capacity() == 3 * MIN_BYTES));
        tidy();
        tidy();
        // Other tests of this process may leave some at any time.
        assert!(lock(&KEPT).len() <= MAX_KEPT);
    }
}
