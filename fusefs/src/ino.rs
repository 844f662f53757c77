//! Inode numbers that say themselves what they are, so that a listing of 100,000 messages leaves no
//! table behind.
//!
//! | bits | content |
//! | --- | --- |
//! | 63..44 | the pool directory's id in this mount (0: the root) |
//! | 43..42 | 0 something fixed or a written name, 1 a message, 2 a message's data |
//! | 41..0 | the seq modulo 2⁴², or which fixed thing, or the written name's number |

use std::sync::atomic::{AtomicU64, Ordering};

use plasmite_core::Seq;

/// A pool directory's number in this mount; never 0.
pub(crate) type DirId = u32;

/// The root's inode number, given by FUSE.
pub(crate) const ROOT: u64 = 1;
/// The largest directory id.
pub(crate) const MAX_DIR_ID: DirId = (1 << 20) - 1;

const LOW_BITS: u32 = 42;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;
const DIR_SHIFT: u32 = LOW_BITS + 2;
const MESSAGE: u64 = 1;
const DATA: u64 = 2;
/// Numbers below this in the low bits are fixed things.
const FIRST_NODE: u64 = 16;

/// What an inode number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ino {
    /// The root of the mount.
    Root,
    /// A thing that each pool directory has once.
    Fixed(DirId, Fixed),
    /// A message: the seq modulo 2⁴².
    Message(DirId, u64),
    /// A message's data: the seq modulo 2⁴².
    Data(DirId, u64),
    /// A written name or a text, by its number.
    Node(DirId, u64),
}

/// What each pool directory has once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Fixed {
    /// The directory itself.
    Dir = 1,
    /// `first`.
    First,
    /// `latest`.
    Latest,
    /// `tail`.
    Tail,
    /// `follow`.
    Follow,
    /// `info.json`.
    Info,
    /// `log`, as `stat` shows it; the inodes behind it are nodes.
    Log,
    /// `errors`, in the same way.
    Errors,
    /// `tags`, a directory.
    Tags,
    /// `since`, a directory.
    Since,
}

impl Ino {
    /// The number.
    pub(crate) fn encode(self) -> u64 {
        match self {
            Self::Root => ROOT,
            Self::Fixed(dir, what) => u64::from(dir) << DIR_SHIFT | what as u64,
            Self::Message(dir, seq) => {
                u64::from(dir) << DIR_SHIFT | MESSAGE << LOW_BITS | seq & LOW_MASK
            }
            Self::Data(dir, seq) => u64::from(dir) << DIR_SHIFT | DATA << LOW_BITS | seq & LOW_MASK,
            Self::Node(dir, node) => u64::from(dir) << DIR_SHIFT | (node + FIRST_NODE) & LOW_MASK,
        }
    }

    /// The meaning of a number; None for one that this mount never gave out.
    pub(crate) fn decode(number: u64) -> Option<Self> {
        let dir = (number >> DIR_SHIFT) as DirId;
        let low = number & LOW_MASK;
        if dir == 0 {
            return (number == ROOT).then_some(Self::Root);
        }
        match number >> LOW_BITS & 3 {
            0 if low >= FIRST_NODE => Some(Self::Node(dir, low - FIRST_NODE)),
            0 => fixed(low).map(|what| Self::Fixed(dir, what)),
            MESSAGE => Some(Self::Message(dir, low)),
            DATA => Some(Self::Data(dir, low)),
            _ => None,
        }
    }

    /// The pool directory it belongs to.
    pub(crate) fn dir(self) -> Option<DirId> {
        match self {
            Self::Root => None,
            Self::Fixed(dir, _)
            | Self::Message(dir, _)
            | Self::Data(dir, _)
            | Self::Node(dir, _) => Some(dir),
        }
    }
}

/// A number for a written name or a text that no other has in this process.
pub(crate) fn next_node() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn fixed(low: u64) -> Option<Fixed> {
    use Fixed::{Dir, Errors, First, Follow, Info, Latest, Log, Since, Tags, Tail};
    [Dir, First, Latest, Tail, Follow, Info, Log, Errors, Tags, Since]
        .into_iter()
        .find(|f| *f as u64 == low)
}

/// The newest seq not after `newest` whose low bits are `low`.
pub(crate) fn full_seq(low: u64, newest: Seq) -> Seq {
    let candidate = newest.get() & !LOW_MASK | low;
    if candidate > newest.get() {
        Seq::new(candidate.checked_sub(1 << LOW_BITS).unwrap_or(candidate))
    } else {
        Seq::new(candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back() {
        for ino in [
            Ino::Root,
            Ino::Fixed(1, Fixed::Dir),
            Ino::Fixed(MAX_DIR_ID, Fixed::Log),
            Ino::Message(3, 17),
            Ino::Data(3, LOW_MASK),
            Ino::Node(7, 0),
            Ino::Node(7, 1 << 40),
        ] {
            assert_eq!(Ino::decode(ino.encode()), Some(ino));
        }
        assert_eq!(Ino::decode(0), None);
        assert_eq!(Ino::decode(u64::MAX), None);
        assert_eq!(Ino::decode(1 << DIR_SHIFT), None);
    }

    #[test]
    fn seqs_are_found_again_from_their_low_bits() {
        for (seq, newest) in
            [(17, 20), ((1 << 42) + 5, (1 << 42) + 9), ((1 << 42) - 1, (1 << 42) + 9)]
        {
            assert_eq!(full_seq(seq & LOW_MASK, Seq::new(newest)), Seq::new(seq));
        }
        assert_eq!(full_seq(30, Seq::new(20)), Seq::new(30));
    }
}
