//! `--cursor-file`: where a reader stopped, so that its next run goes on there.
//!
//! The file is one JSON line, written in place with one call and never shortened: whoever is killed at any instant leaves
//! the old line or the new one. It is written after messages have gone to stdout, so what was delivered since the last
//! write is delivered again: at least once, never skipped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use plasmite_core::{Error, ErrorKind, Message, Pool, Seq, Timestamp};
use serde::{Deserialize, Serialize};

/// What the line's first member says: the version of its form.
const FORM: u32 = 1;
/// The line is filled up with spaces to this length at least, so that a longer number does not make it longer.
const LINE_BYTES: usize = 256;
/// A larger file is no cursor.
const MAX_BYTES: u64 = 16 << 10;

/// The last message that was dealt with: delivered, or not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    seq: Seq,
    /// Not known when the message was not there any more.
    time: Option<Timestamp>,
}

/// The file's line.
#[derive(Serialize, Deserialize)]
struct Line {
    plasmite_cursor: u32,
    seq: u64,
    time: Option<String>,
    pool_id: String,
    pool: String,
}

/// What the file says about where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// There was no cursor yet.
    Anew,
    /// Go on with this message.
    At(Seq),
    /// The pool was deleted and created again since: none of its messages was delivered yet.
    Recreated,
}

/// An open cursor file that is ours alone.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: File,
    path: PathBuf,
    pool_id: String,
    pool: String,
    /// The bytes that the file has.
    length: usize,
    saved: Option<Mark>,
}

impl Cursor {
    /// Opens or creates the file for reading `pool`, which is called `name`.
    ///
    /// # Errors
    /// Usage when the file is no cursor of this pool, Busy when another reader uses it.
    pub(crate) fn open(path: &Path, pool: &Pool, name: &str) -> Result<(Self, Begin), Error> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Busy, "another reader uses the cursor file")
                    .with_path(path)
                    .with_hint("each reader needs a cursor file of its own"));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Error::io("lock the cursor file", path, &error));
            }
        }
        let read = io::read_to_string(&file);
        let text = match read {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(no_cursor(path));
            }
            Err(error) => return Err(Error::io("read the cursor file", path, &error)),
        };
        let full = std::path::absolute(pool.path()).unwrap_or_else(|_| pool.path().to_owned());
        let mut cursor = Self {
            file,
            path: path.to_owned(),
            pool_id: hex(&pool.id()),
            pool: full.to_string_lossy().into_owned(),
            length: text.len(),
            saved: None,
        };
        if text.is_empty() {
            return Ok((cursor, Begin::Anew));
        }
        let line: Line = serde_json::from_str(&text).map_err(|_| no_cursor(path))?;
        if line.plasmite_cursor != FORM {
            let version = line.plasmite_cursor;
            return Err(Error::usage(format!(
                "the cursor file has form {version}, and this command knows form {FORM}"
            ))
            .with_path(path)
            .with_hint("use the newer command that wrote it, or another file"));
        }
        let time = line.time.as_deref().map(Timestamp::parse).transpose();
        let mark = Mark { seq: Seq::new(line.seq), time: time.map_err(|_| no_cursor(path))? };
        if line.pool_id != cursor.pool_id {
            if line.pool == cursor.pool {
                return Ok((cursor, Begin::Recreated));
            }
            return Err(Error::usage(format!(
                "the cursor file belongs to another pool: {}, not {name}",
                line.pool
            ))
            .with_path(path)
            .with_hint("each pool needs a cursor file of its own; remove this one to begin anew"));
        }
        cursor.saved = Some(mark);
        Ok((cursor, Begin::At(after(pool, mark)?)))
    }

    /// Notes that everything before `next` was dealt with; `last` is the last message that was looked at.
    ///
    /// # Errors
    /// Io, when the file can't be written.
    pub(crate) fn save(
        &mut self,
        pool: &Pool,
        next: Seq,
        last: Option<(Seq, Timestamp)>,
    ) -> Result<(), Error> {
        let seq = next.prev();
        if self.saved.is_some_and(|saved| saved.seq == seq) {
            return Ok(());
        }
        let time = match last {
            Some((last, time)) if last == seq => Some(time),
            _ => time_of(pool, seq)?,
        };
        let mark = Mark { seq, time };
        let fail = |e: io::Error| Error::io("write the cursor file", &self.path, &e);
        let first = self.length == 0;
        let line = self.line(mark);
        self.file.write_all_at(line.as_bytes(), 0).map_err(fail)?;
        if first {
            // From now on only bytes of one sector change, which a power loss leaves old or new.
            self.file.sync_all().map_err(fail)?;
            let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let dir = File::open(dir.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
            dir.map_err(fail)?;
        }
        self.length = line.len();
        self.saved = Some(mark);
        Ok(())
    }

    fn line(&self, mark: Mark) -> String {
        let line = Line {
            plasmite_cursor: FORM,
            seq: mark.seq.get(),
            time: mark.time.map(|time| time.to_string()),
            pool_id: self.pool_id.clone(),
            pool: self.pool.clone(),
        };
        // Numbers and strings always have a JSON form.
        let text = serde_json::to_string(&line).unwrap_or_default();
        let width = self.length.max(LINE_BYTES).saturating_sub(1);
        format!("{text:width$}\n")
    }
}

/// The message after the mark. When a power loss took messages back that `fast` writers had appended, their numbers were
/// given to others since, which are later than the mark.
fn after(pool: &Pool, mark: Mark) -> Result<Seq, Error> {
    let next = mark.seq.next();
    let edge = pool.bounds()?.newest.next();
    let later = match mark.time {
        Some(time) => pool.seq_at(Timestamp::from_nanos(time.as_nanos().saturating_add(1)))?,
        None => edge,
    };
    // A message that is overwritten already is for the tail to miss.
    Ok(next.min(later.min(edge)))
}

fn time_of(pool: &Pool, seq: Seq) -> Result<Option<Timestamp>, Error> {
    match pool.get(seq) {
        Ok(message) => Ok(Some(message.time())),
        Err(error) if error.kind() == ErrorKind::NotFound && error.seq().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> Result<File, Error> {
    // O_NONBLOCK: a FIFO must not make us wait before it is refused.
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        // Not writable for everybody, whatever the umask.
        .mode(0o664)
        .truncate(false)
        .custom_flags(flags.cast_signed())
        .open(path)
        .map_err(|e| {
            Error::io("open the cursor file", path, &e)
                .with_hint("name a file that can be written, in a directory that exists")
        })?;
    let meta = file.metadata().map_err(|e| Error::io("look at the cursor file", path, &e))?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(no_cursor(path));
    }
    Ok(file)
}

/// It may be anything of somebody's: it is left alone.
fn no_cursor(path: &Path) -> Error {
    Error::usage("the file is no cursor file")
        .with_path(path)
        .with_hint("name a file that does not exist yet; remove this one if it is a damaged cursor")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a saved cursor needs of a message.
pub(crate) fn seen(message: &Message) -> (Seq, Timestamp) {
    (message.seq(), message.time())
}
