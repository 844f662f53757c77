//! Where mapped words lie in the file.

use std::cell::RefCell;

use crate::sys::observed::Cell;

/// The mappings of one file, by which the address of a word tells its place in the file.
#[derive(Debug, Default)]
pub(super) struct Places(RefCell<Vec<(usize, usize)>>);

impl Places {
    pub(super) fn mapped(&self, start: usize, bytes: usize) {
        let mut maps = self.0.borrow_mut();
        // Addresses are used again once a mapping is gone.
        maps.retain(|(s, b)| s + b <= start || start + bytes <= *s);
        maps.push((start, bytes));
    }

    /// None: not a word of the file.
    pub(super) fn of(&self, cell: Cell<'_>) -> Option<usize> {
        let address = cell.address();
        let maps = self.0.borrow();
        maps.iter().find(|(s, b)| (*s..s + b).contains(&address)).map(|(s, _)| address - s)
    }
}
