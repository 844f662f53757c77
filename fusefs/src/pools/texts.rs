//! The inodes of a pool's `log` and `errors`.
//!
//! Each has a base: the place in the endless text that is byte 0 of the file. A base never changes while the
//! inode is open, so a reader's file neither shrinks nor shifts. Whoever opens `log` anew gets an inode whose base is
//! the oldest retained line, so a fresh reader sees exactly what is retained. `stat` shows one inode number for
//! all of them: `tail -F` must not take the next one for another file.

use crate::ino::{Fixed, next_node};

/// The inodes of one directory's texts; the last one of each text is what a lookup gives.
#[derive(Debug, Default)]
pub(crate) struct TextNodes {
    nodes: Vec<TextNode>,
}

#[derive(Debug)]
struct TextNode {
    text: Fixed,
    number: u64,
    base: u64,
    open: usize,
}

impl TextNodes {
    /// The inode for a lookup of `text` now that its oldest retained line starts at `start`.
    pub(crate) fn current(&mut self, text: Fixed, start: u64) -> u64 {
        let last = self.nodes.iter_mut().rfind(|n| n.text == text);
        match last.filter(|last| last.base == start || last.open == 0) {
            Some(last) => {
                last.base = start;
                last.number
            }
            None => {
                let number = next_node();
                self.nodes.push(TextNode { text, number, base: start, open: 0 });
                number
            }
        }
    }

    /// Which text an inode shows, and its base; None when it shows none (any more).
    pub(crate) fn find(&self, number: u64) -> Option<(Fixed, u64)> {
        self.nodes.iter().find(|n| n.number == number).map(|n| (n.text, n.base))
    }

    /// Opens an inode: its base stays what it is until it is closed.
    pub(crate) fn open(&mut self, number: u64) -> Option<(Fixed, u64)> {
        let node = self.nodes.iter_mut().find(|n| n.number == number)?;
        node.open += 1;
        Some((node.text, node.base))
    }

    /// True when somebody has one of them open.
    pub(crate) fn any_open(&self) -> bool {
        self.nodes.iter().any(|n| n.open > 0)
    }

    /// Forgets all of them, none of which is open: the kernel looks them up again.
    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
    }

    /// Closes an inode.
    pub(crate) fn close(&mut self, number: u64) {
        if let Some(node) = self.nodes.iter_mut().find(|n| n.number == number) {
            node.open = node.open.saturating_sub(1);
        }
        let last = |text| self.nodes.iter().rfind(|n| n.text == text).map(|n| n.number);
        let kept = [last(Fixed::Log), last(Fixed::Errors)];
        self.nodes.retain(|n| n.open > 0 || kept.contains(&Some(n.number)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_stays_while_the_inode_is_open() {
        let mut texts = TextNodes::default();
        let first = texts.current(Fixed::Log, 0);
        let errors = texts.current(Fixed::Errors, 0);
        assert_eq!(texts.current(Fixed::Log, 100), first, "nobody has it open");
        assert_eq!(texts.open(first), Some((Fixed::Log, 100)));
        let second = texts.current(Fixed::Log, 200);
        assert_ne!(first, second);
        assert_eq!(texts.find(first), Some((Fixed::Log, 100)));
        assert_eq!(texts.find(second), Some((Fixed::Log, 200)));
        assert_eq!(texts.current(Fixed::Log, 300), second);
        texts.close(first);
        assert_eq!(texts.find(first), None);
        assert_eq!(texts.current(Fixed::Log, 300), second);
        assert_eq!(texts.find(errors), Some((Fixed::Errors, 0)));
    }
}
