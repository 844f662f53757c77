//! Memory of answers, for the next ones: fresh memory costs a page fault for each 4 KiB.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::lock;

/// Two for each worker.
const MAX_KEPT: usize = 4;
/// What is smaller the allocator keeps itself.
const MIN_BYTES: usize = 16 << 10;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static USED: AtomicBool = AtomicBool::new(false);

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
        tidy();
        tidy();
        // Other tests of this process may leave some at any time.
        assert!(lock(&KEPT).len() <= MAX_KEPT);
    }
}
