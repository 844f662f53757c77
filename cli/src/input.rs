//! What is read from a file or from stdin, and the JSON documents in it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use plasmite_core::json::{Document, DocumentStream};
use plasmite_core::{Error, ErrorKind};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::args::OnError;
use crate::errors;
use crate::output;
use crate::progress::Progress;

/// How much is read at once. A pipe gives what it holds and never waits for more.
const READ_BYTES: usize = 256 * 1024;

/// A file, or stdin.
pub(crate) struct Input {
    file: Option<(File, PathBuf)>,
    stdin: io::Stdin,
    block: Vec<u8>,
}

impl Input {
    /// Opens the file; stdin without one, or when it is called `-`.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let file = match path.filter(|path| path.as_os_str() != "-") {
            None => None,
            Some(path) => {
                let file = File::open(path).map_err(|e| {
                    Error::io("open the input", path, &e)
                        .with_hint("name a file that can be read, or - for stdin")
                })?;
                Some((file, path.to_owned()))
            }
        };
        let input = Self { file, stdin: io::stdin(), block: Vec::new() };
        output::widen_pipe(input.fd());
        Ok(input)
    }

    /// True when people type it.
    pub(crate) fn is_terminal(&self) -> bool {
        rustix::termios::isatty(self.fd())
    }

    /// A bar for it, when it is a large file and people watch.
    pub(crate) fn progress(&self) -> Option<Progress> {
        Progress::of_input(self.fd())
    }

    /// What is there; waits only while nothing is. Empty: the end.
    pub(crate) fn read(&mut self) -> Result<&[u8], Error> {
        let mut block = std::mem::take(&mut self.block);
        block.resize(READ_BYTES, 0);
        let read = read_some(self.fd(), &mut block);
        self.block = block;
        match read {
            Ok(n) => Ok(self.block.get(..n).unwrap_or_default()),
            Err(error) => Err(match &self.file {
                Some((_, path)) => Error::io("read the input", path, &error)
                    .with_hint("name a file that can be read, or - for stdin"),
                None => Error::new(ErrorKind::Io, format!("cannot read stdin: {error}"))
                    .with_hint("give it an input: < FILE, a pipe, or --file FILE"),
            }),
        }
    }

    /// True when nothing more can be read, as far as that can be told without waiting.
    pub(crate) fn is_at_end(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.fd(), PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match rustix::event::poll(&mut fds, Some(&at_once)) {
            Ok(ready) if ready > 0 => rustix::io::read(self.fd(), &mut [0; 1][..]) == Ok(0),
            _ => false,
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.file {
            Some((file, _)) => file.as_fd(),
            None => self.stdin.as_fd(),
        }
    }
}

/// Reads what is there; waits only while nothing is, also on a descriptor someone made non-blocking. 0: the end.
fn read_some(input: BorrowedFd<'_>, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(input, &mut *block) {
            Ok(n) => return Ok(n),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(input, PollFlags::IN)];
                // Whatever poll says, the next read tells what is the matter.
                let _ = rustix::event::poll(&mut fds, None);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The JSON documents of a stream, and what happens to those that are none.
pub(crate) struct Records {
    documents: DocumentStream,
    /// Records met so far, bad ones included.
    number: u64,
    pub(crate) refusals: Refusals,
}

/// A place in the input: for what is told of the record there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    number: u64,
    start: u64,
}

impl Records {
    /// For documents of up to `max_bytes` bytes.
    pub(crate) fn new(max_bytes: u64, on_error: OnError, progress: Option<Progress>) -> Self {
        let when_stopped = "records before it are kept, and --errors skip leaves bad ones out";
        let refusals = Refusals { on_error, skipped: false, when_stopped, progress };
        Self { documents: DocumentStream::new(max_bytes), number: 0, refusals }
    }

    /// For a verb without `--errors`.
    pub(crate) fn without_choice(max_bytes: u64, on_error: OnError) -> Self {
        let mut records = Self::new(max_bytes, on_error, None);
        records.refusals.when_stopped = "records before it are kept";
        records
    }

    /// Gives `take` every document that is whole with these bytes.
    ///
    /// # Errors
    /// What is wrong with a record, unless bad ones are skipped; an error of `take` that is not about its record.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&Document<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.push_to(bytes, |document, record, refusals| {
            take(document).or_else(|error| refusals.refuse(&error, record))
        })
    }

    /// The same for a `take` that may find out later what is wrong with a record.
    ///
    /// # Errors
    /// What is wrong with a record that is no document, unless bad ones are skipped; any error of `take`.
    pub(crate) fn push_to(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&Document<'_>, Record, &mut Refusals) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.documents.push(bytes);
        if let Some(progress) = &self.refusals.progress {
            progress.add(bytes.len() as u64);
        }
        loop {
            let start = self.documents.offset();
            let next = self.documents.next();
            self.number += u64::from(!matches!(next, Ok(None)));
            let record = Record { number: self.number, start };
            match next {
                Ok(None) => return Ok(()),
                Ok(Some(document)) => take(&document, record, &mut self.refusals)?,
                Err(error) => {
                    self.refusals.refuse(&error, record)?;
                    self.documents.skip_line();
                }
            }
        }
    }

    /// Call it at the end of the input.
    ///
    /// # Errors
    /// What is wrong with a record that the end cuts short, unless bad ones are skipped.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let start = self.documents.offset();
        match self.documents.finish() {
            Ok(()) => Ok(()),
            Err(error) => {
                self.number += 1;
                self.refusals.refuse(&error, Record { number: self.number, start })
            }
        }
    }
}

/// What becomes of records that are refused.
pub(crate) struct Refusals {
    on_error: OnError,
    /// A record was left out.
    pub(crate) skipped: bool,
    /// What to do when a bad record ends it.
    when_stopped: &'static str,
    pub(crate) progress: Option<Progress>,
}

impl Refusals {
    /// With `--errors skip` it is told and forgiven that a record is refused, unless the pool is the matter.
    ///
    /// # Errors
    /// The error, as it is told, when it ends the run.
    pub(crate) fn refuse(&mut self, error: &Error, record: Record) -> Result<(), Error> {
        // An error that knows its place in the stream has it in its text.
        self.judge(error, record, error.offset())
    }

    /// The same with an error whose offset is a place in a batch.
    ///
    /// # Errors
    /// As [`Refusals::refuse`].
    pub(crate) fn refuse_in_batch(&mut self, error: &Error, record: Record) -> Result<(), Error> {
        self.judge(error, record, None)
    }

    fn judge(&mut self, error: &Error, record: Record, told: Option<u64>) -> Result<(), Error> {
        if error.kind() != ErrorKind::Usage {
            return Err(error.clone());
        }
        let (Record { number, start }, why) = (record, error.message());
        let record = match told {
            Some(_) => format!("record {number}"),
            None => format!("record {number} at byte {start}"),
        };
        let offset = told.unwrap_or(start);
        let hint = error.hint().map(str::to_owned);
        if self.on_error == OnError::Skip {
            let message = format!("{record} was skipped: {why}");
            let error = errors::reworded(error, message, hint).with_offset(offset);
            Progress::aside(self.progress.as_ref(), || errors::report(&error));
            self.skipped = true;
            return Ok(());
        }
        let kept = self.when_stopped;
        let hint = hint.map_or_else(|| kept.to_owned(), |hint| format!("{hint}; {kept}"));
        let message = format!("{record}: {why}");
        Err(errors::reworded(error, message, Some(hint)).with_offset(offset))
    }
}
