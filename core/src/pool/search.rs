//! Finding a message by its time, or by its place in the log.

use super::Pool;
use super::live::Tip;
use super::read::Read;
use crate::error::{Error, ErrorKind, Result};
use crate::format::frame::{FrameHeader, LOG_MODULUS};
use crate::types::{Bounds, Seq, Timestamp};

/// How often a snapshot is tried again while writers go on. Each failure means that messages were committed meanwhile.
const TRIES: u32 = 10_000;

/// The retained part of the pool's log: the JSON lines of all messages ever appended, as one endless text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// Where the oldest retained line starts, in bytes since the pool was created.
    pub start: u64,
    /// Where the next line will start.
    pub end: u64,
    /// The messages these lines belong to.
    pub bounds: Bounds,
}

impl Pool {
    /// The first retained message whose time is at or after `time`; the one after the newest when there is none.
    /// O(log n): times never go backwards within a pool.
    ///
    /// # Errors
    /// NotFound when the pool was deleted, Corrupt.
    pub fn seq_at(&self, time: Timestamp) -> Result<Seq> {
        self.check_state()?;
        self.first_retained(|header| header.time >= time)
    }

    /// The retained part of the log, as of one moment.
    ///
    /// # Errors
    /// NotFound when the pool was deleted, Corrupt.
    pub fn log_range(&self) -> Result<LogRange> {
        self.check_state()?;
        for _ in 0..TRIES {
            let bounds = self.current_bounds()?;
            let tip = match self.frozen() {
                Some(recovered) => Some(recovered.tip),
                None => Tip::read(self.map(), bounds.newest),
            };
            let Some(tip) = tip else { continue };
            if bounds.is_empty() {
                return Ok(LogRange { start: tip.log_end, end: tip.log_end, bounds });
            }
            if let Read::Whole(oldest) = self.read_header(bounds.oldest)? {
                let start = extend(oldest.log_before, tip.log_end);
                return Ok(LogRange { start, end: tip.log_end, bounds });
            }
        }
        Err(Error::corrupt("no tip belongs to the newest message").with_path(self.path()))
    }

    /// The message whose JSON line holds byte `offset` of the log, and where that line starts. O(log n).
    ///
    /// # Errors
    /// NotFound when no retained line holds the offset; Corrupt.
    pub fn log_seek(&self, offset: u64) -> Result<(Seq, u64)> {
        let range = self.log_range()?;
        if !(range.start..range.end).contains(&offset) {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("byte {offset} of the log is not retained"),
            ));
        }
        let line_start = |header: &FrameHeader| extend(header.log_before, range.end);
        let after = self.first_retained(|header| {
            // What was committed after `range` starts at its end or later, which `extend` can't tell.
            header.seq > range.bounds.newest || line_start(header) > offset
        })?;
        match self.read_header(after.prev())? {
            // A later line when the one that held the byte went during the search.
            Read::Whole(header) if line_start(&header) <= offset => {
                Ok((header.seq, line_start(&header)))
            }
            _ => Err(Error::new(
                ErrorKind::NotFound,
                format!("byte {offset} of the log is not retained"),
            )),
        }
    }

    /// Where in the log the line of message `seq` starts, or would: the start of what is retained for older ones, its end for
    /// those to come.
    ///
    /// # Errors
    /// NotFound when the pool was deleted, Corrupt.
    pub fn log_start(&self, seq: Seq) -> Result<u64> {
        let range = self.log_range()?;
        if seq > range.bounds.newest {
            return Ok(range.end);
        }
        match self.read_header(seq)? {
            Read::Whole(header) => Ok(extend(header.log_before, range.end)),
            Read::Gone => Ok(self.log_range()?.start),
        }
    }

    /// Binary search: the first retained message of which `test` is true; all later ones must be too.
    fn first_retained(&self, test: impl Fn(&FrameHeader) -> bool) -> Result<Seq> {
        let bounds = self.current_bounds()?;
        let (mut low, mut high) = (bounds.oldest, bounds.newest.next());
        while low < high {
            let middle = Seq::new(low.get() + (high.get() - low.get()) / 2);
            match self.read_header(middle)? {
                Read::Whole(header) if test(&header) => high = middle,
                // Overwritten meanwhile: so is everything before it.
                _ => low = middle.next(),
            }
        }
        Ok(low.max(self.current_bounds()?.oldest))
    }
}

/// The whole log position of which `low` are the lower 48 bits, at or before `end`.
fn extend(low: u64, end: u64) -> u64 {
    end.wrapping_sub(end.wrapping_sub(low) % LOG_MODULUS)
}
