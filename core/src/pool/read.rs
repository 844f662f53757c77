//! Reading: a copy, and a look whether it was overtaken.

use std::sync::atomic::Ordering;

use super::Pool;
use crate::error::{Error, ErrorKind, Result};
use crate::format::frame::FrameHeader;
use crate::message::Message;
use crate::sys::word::fence;
use crate::types::Seq;

/// What came of an attempt to read a message.
pub(super) enum Read<T> {
    /// It was there all the time.
    Whole(T),
    /// It is not retained, or stopped to be while it was read.
    Gone,
}

impl Pool {
    /// Reads one message.
    ///
    /// # Errors
    /// NotFound with `seq` when it is not retained: zero, not yet written, or overwritten. Corrupt when the file is damaged.
    pub fn get(&self, seq: Seq) -> Result<Message> {
        let mut message = Message::default();
        self.get_into(seq, &mut message)?;
        Ok(message)
    }

    /// The same into a message whose memory is used again. After an error its content is unspecified.
    ///
    /// # Errors
    /// As [`Pool::get`].
    pub fn get_into(&self, seq: Seq, message: &mut Message) -> Result<()> {
        self.check_state()?;
        match self.read_into(seq, None, message)? {
            Read::Whole(_) => Ok(()),
            Read::Gone => Err(self.not_retained(seq)),
        }
    }

    fn not_retained(&self, seq: Seq) -> Error {
        let error = Error::new(ErrorKind::NotFound, format!("message {seq} is not in the pool"));
        let error = match self.current_bounds() {
            Ok(b) if b.is_empty() => error.with_hint("the pool holds no message"),
            Ok(b) => error.with_hint(format!("it holds {} to {}", b.oldest, b.newest)),
            Err(_) => error,
        };
        self.unless_cut(error.with_seq(seq))
    }

    /// Copies message `seq` and checks the copy. Who has just read the message before it knows its place, and needs no look at
    /// the index. Gives back the place of the message after it.
    #[inline]
    pub(super) fn read_into(
        &self,
        seq: Seq,
        place: Option<u64>,
        message: &mut Message,
    ) -> Result<Read<u64>> {
        let ring = self.ring();
        let mut at = 0;
        let copied = self.while_retained(seq, place, |start| {
            at = start;
            message.refill(|words| ring.read_frame(start, words))
        })?;
        let at_offset = ring.file_offset(at);
        match copied {
            Read::Gone => Ok(Read::Gone),
            Read::Whole(true) => match message.check(seq) {
                Ok(()) => {
                    let bytes = self.geometry().frame_bytes(message.payload_bytes());
                    Ok(Read::Whole(ring.advance(at, bytes)))
                }
                Err(e) => Err(self.damaged(e, seq, at_offset)),
            },
            Read::Whole(false) => Err(self.damaged(
                Error::corrupt(format!("message {seq} has no frame")),
                seq,
                at_offset,
            )),
        }
    }

    /// The frame header of message `seq`; its checksum is not looked at.
    pub(super) fn read_header(&self, seq: Seq) -> Result<Read<FrameHeader>> {
        let ring = self.ring();
        let mut at = 0;
        let header = self.while_retained(seq, None, |start| {
            at = ring.file_offset(start);
            ring.header_at(start)
        })?;
        match header {
            Read::Gone => Ok(Read::Gone),
            Read::Whole(Some(header)) if header.seq == seq => Ok(Read::Whole(header)),
            Read::Whole(_) => {
                Err(self.damaged(Error::corrupt(format!("message {seq} has no frame")), seq, at))
            }
        }
    }

    /// Runs `copy` on the place of message `seq`, and tells whether the message was retained all the while.
    #[inline]
    fn while_retained<T>(
        &self,
        seq: Seq,
        place: Option<u64>,
        copy: impl FnOnce(u64) -> T,
    ) -> Result<Read<T>> {
        if !self.retains(seq) {
            return self.gone();
        }
        let start = place.map_or_else(|| self.start_of(seq), Ok);
        let copied = start.map(copy);
        // Pairs with the release fence in `Writer::put`: if anything that was read above had been overwritten for a later
        // message, then the `oldest` stored before that is seen here.
        fence(Ordering::Acquire);
        let oldest = match self.frozen() {
            Some(recovered) => recovered.bounds.oldest.get(),
            None => self.map().oldest().load(Ordering::Relaxed),
        };
        if oldest > seq.get() {
            return self.gone();
        }
        if self.map().is_poisoned() {
            return Err(self.shrunk());
        }
        Ok(Read::Whole(copied?))
    }

    /// Zeros under a file that was cut say that no message is there.
    #[cold]
    fn gone<T>(&self) -> Result<Read<T>> {
        if self.map().is_poisoned() { Err(self.shrunk()) } else { Ok(Read::Gone) }
    }

    /// True when the header says that message `seq` is there. Bounds that can't be show when the frame is looked at.
    fn retains(&self, seq: Seq) -> bool {
        match self.frozen() {
            Some(recovered) => recovered.bounds.contains(seq),
            None => {
                // Acquire: pairs with the release store in `Writer::put`, so that slot and frame are seen too.
                seq.get() <= self.map().committed().load(Ordering::Acquire)
                    && seq.get() >= self.map().oldest().load(Ordering::Acquire)
            }
        }
    }

    #[cold]
    fn damaged(&self, error: Error, seq: Seq, at: u64) -> Error {
        error.with_path(self.path()).with_seq(seq).with_offset(at).with_hint(
            "the file was changed by something other than Plasmite, or the disk returned other bytes than were written",
        )
    }
}
