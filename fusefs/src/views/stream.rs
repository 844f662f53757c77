//! `tail` and `follow`: messages as JSON Lines, as they come.
//!
//! Each open file has its own cursor. What was delivered last is kept, so that a reader that seeks back a
//! little (`head -n 3`, a shell's `read` loop) finds it again.

use std::sync::{Arc, Mutex};

use plasmite_core::{ErrorKind, Message, Pool, Result, Seq, Tail, TailOptions};

use super::{Chunk, end_of};
use crate::errno::{Errno, Reply};
use crate::sync::lock;

/// How much a reader can always seek back, also one that waits.
const WINDOW_BYTES: usize = 4096;
/// The most bytes of one answer.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// An open `tail` or `follow`.
pub(crate) struct Stream {
    pool: Pool,
    state: Mutex<Cursor>,
}

struct Cursor {
    tail: Tail,
    /// A line that was fetched but not (wholly) delivered.
    line: Vec<u8>,
    /// How much of it was delivered.
    line_done: usize,
    /// What was delivered last.
    window: Arc<Vec<u8>>,
    /// Where the window starts, in bytes since the stream was opened.
    window_start: u64,
}

impl Stream {
    /// Opens a stream that starts with `start`, of the messages with these tags.
    pub(crate) fn open(pool: &Pool, start: Seq, tags: &[String]) -> Result<Self> {
        let tags = tags.to_vec();
        let tail = pool.tail(TailOptions { since: Some(start), tags, ..Default::default() })?;
        let state = Cursor {
            tail,
            line: Vec::new(),
            line_done: 0,
            window: Arc::default(),
            window_start: 0,
        };
        Ok(Self { pool: pool.clone(), state: Mutex::new(state) })
    }

    /// The pool it reads.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What is there at `offset`, at most `size` bytes: whole lines, except that a line longer than `size` comes in
    /// pieces. None when there is nothing yet; an empty chunk when the pool is gone.
    pub(crate) fn try_read(&self, offset: u64, size: usize) -> Reply<Option<Chunk>> {
        let mut cursor = lock(&self.state);
        let end = cursor.window_start + cursor.window.len() as u64;
        if offset < cursor.window_start || offset > end {
            return Err(Errno::ESPIPE);
        }
        if size == 0 {
            return Ok(Some(Chunk::default()));
        }
        if offset < end {
            return Ok(Some(cursor.again((offset - cursor.window_start) as usize, size)));
        }
        match cursor.fetch(size.min(MAX_CHUNK_BYTES)) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => Ok(Some(cursor.deliver(bytes))),
            Err(error) => end_of(&error).map(Some),
        }
    }

    /// True when a read takes a while: there is much to look at, or somebody does already.
    pub(crate) fn is_behind(&self) -> bool {
        const FEW: u64 = 1000;
        let Ok(cursor) = self.state.try_lock() else { return true };
        let next = cursor.tail.position().get();
        self.pool
            .bounds()
            .is_ok_and(|b| b.newest.get().saturating_sub(next.max(b.oldest.get())) > FEW)
    }

    /// True when a read would not wait.
    pub(crate) fn is_ready(&self) -> bool {
        let mut cursor = lock(&self.state);
        !cursor.line.is_empty() || !matches!(cursor.fetch_line(&mut Message::default()), Ok(false))
    }

    /// Gives memory back while the reader waits.
    pub(crate) fn go_idle(&self) {
        let mut cursor = lock(&self.state);
        let extra = cursor.window.len().saturating_sub(WINDOW_BYTES);
        if extra > 0 {
            cursor.window = Arc::new(cursor.window[extra..].to_vec());
            cursor.window_start += extra as u64;
        }
    }

    /// Ends with the pool: NotFound when it was removed.
    pub(crate) fn check_alive(&self) -> Result<()> {
        self.pool.check_alive()
    }
}

impl Cursor {
    /// New bytes become the window, with some of the old one when they are few.
    fn deliver(&mut self, bytes: Vec<u8>) -> Chunk {
        let kept = self.window.len().min(WINDOW_BYTES.saturating_sub(bytes.len()));
        let dropped = self.window.len() - kept;
        self.window_start += dropped as u64;
        self.window = if kept == 0 {
            Arc::new(bytes)
        } else {
            Arc::new([&self.window[dropped..], &bytes].concat())
        };
        Chunk { bytes: Arc::clone(&self.window), range: kept..self.window.len() }
    }

    /// A part of the window, up to the end of a line if one ends there.
    fn again(&self, start: usize, size: usize) -> Chunk {
        let mut end = start.saturating_add(size).min(self.window.len());
        if end < self.window.len()
            && let Some(newline) = self.window[start..end].iter().rposition(|b| *b == b'\n')
        {
            end = start + newline + 1;
        }
        Chunk { bytes: Arc::clone(&self.window), range: start..end }
    }

    /// New bytes, at most `size`; empty when there are none.
    fn fetch(&mut self, size: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut message = Message::default();
        loop {
            if self.line.is_empty() {
                match self.fetch_line(&mut message) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // What was fetched before the failure is delivered first.
                    Err(_) if !out.is_empty() => break,
                    Err(error) => return Err(error),
                }
            }
            let rest = &self.line[self.line_done..];
            if out.len() + rest.len() <= size {
                out.extend_from_slice(rest);
                self.line.clear();
                self.line_done = 0;
            } else {
                if out.is_empty() {
                    out.extend_from_slice(&rest[..size]);
                    self.line_done += size;
                }
                break;
            }
        }
        if self.line.is_empty() && self.line.capacity() > WINDOW_BYTES {
            self.line = Vec::new();
        }
        Ok(out)
    }

    /// Fetches the next message into `self.line`. False when there is none.
    fn fetch_line(&mut self, message: &mut Message) -> Result<bool> {
        loop {
            match self.tail.try_next_into(message) {
                Ok(false) => return Ok(false),
                Ok(true) => break,
                // Overtaken: go on with the oldest.
                Err(error) if error.kind() == ErrorKind::RetentionGap => {}
                Err(error) => return Err(error),
            }
        }
        let mut line = String::from_utf8(std::mem::take(&mut self.line)).unwrap_or_default();
        line.clear();
        message.write_line(&mut line);
        self.line = line.into_bytes();
        self.line_done = 0;
        Ok(true)
    }
}
