//! `plasmite feed`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use plasmite_core::json::DocumentStream;
use plasmite_core::{Client, Durability, Error, ErrorKind, Pool, Receipt};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::args::{DurabilityArg, FeedArgs, OnError};
use crate::errors::{self, Outcome, SKIPPED, SUCCESS};
use crate::output::{self, printable};
use crate::pools;
use crate::render::time_text;

/// How much is read at once. A pipe gives what it holds and never waits for more.
const READ_BYTES: usize = 256 * 1024;

pub(crate) fn run(client: &Client, args: &FeedArgs) -> Outcome {
    let pool = if args.create {
        client.open_or_create(&args.pool, args.create_size)?
    } else {
        pools::open(client, &args.pool)?
    };
    let feeder = Feeder::new(&pool, args);
    match (&args.json, &args.file) {
        (Some(json), _) if json != "-" => feeder.feed_one(json),
        (_, Some(path)) if path.as_os_str() != "-" => {
            let file = File::open(path).map_err(|e| Error::io("open the input", path, &e))?;
            feeder.feed_stream(file.as_fd(), Some(path))
        }
        _ => {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                output::talk("Type JSON objects, such as {\"hello\":\"world\"}; Ctrl-D ends.");
            }
            feeder.feed_stream(stdin.as_fd(), None)
        }
    }
}

struct Feeder<'a> {
    pool: &'a Pool,
    tags: &'a [String],
    durability: Durability,
    on_error: OnError,
    receipts: Receipts,
    /// Records met so far, bad ones included.
    records: u64,
    skipped: bool,
}

impl<'a> Feeder<'a> {
    fn new(pool: &'a Pool, args: &'a FeedArgs) -> Self {
        Self {
            pool,
            tags: &args.tags,
            durability: match args.durability {
                DurabilityArg::Fast => Durability::Fast,
                DurabilityArg::Flush => Durability::Flush,
            },
            on_error: args.errors,
            receipts: Receipts::new(&args.pool, &args.tags),
            records: 0,
            skipped: false,
        }
    }

    fn feed_one(mut self, json: &str) -> Outcome {
        let receipt = self.pool.append(json.as_bytes(), self.tags, self.durability)?;
        self.receipts.push(receipt);
        self.receipts.print()?;
        Ok(SUCCESS)
    }

    fn feed_stream(mut self, input: BorrowedFd<'_>, path: Option<&Path>) -> Outcome {
        let tag_bytes: u64 = self.tags.iter().map(|tag| tag.len() as u64 + 1).sum();
        let room = self.pool.max_message_bytes().saturating_sub(tag_bytes);
        let mut documents = DocumentStream::new(room);
        let mut block = vec![0; READ_BYTES];
        loop {
            let n = read_some(input, &mut block).map_err(|e| unreadable(&e, path))?;
            let ended = if n == 0 {
                self.finish(&mut documents)
            } else {
                documents.push(&block[..n]);
                self.append_arrived(&mut documents)
            };
            // What was committed has its receipt, whatever came after it.
            if self.durability == Durability::Flush && !self.receipts.is_empty() {
                self.pool.flush()?;
            }
            self.receipts.print()?;
            ended?;
            if n == 0 {
                return Ok(if self.skipped { SKIPPED } else { SUCCESS });
            }
        }
    }

    /// Appends every document that is there whole. With `flush` they share one sync, before their receipts.
    fn append_arrived(&mut self, documents: &mut DocumentStream) -> Result<(), Error> {
        loop {
            let start = documents.offset();
            match documents.next() {
                Ok(None) => return Ok(()),
                Ok(Some(document)) => {
                    self.records += 1;
                    match self.pool.append_document(&document, self.tags, Durability::Fast) {
                        Ok(receipt) => self.receipts.push(receipt),
                        Err(error) => self.refused(&error, start)?,
                    }
                }
                Err(error) => {
                    self.records += 1;
                    self.refused(&error, start)?;
                    documents.skip_line();
                }
            }
        }
    }

    fn finish(&mut self, documents: &mut DocumentStream) -> Result<(), Error> {
        let start = documents.offset();
        match documents.finish() {
            Ok(()) => Ok(()),
            Err(error) => {
                self.records += 1;
                self.refused(&error, start)
            }
        }
    }

    /// A record was refused: with `--errors skip` that is told and forgiven, unless the pool is the matter.
    fn refused(&mut self, error: &Error, start: u64) -> Result<(), Error> {
        if error.kind() != ErrorKind::Usage {
            return Err(error.clone());
        }
        let (number, why) = (self.records, error.message());
        // An error that knows its place in the stream has it in its text.
        let record = match error.offset() {
            Some(_) => format!("record {number}"),
            None => format!("record {number} at byte {start}"),
        };
        let offset = error.offset().unwrap_or(start);
        let hint = error.hint().map(str::to_owned);
        if self.on_error == OnError::Skip {
            let message = format!("{record} was skipped: {why}");
            errors::report(&errors::reworded(error, message, hint).with_offset(offset));
            self.skipped = true;
            return Ok(());
        }
        let kept = "records before it are kept, and --errors skip leaves bad ones out";
        let hint = hint.map_or_else(|| kept.to_owned(), |hint| format!("{hint}; {kept}"));
        let message = format!("{record}: {why}");
        Err(errors::reworded(error, message, Some(hint)).with_offset(offset))
    }
}

fn unreadable(errno: &io::Error, path: Option<&Path>) -> Error {
    match path {
        Some(path) => Error::io("read the input", path, errno),
        None => Error::new(ErrorKind::Io, format!("cannot read stdin: {errno}")),
    }
}

/// Reads what is there; waits only while nothing is, also on a descriptor someone made non-blocking. 0: the end.
fn read_some(input: BorrowedFd<'_>, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(input, &mut *block) {
            Ok(n) => return Ok(n),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&input, PollFlags::IN)];
                // Whatever poll says, the next read tells what is the matter.
                let _ = rustix::event::poll(&mut fds, None);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receipts on their way to stdout.
struct Receipts {
    out: String,
    form: ReceiptForm,
}

enum ReceiptForm {
    /// What follows the time: the tags are the same in every receipt.
    Json {
        end: String,
    },
    Text {
        end: String,
    },
}

impl Receipts {
    fn new(pool: &str, tags: &[String]) -> Self {
        let form = if output::stdout_is_terminal() {
            let tags: String = tags.iter().map(|tag| format!(" #{}", printable(tag))).collect();
            ReceiptForm::Text { end: format!(" in {}{tags}\n", printable(pool)) }
        } else {
            let tags = serde_json::Value::from(tags);
            ReceiptForm::Json { end: format!("\",\"meta\":{{\"tags\":{tags}}}}}\n") }
        };
        Self { out: String::new(), form }
    }

    fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn push(&mut self, Receipt { seq, time }: Receipt) {
        // Writing into a String can't fail.
        let _ = match &self.form {
            ReceiptForm::Json { end } => {
                write!(self.out, "{{\"seq\":{seq},\"time\":\"{time}{end}")
            }
            ReceiptForm::Text { end } => write!(self.out, "{seq} {}{end}", time_text(time)),
        };
    }

    fn print(&mut self) -> Result<(), errors::Failure> {
        let printed = output::write_stdout(self.out.as_bytes());
        self.out.clear();
        printed
    }
}
