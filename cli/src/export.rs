//! `plasmite export`: messages with their envelopes as JSON Lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use memchr::memrchr;
use plasmite_core::{Client, Error, ErrorKind, Pool, Seq};

use crate::args::ExportArgs;
use crate::errors::{Failure, Outcome, SUCCESS};
use crate::fetch::named;
use crate::output::{self, Printer, printable};
use crate::pools;
use crate::progress::Progress;
use crate::selection::{Selection, missing};
use crate::span::{self, Absent};
use crate::wanted::Wanted;

pub(crate) fn run(client: &Client, args: &ExportArgs) -> Outcome {
    let mut wanted = Wanted::new(&args.tags, &args.expressions)?;
    let pool = pools::open_read_only(client, &args.pool)?;
    let found = args.seqs.within(pool.bounds()?).map_err(|error| named(&error, &args.pool))?;
    let mut target = match &args.file {
        Some(path) => Target::File(Exported::open(path, args.resume, &pool)?),
        None => Target::Stdout(Printer::default()),
    };
    let span = match (found, target.goes_on_after()) {
        // Also what was overwritten since, so that its loss is told.
        (Some((_, last)), Some(done)) if args.seqs == Selection::ALL => Some((done.next(), last)),
        (Some((first, last)), Some(done)) => Some((first.max(done.next()), last)),
        (found, _) => found,
    };
    let absent = match span.filter(|(first, last)| first <= last) {
        Some(span) => {
            let count = span.1.get() - span.0.get() + 1;
            let progress = Progress::of_messages(count, pool.info()?.used_bytes);
            let read = span::for_each(&pool, span, |message| {
                if let Some(progress) = &progress {
                    progress.add(1);
                }
                if wanted.accepts(message) { target.push(message) } else { Ok(()) }
            });
            target.finish()?;
            read?
        }
        None => None,
    };
    target.tell(&args.pool)?;
    match absent {
        // Everything was asked for, and what was there was written.
        Some(Absent { span, count }) if args.seqs == Selection::ALL => {
            let text = output::counted(
                count,
                "message was overwritten before it could be exported",
                "messages were overwritten before they could be exported",
            );
            output::notice("Dropped", &text, &[("dropped", count), ("seq", span.0.get())]);
            Ok(SUCCESS)
        }
        Some(absent) => Err(named(&missing(absent.span, pool.bounds()?), &args.pool).into()),
        None => Ok(SUCCESS),
    }
}

/// What is told of a file that was written.
#[derive(serde::Serialize)]
struct Receipt<'a> {
    exported: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    file: &'a str,
}

/// Where the lines go.
enum Target {
    Stdout(Printer),
    File(Exported),
}

impl Target {
    fn goes_on_after(&self) -> Option<Seq> {
        match self {
            Self::Stdout(_) => None,
            Self::File(file) => file.goes_on_after,
        }
    }

    fn push(&mut self, message: &plasmite_core::Message) -> Result<(), Failure> {
        match self {
            Self::Stdout(printer) => {
                message.write_line(&mut printer.out);
                printer.print_blocks()
            }
            Self::File(file) => {
                message.write_line(&mut file.out);
                file.count += 1;
                file.first.get_or_insert(message.seq());
                file.last = Some(message.seq());
                if file.out.len() >= output::BLOCK_BYTES { Ok(file.write()?) } else { Ok(()) }
            }
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        match self {
            Self::Stdout(printer) => printer.print(),
            Self::File(file) => Ok(file.finish()?),
        }
    }

    /// What was written to a file.
    fn tell(&self, pool: &str) -> Result<(), Failure> {
        let Self::File(file) = self else { return Ok(()) };
        let line = if output::stdout_is_terminal() {
            let count = output::messages(file.count);
            let path = printable(&file.path.display().to_string());
            format!("{count} of {} exported to {path}\n", printable(pool))
        } else {
            output::json_line(&Receipt {
                exported: file.count,
                first_seq: file.first.map(Seq::get),
                last_seq: file.last.map(Seq::get),
                file: &file.path.to_string_lossy(),
            })
        };
        output::write_stdout(line.as_bytes())
    }
}

/// A file of exported messages.
struct Exported {
    file: File,
    path: std::path::PathBuf,
    /// The last message that an earlier run has written.
    goes_on_after: Option<Seq>,
    out: String,
    count: u64,
    first: Option<Seq>,
    last: Option<Seq>,
}

impl Exported {
    /// Creates the file, or with `resume` goes on with what an earlier run has left.
    fn open(path: &Path, resume: bool, pool: &Pool) -> Result<Self, Error> {
        let fail = |e: io::Error| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::io("create the export", path, &e)
                .with_hint("--resume goes on with it; otherwise name another file, or remove it"),
            _ => Error::io("open the export", path, &e)
                .with_hint("name a file that can be written, in a directory that exists"),
        };
        let mut options = OpenOptions::new();
        // Not writable for everybody, whatever the umask.
        options.read(true).write(true).create(resume).create_new(!resume).mode(0o664);
        let file = options.open(path).map_err(fail)?;
        let mut exported = Self {
            file,
            path: path.to_owned(),
            goes_on_after: None,
            out: String::new(),
            count: 0,
            first: None,
            last: None,
        };
        if resume {
            exported.goes_on_after = exported.last_line(pool)?;
        }
        Ok(exported)
    }

