//! An open `tail` file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::of_io;
use crate::envelope::Message;
use crate::outcome::Failure;

const READ_BYTES: usize = 256 << 10;

/// A reader of a pool's `tail`.
pub(super) struct Stream {
    file: File,
    since_seq: u64,
    unread: VecDeque<Message>,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
}

impl Stream {
    /// Opens the `tail` of a pool's directory; messages before `since_seq` are dropped, as `jq 'select(.seq >= …)'` does it.
    pub(super) fn open(pool: &Path, since_seq: Option<u64>) -> Result<Self, Failure> {
        let file = File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(pool.join("tail"))
            .map_err(of_io)?;
        let since_seq = since_seq.unwrap_or(0);
        Ok(Self { file, since_seq, unread: VecDeque::new(), begun: Vec::new() })
    }

    /// Reads up to `max` messages, waiting for each up to `timeout_ms`. The end of the file ends it too.
    pub(super) fn read(
        &mut self,
        max: Option<u64>,
        timeout_ms: Option<u64>,
    ) -> Result<Vec<Message>, Failure> {
        let mut messages = Vec::new();
        while max.is_none_or(|max| (messages.len() as u64) < max) {
            let deadline = timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
            match self.next(deadline)? {
                Some(message) => messages.push(message),
                None => break,
            }
        }
        Ok(messages)
    }

    fn next(&mut self, deadline: Option<Instant>) -> Result<Option<Message>, Failure> {
        let mut block = vec![0; READ_BYTES];
        loop {
            if let Some(message) = self.unread.pop_front() {
                return Ok(Some(message));
            }
            match self.file.read(&mut block) {
                Ok(0) if self.begun.is_empty() => return Ok(None),
                Ok(0) => return Err(Failure::Broken("tail ended within a line".into())),
                Ok(n) => self.take(&block[..n])?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if !self.wait(deadline)? {
                        return Ok(None);
                    }
                }
                Err(e) => return Err(of_io(e)),
            }
        }
    }

    /// Takes bytes: the lines in them become messages.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            let Some(line) = self.begun.strip_suffix(b"\n") else { continue };
            let message = Message::parse(line)?;
            self.begun.clear();
            if message.seq >= self.since_seq {
                self.unread.push_back(message);
            }
        }
        Ok(())
    }

    /// Waits until the file can be read. False: the time is over.
    fn wait(&self, deadline: Option<Instant>) -> Result<bool, Failure> {
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => Ok(false),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }
}
