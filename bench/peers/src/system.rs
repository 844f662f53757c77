//! What is compared: one way for the processes of a machine to hand each other messages.

use std::any::Any;
use std::path::Path;

/// What a message survives when its sending has returned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The death of any process, where the system keeps messages at all.
    Fast,
    /// The loss of power.
    Flush,
}

/// One end.
pub(crate) trait Sender {
    /// Sends one message.
    fn send(&mut self, message: &[u8]);

    /// Sends many at once, in the way that the system has for it.
    fn send_all(&mut self, messages: &[&[u8]]);
}

/// The other end.
pub(crate) trait Receiver {
    /// Waits for messages, and hands over those that are there.
    fn receive(&mut self, take: &mut dyn FnMut(&[u8]));
}

/// What stands behind both ends (a server, a name to remove) until it is dropped.
pub(crate) type Behind = Box<dyn Any>;

/// What a row asks of a system.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) durability: Durability,
    /// How much it keeps at least, if it is bounded.
    pub(crate) room_bytes: u64,
}

pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) does: Does,
    /// Makes what both ends need, in an empty directory. Err: why this machine can't.
    pub(crate) set_up: fn(&Path, &Wanted) -> Result<Behind, String>,
    pub(crate) sender: fn(&Path, Durability) -> Box<dyn Sender>,
    /// Gets what is sent from now on. It is there before the sender.
    pub(crate) receiver: fn(&Path) -> Box<dyn Receiver>,
    /// Where a message can be asked for by its number.
    pub(crate) get: Option<fn(&Path) -> Stored>,
    /// How many of so many sent messages are still kept, without a sender.
    pub(crate) kept: fn(&Path, u64) -> u64,
}

/// How many messages there are, and a way to get one of them, whose bytes it counts.
pub(crate) type Stored = (u64, Box<dyn FnMut(u64) -> usize>);

/// Of a system that never lets go of any.
pub(crate) fn all_kept(_dir: &Path, sent: u64) -> u64 {
    sent
}

/// Which rows have the system in them.
#[derive(Clone, Copy)]
pub(crate) struct Does {
    /// It keeps messages that nobody receives.
    pub(crate) keeps: bool,
    /// It has a way to send many at once.
    pub(crate) batches: bool,
    /// All messages arrive, however fast they are sent.
    pub(crate) streams: bool,
    /// Each message goes to all receivers, however many, and they sleep meanwhile.
    pub(crate) fans_out: bool,
}
