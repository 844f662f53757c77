//! A cursor over a pool's messages.

use std::time::Duration;

use super::Pool;
use super::read::Read;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::sys::clock::Instant;
use crate::types::Seq;

/// What a reader that was overtaken does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum GapPolicy {
    /// Goes on with the oldest retained message.
    #[default]
    Continue = 0,
    /// Gets RetentionGap, once; then the tail has ended.
    Error = 1,
}

/// From where and how a tail reads.
#[derive(Clone, Debug, Default)]
pub struct TailOptions {
    /// The first message wanted; None and zero mean the oldest retained one. A message still to come is waited for.
    pub since: Option<Seq>,
    /// End after so many delivered messages.
    pub max: Option<u64>,
    /// Deliver only messages with all of these tags. A filter never hides a gap.
    pub tags: Vec<String>,
    /// What happens when a wanted message was overwritten.
    pub gap: GapPolicy,
    /// How long a wait looks for a message before it sleeps: see [`Pool::spin`]. Zero: it sleeps at once.
    pub spin: Duration,
}

/// A cursor over a pool's messages. Reading consumes nothing: each cursor is on its own.
#[derive(Debug)]
pub struct Tail {
    pool: Pool,
    next: Seq,
    /// Where the next message starts, behind the one that was read last.
    place: Option<u64>,
    left: Option<u64>,
    tags: Vec<String>,
    gap: GapPolicy,
    spin: Duration,
    dropped: u64,
    ended: bool,
}

impl Pool {
    /// The pool in the file that [`Pool::resize`] has given it since it was opened; None when there is none. Tails go there by
    /// themselves. Costs no system call until then.
    ///
    /// # Errors
    /// As [`Pool::open`]; NotFound when the pool was deleted after that.
    pub fn in_new_file(&self) -> Option<Result<Self>> {
        if self.is_resized() { self.successor() } else { None }
    }

    /// A cursor, which starts where `options` say.
    ///
    /// # Errors
    /// NotFound when the pool was deleted, Corrupt when its header is damaged.
    pub fn tail(&self, options: TailOptions) -> Result<Tail> {
        let next = match options.since {
            Some(since) if since > Seq::ZERO => since,
            _ => self.bounds()?.oldest,
        };
        let TailOptions { max, tags, gap, spin, .. } = options;
        let pool = self.clone();
        Ok(Tail { pool, next, place: None, left: max, tags, gap, spin, dropped: 0, ended: false })
    }
}

impl Tail {
    /// The next message if it is there; never waits. None: nothing now, or the tail has ended ([`Tail::is_done`]).
    ///
    /// # Errors
    /// RetentionGap under [`GapPolicy::Error`]; NotFound when the pool was deleted; Corrupt.
    pub fn try_next(&mut self) -> Result<Option<Message>> {
        let mut message = Message::default();
        Ok(self.try_next_into(&mut message)?.then_some(message))
    }

