//! The memory of this thread's last minified document, for its next one: appending does not allocate.

use std::cell::Cell;

/// For a larger document, allocating is the least of it.
const MAX_KEPT_BYTES: usize = 64 << 10;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Empty memory. A thread that is ending has none.
pub(super) fn take() -> Vec<u8> {
    let mut memory = SPARE.try_with(Cell::take).unwrap_or_default();
    memory.clear();
    memory
}

/// Memory that is not needed any more.
pub(super) fn keep(memory: Vec<u8>) {
    if memory.capacity() <= MAX_KEPT_BYTES {
        let _ending = SPARE.try_with(|spare| spare.set(memory));
    }
}
