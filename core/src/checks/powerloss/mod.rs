//! Power loss: what the engine stores and syncs is recorded word by word, every image that a disk could hold at any moment is
//! built from that, opened and checked; and so is every image that a second power loss, during recovery, could leave.

mod disk;
mod histories;
mod judge;
mod recorder;
mod tests;
