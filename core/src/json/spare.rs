//! The memory of a minified document of this thread that is not needed any more, for its next one: appending does not allocate.

use std::cell::Cell;

/// For a larger document, allocating is the least of it.
const MAX_KEPT_BYTES: usize = 64 << 10;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Memory that is kept for this thread's next document when it is not needed any more.
#[derive(Clone, Debug)]
pub(super) struct Spare(pub(super) Vec<u8>);

impl Drop for Spare {
    fn drop(&mut self) {
        if self.0.capacity() <= MAX_KEPT_BYTES {
            let memory = std::mem::take(&mut self.0);
            let _ending = SPARE.try_with(|spare| spare.set(memory));
        }
    }
}

/// Empty memory. A thread that is ending has none.
pub(super) fn take() -> Vec<u8> {
    let mut memory = SPARE.try_with(Cell::take).unwrap_or_default();
    memory.clear();
    memory
}
