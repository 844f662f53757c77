//! The inodes of a pool's `log`.
//!
//! Each has a base: the place in the endless log that is byte 0 of the file. A base never changes while the
//! inode is open, so a reader's file neither shrinks nor shifts. Whoever opens `log` anew gets an inode whose base is
//! the oldest retained line, so a fresh reader sees exactly what is retained. `stat` shows one inode number for
//! all of them: `tail -F` must not take the next one for another file.

use crate::ino::next_node;

/// The inodes of one pool's `log`; the last one is what a lookup gives.
#[derive(Debug, Default)]
pub(crate) struct LogNodes {
    nodes: Vec<LogNode>,
}

#[derive(Debug)]
struct LogNode {
    number: u64,
    base: u64,
    open: usize,
}

impl LogNodes {
    /// The inode for a lookup now that the oldest retained line starts at `start`.
    pub(crate) fn current(&mut self, start: u64) -> u64 {
        match self.nodes.last_mut() {
            Some(last) if last.base == start || last.open == 0 => {
                last.base = start;
                last.number
            }
            _ => {
                self.nodes.push(LogNode { number: next_node(), base: start, open: 0 });
                self.nodes[self.nodes.len() - 1].number
            }
        }
    }

    /// The base of an inode; None when it is no longer one of the log's.
    pub(crate) fn base(&self, number: u64) -> Option<u64> {
        self.nodes.iter().find(|n| n.number == number).map(|n| n.base)
    }

    /// Opens an inode: its base stays what it is until it is closed.
    pub(crate) fn open(&mut self, number: u64) -> Option<u64> {
        let node = self.nodes.iter_mut().find(|n| n.number == number)?;
        node.open += 1;
        Some(node.base)
    }

    /// Closes an inode.
    pub(crate) fn close(&mut self, number: u64) {
        if let Some(node) = self.nodes.iter_mut().find(|n| n.number == number) {
            node.open = node.open.saturating_sub(1);
        }
        let last = self.nodes.last().map(|n| n.number);
        self.nodes.retain(|n| n.open > 0 || Some(n.number) == last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_stays_while_the_inode_is_open() {
        let mut logs = LogNodes::default();
        let first = logs.current(0);
        assert_eq!(logs.current(100), first, "nobody has it open");
        assert_eq!(logs.open(first), Some(100));
        let second = logs.current(200);
        assert_ne!(first, second);
        assert_eq!((logs.base(first), logs.base(second)), (Some(100), Some(200)));
        assert_eq!(logs.current(300), second);
        logs.close(first);
        assert_eq!(logs.base(first), None);
        assert_eq!(logs.current(300), second);
    }
}
