//! `tail` and `follow`: messages as JSON Lines, as they come.
//!
//! Each open file has its own cursor. What was delivered last is kept, so that a reader that seeks back a
//! little (`head -n 3`, a shell's `read` loop) finds it again.

use std::sync::{Arc, Mutex};

use plasmite_core::{Pool, Result, Seq, Tail, TailOptions};

use super::buffers::{self, Bytes};
use super::{Chunk, end_of};
use crate::errno::{Errno, Reply};
use crate::sync::lock;

/// How much a reader can always seek back, also one that waits.
const WINDOW_BYTES: usize = 4096;
/// The most bytes of one answer.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// An open `tail` or `follow`.
pub(crate) struct Stream {
    state: Mutex<Cursor>,
}

struct Cursor {
    tail: Tail,
    /// A line that was fetched but not (wholly) delivered.
    line: Vec<u8>,
    /// How much of it was delivered.
    line_done: usize,
    /// What was delivered last.
    window: Arc<Bytes>,
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
        Ok(Self { state: Mutex::new(state) })
    }

    /// The pool it reads, in the file that it has read last.
    pub(crate) fn pool(&self) -> Pool {
        lock(&self.state).tail.pool().clone()
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
            Ok(bytes) if bytes.is_empty() => {
                buffers::give(bytes);
                Ok(None)
            }
            Ok(bytes) => Ok(Some(cursor.deliver(bytes))),
            Err(error) => end_of(&error).map(Some),
        }
    }

    /// True when a read takes a while: there is much to look at, or somebody does already.
    pub(crate) fn is_behind(&self) -> bool {
        const FEW: u64 = 1000;
        let Ok(cursor) = self.state.try_lock() else { return true };
        let next = cursor.tail.position().get();
        cursor
            .tail
            .pool()
            .bounds()
            .is_ok_and(|b| b.newest.get().saturating_sub(next.max(b.oldest.get())) > FEW)
    }

    /// True when a read would not wait.
    pub(crate) fn is_ready(&self) -> bool {
        let mut cursor = lock(&self.state);
        !cursor.line.is_empty() || !matches!(cursor.fetch_line(), Ok(false))
    }

    /// Gives memory back while the reader waits.
    pub(crate) fn go_idle(&self) {
        lock(&self.state).narrow();
    }

    /// Ends with the pool: NotFound when it was removed.
    pub(crate) fn check_alive(&self) -> Result<()> {
        let pool = self.pool();
        match pool.check_alive() {
            // It goes on in its new file.
            Err(_) if pool.in_new_file().is_some() => Ok(()),
            alive => alive,
        }
    }
}

impl Cursor {
    /// New bytes become the window, with some of the old one when they are few.
    fn deliver(&mut self, bytes: Vec<u8>) -> Chunk {
        let kept = self.window.len().min(WINDOW_BYTES.saturating_sub(bytes.len()));
        let dropped = self.window.len() - kept;
        self.window_start += dropped as u64;
        let bytes = Bytes::from(bytes);
        self.window = Arc::new(match kept {
            0 => bytes,
            _ => [&self.window[dropped..], &bytes].concat().into(),
        });
        Chunk { bytes: Arc::clone(&self.window), range: kept..self.window.len() }
    }

    /// Keeps no more than a reader can always seek back to.
    fn narrow(&mut self) {
        let extra = self.window.len().saturating_sub(WINDOW_BYTES);
        if extra > 0 {
            let kept = self.window[extra..].to_vec();
            self.window = Arc::new(kept.into());
            self.window_start += extra as u64;
        }
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
        // Who is here has read the window: its memory, which is still in the cache, takes what comes next.
        self.narrow();
        let mut out = buffers::take();
        let rest = &self.line[self.line_done..];
        let taken = rest.len().min(size);
        out.extend_from_slice(&rest[..taken]);
        if taken < rest.len() {
            self.line_done += taken;
            return Ok(out);
        }
        self.drop_line();
        if taken < size {
            match self.tail.try_lines(&mut out, size - taken) {
                Ok(_) => {}
                // What was fetched before the failure is delivered first.
                Err(_) if taken > 0 => {}
                Err(error) => {
                    buffers::give(out);
                    return Err(error);
                }
            }
        }
        if out.len() > size {
            // A line that is too long for what is left of the reader's buffer waits; one that is too long for all of it comes in pieces.
            self.line.extend_from_slice(&out[taken..]);
            out.truncate(if taken > 0 { taken } else { size });
            self.line_done = if taken > 0 { 0 } else { size };
        }
        Ok(out)
    }

    fn drop_line(&mut self) {
        self.line_done = 0;
        if self.line.capacity() > WINDOW_BYTES {
            self.line = Vec::new();
        } else {
            self.line.clear();
        }
    }

    /// Fetches the next message into `self.line`. False when there is none.
    fn fetch_line(&mut self) -> Result<bool> {
        self.drop_line();
        Ok(self.tail.try_lines(&mut self.line, 0)? > 0)
    }
}