    /// The same into a message whose memory is used again. False: nothing now, or the tail has ended.
    ///
    /// # Errors
    /// As [`Tail::try_next`].
    pub fn try_next_into(&mut self, message: &mut Message) -> Result<bool> {
        if self.is_done() {
            return Ok(false);
        }
        self.keep_up()?;
        // Not further than this: a writer of messages without the tags can't keep the call for ever.
        let newest = self.pool.current_bounds()?.newest;
        while self.next <= newest {
            match self.pool.read_into(self.next, self.place, message)? {
                Read::Whole(place) => {
                    self.go_past(place);
                    if message.has_tags(&self.tags) {
                        self.left = self.left.map(|n| n.saturating_sub(1));
                        return Ok(true);
                    }
                }
                Read::Gone if self.go_on()? => {}
                Read::Gone => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Appends the next messages to `out` as JSON lines ([`Message::write_line`]), as many as take no more than
    /// `room` bytes together, the first one in any case; how many. Never waits: 0 when there is nothing now, or the tail
    /// has ended. The fastest way to read many small messages.
    ///
    /// # Errors
    /// As [`Tail::try_next`], when there is no message before what failed.
    pub fn try_lines(&mut self, out: &mut Vec<u8>, room: usize) -> Result<u64> {
        self.keep_up()?;
        let newest = self.pool.current_bounds()?.newest;
        let end = out.len().saturating_add(room);
        let (mut message, mut count) = (Message::default(), 0);
        while self.next <= newest && !self.is_done() {
            match self.pool.read_into(self.next, self.place, &mut message) {
                Ok(Read::Whole(place)) if !message.has_tags(&self.tags) => self.go_past(place),
                Ok(Read::Whole(place)) => {
                    let before = out.len();
                    message.write_line_bytes(out);
                    if count > 0 && out.len() > end {
                        out.truncate(before);
                        break;
                    }
                    count += 1;
                    self.left = self.left.map(|n| n.saturating_sub(1));
                    self.go_past(place);
                    if out.len() >= end {
                        break;
                    }
                }
                // What comes before it is delivered first.
                Ok(Read::Gone) | Err(_) if count > 0 => break,
                Ok(Read::Gone) if self.go_on()? => {}
                Ok(Read::Gone) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Goes on to the message behind the one that was read.
    fn go_past(&mut self, place: u64) {
        self.next = self.next.next();
        self.place = Some(place);
    }

    /// Goes on in the new file of a pool that was resized.
    fn keep_up(&mut self) -> Result<()> {
        if let Err(e) = self.pool.check_state() {
            self.pool = self.pool.in_new_file().ok_or(e)??;
            self.place = None;
        }
        Ok(())
    }

    /// After a message that is gone: goes on with the oldest, or ends. False: only a damaged header takes back what it said a
    /// moment ago.
    fn go_on(&mut self) -> Result<bool> {
        let oldest = self.pool.current_bounds()?.oldest;
        if self.next >= oldest {
            return Ok(false);
        }
        self.skip_to(oldest)?;
        Ok(true)
    }

    /// The next message, waiting up to `timeout` for it (None: for ever). What is there already is delivered first.
    /// None: the time is over, or the tail has ended.
    ///
    /// # Errors
    /// As [`Tail::try_next`].
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Message>> {
        let mut message = Message::default();
        let end = timeout.and_then(|t| Instant::now().checked_add(t));
        loop {
            if self.try_next_into(&mut message)? {
                return Ok(Some(message));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if self.is_done() || left.is_some_and(|left| left.is_zero()) || !self.wait(left)? {
                return Ok(None);
            }
        }
    }

    /// Waits until there is a message to look at (whether it has the tags or not). False: the time is over.
    ///
    /// # Errors
    /// NotFound when the pool was deleted, Corrupt.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        match self.pool.spin_then_wait(self.next.prev(), self.spin, timeout) {
            // There is a file to look at, if not a message.
            Err(_) if self.pool.is_resized() => Ok(true),
            waited => waited,
        }
    }

    /// The pool that the tail reads: once it was resized, and the tail has looked, in its new file.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The message the tail looks at next.
    pub fn position(&self) -> Seq {
        self.next
    }

    /// True when the maximum is delivered, or a gap ended the tail.
    pub fn is_done(&self) -> bool {
        self.ended || self.left == Some(0)
    }

    /// How many messages were overwritten before this tail had read them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn skip_to(&mut self, oldest: Seq) -> Result<()> {
        let first_missing = self.next;
        self.dropped += oldest.get() - first_missing.get();
        self.next = oldest;
        self.place = None;
        if self.gap == GapPolicy::Continue {
            return Ok(());
        }
        self.ended = true;
        Err(Error::new(
            ErrorKind::RetentionGap,
            format!(
                "messages {first_missing} to {} were overwritten before they were read",
                oldest.prev()
            ),
        )
        .with_path(self.pool.path())
        .with_seq(first_missing)
        .with_hint("read faster, or create the pool with a larger size"))
    }
}