    /// The message of the file's last whole line. What is left of a line behind it is cut off.
    fn last_line(&mut self, pool: &Pool) -> Result<Option<Seq>, Error> {
        let fail = |e: io::Error| Error::io("read the export", &self.path, &e);
        let length = self.file.metadata().map_err(fail)?.len();
        let Some(end) = self.newline_before(length).map_err(fail)? else {
            // Not even one line was finished: it is only ours if it begins as ours do.
            self.check_beginning(length)?;
            self.file.set_len(0).map_err(fail)?;
            return Ok(None);
        };
        let start = self.newline_before(end).map_err(fail)?.map_or(0, |at| at + 1);
        let mut line = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut line, start).map_err(fail)?;
        let seq = self.check_line(&line, pool)?;
        self.file.set_len(end + 1).map_err(fail)?;
        io::Seek::seek(&mut self.file, io::SeekFrom::Start(end + 1)).map_err(fail)?;
        Ok(Some(seq))
    }

    /// Where the last newline before `end` is.
    fn newline_before(&self, mut end: u64) -> io::Result<Option<u64>> {
        let mut block = vec![0; output::BLOCK_BYTES];
        while end > 0 {
            let start = end.saturating_sub(block.len() as u64);
            let part = &mut block[..(end - start) as usize];
            self.file.read_exact_at(part, start)?;
            if let Some(at) = memrchr(b'\n', part) {
                return Ok(Some(start + at as u64));
            }
            end = start;
        }
        Ok(None)
    }

    fn check_beginning(&self, length: u64) -> Result<(), Error> {
        let wanted = b"{\"seq\":";
        let mut found = vec![0; wanted.len().min(length as usize)];
        let read = self.file.read_exact_at(&mut found, 0);
        read.map_err(|e| Error::io("read the export", &self.path, &e))?;
        if wanted.starts_with(&found) { Ok(()) } else { Err(self.foreign("it is no export")) }
    }

    /// The line has to be the pool's own, as far as the pool still has it.
    fn check_line(&self, line: &[u8], pool: &Pool) -> Result<Seq, Error> {
        #[derive(serde::Deserialize)]
        struct Line {
            seq: u64,
        }
        let parsed = serde_json::from_slice::<Line>(line);
        let seq = Seq::new(parsed.map_err(|_| self.foreign("its last line is no message"))?.seq);
        match pool.get(seq) {
            Ok(message) if message.to_json().as_bytes() == line => Ok(seq),
            Ok(_) => {
                Err(self.foreign(&format!("its last message is not message {seq} of the pool")))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && error.seq().is_some() => {
                if seq > pool.bounds()?.newest {
                    return Err(self.foreign(&format!("the pool has no message {seq} yet")));
                }
                Ok(seq)
            }
            Err(error) => Err(error),
        }
    }

    fn foreign(&self, why: &str) -> Error {
        Error::usage(format!("the file can't be resumed: {why}"))
            .with_path(&self.path)
            .with_hint("name another file")
    }

    fn write(&mut self) -> Result<(), Error> {
        let written = self.file.write_all(self.out.as_bytes());
        self.out.clear();
        self.out.shrink_to(4 * output::BLOCK_BYTES);
        written.map_err(|e| {
            Error::io("write the export", &self.path, &e)
                .with_hint("with --resume a later run goes on from here")
        })
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.write()?;
        // What is told to be exported is on the disk.
        match self.file.sync_all() {
            // A pipe or a device, which has no disk.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced.map_err(|e| Error::io("write the export", &self.path, &e)),
        }
    }
}
