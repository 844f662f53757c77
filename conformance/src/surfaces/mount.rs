//! The mount, by plain file calls.

mod daemon;
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Deserialize;

use super::{Address, Surface, no_reader};
use crate::envelope::Message;
use crate::manifest::{Action, Append, AppendMany, AppendStream, Writer};
use crate::outcome::{Failure, Got, Refusal};
use daemon::Daemon;
use stream::Stream;

/// The size of a pool that `mkdir` creates unless the mount was told another.
const DEFAULT_POOL_SIZE_BYTES: u64 = 1 << 20;
/// The extended attribute of a written name: the last message it became.
const RECEIPT: &str = "user.plasmite.seq";

pub(crate) struct Mount {
    dir: PathBuf,
    /// By the size of the pools that `mkdir` makes there.
    mountpoints: BTreeMap<u64, PathBuf>,
    readers: HashMap<String, Stream>,
    written: u64,
    /// The mounts of this process.
    daemons: Vec<Daemon>,
}

fn of_io(error: io::Error) -> Failure {
    Failure::of_io("use the mount", &error)
}

impl Mount {
    /// The mounts that are there, or are made when they are needed.
    pub(super) fn at(dir: PathBuf, mountpoints: BTreeMap<u64, PathBuf>) -> Self {
        Self { dir, mountpoints, readers: HashMap::new(), written: 0, daemons: Vec::new() }
    }

    /// The mount whose `mkdir` makes pools of this size.
    fn root(&mut self, size_bytes: u64) -> Result<PathBuf, Failure> {
        if let Some(root) = self.mountpoints.get(&size_bytes) {
            return Ok(root.clone());
        }
        let daemon = Daemon::start(&self.dir, size_bytes)?;
        let root = daemon.mountpoint().to_owned();
        self.daemons.push(daemon);
        self.mountpoints.insert(size_bytes, root.clone());
        Ok(root)
    }

    /// The directory of a pool.
    fn pool(&mut self, pool: &str) -> Result<PathBuf, Failure> {
        Ok(self.root(DEFAULT_POOL_SIZE_BYTES)?.join(pool))
    }

    /// The directory in it that shows the messages with these tags, and tags what is written there.
    fn tagged(&mut self, pool: &str, tags: &[String]) -> Result<PathBuf, Failure> {
        let pool = self.pool(pool)?;
        // Through `tags` each time: there a tag may have any name, also that of a view.
        Ok(tags.iter().fold(pool, |dir, tag| dir.join("tags").join(tag)))
    }

    /// A name in the pool's directory that nobody else writes.
    fn new_name(&mut self, ending: &str) -> String {
        self.written += 1;
        format!("written-{}-{}{ending}", std::process::id(), self.written)
    }

    fn create(&mut self, pool: &str, size_bytes: Option<u64>) -> Result<(), Failure> {
        let root = self.root(size_bytes.unwrap_or(DEFAULT_POOL_SIZE_BYTES))?;
        fs::create_dir(root.join(pool)).map_err(of_io)
    }

    fn append(&mut self, append: &Append) -> Result<Got, Failure> {
        if let Some(size) = append.create_size_bytes {
            let root = self.root(size)?;
            match fs::create_dir(root.join(&append.pool)) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(of_io(e)),
                _ => {}
            }
        }
        let path = self.tagged(&append.pool, &append.tags)?.join(self.new_name(".json"));
        let document = append.document.as_slice();
        let seq = write_file(&path, append.flush, &[document])?;
        Ok(Got::Appended(seq, seq))
    }

    /// Appends the documents of a text that is written in pieces.
    fn append_stream(
        &mut self,
        pool: &str,
        tags: &[String],
        pieces: &[&[u8]],
    ) -> Result<Got, Failure> {
        let path = self.tagged(pool, tags)?;
        let before = newest(&path)?;
        let last = write_file(&path.join(self.new_name(".jsonl")), false, pieces)?;
        Ok(Got::Appended(before + 1, last))
    }

    fn get(&mut self, pool: &str, seq: u64) -> Result<Got, Failure> {
        let pool = self.pool(pool)?;
        let whole = fs::read(pool.join(seq.to_string())).map_err(of_io)?;
        let data = fs::read(pool.join(format!("{seq}.json"))).map_err(of_io)?;
        let line = whole.strip_suffix(b"\n").ok_or("a message without a newline".to_owned())?;
        let message = Message::parse(line)?;
        if data.strip_suffix(b"\n") != Some(message.text.as_bytes()) {
            return Err(format!("{seq}.json gives other data than {seq}").into());
        }
        Ok(Got::Message(message))
    }
}

/// Writes a file in pieces; the seq of the last message that it became. What is refused as no message must have its reason
/// in `errors`.
fn write_file(path: &Path, flush: bool, pieces: &[&[u8]]) -> Result<u64, Failure> {
    match try_write_file(path, flush, pieces) {
        Err(Failure::Refused(Refusal::Errno(errno @ (Errno::INVAL | Errno::FBIG), _))) => {
            Err(Failure::Refused(Refusal::Errno(errno, Some(reason(path)?))))
        }
        result => result,
    }
}

/// What `errors`, in the directory of a file that was refused, says of it.
fn reason(path: &Path) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Line {
        name: String,
        reason: String,
    }
    let errors = fs::read(path.with_file_name("errors")).map_err(of_io)?;
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let lines = errors.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(serde_json::from_slice).collect::<Result<Vec<Line>, _>>();
    let lines = lines.map_err(|e| format!("a line of errors is no reason: {e}"))?;
    let line = lines.into_iter().rev().find(|line| line.name == name);
    line.map(|line| line.reason).ok_or_else(|| format!("errors says nothing of {name}").into())
}

fn try_write_file(path: &Path, flush: bool, pieces: &[&[u8]]) -> Result<u64, Failure> {
    let flags = if flush { OFlags::DSYNC } else { OFlags::empty() };
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(of_io)?;
    let written = pieces.iter().try_for_each(|piece| file.write_all(piece));
    // What is still unfinished is told by close alone.
    let closed = nix::unistd::close(OwnedFd::from(file));
    written.map_err(of_io)?;
    closed.map_err(|errno| of_io(io::Error::from(errno)))?;
    let mut receipt = [0; 32];
    let len = rustix::fs::getxattr(path, RECEIPT, &mut receipt[..])?;
    std::str::from_utf8(&receipt[..len])
        .ok()
        .and_then(|seq| seq.parse().ok())
        .ok_or_else(|| Failure::Broken(format!("{RECEIPT}={receipt:?}")))
}

/// The other views of a directory must show what its `tail` has given: its `log` the same lines, its listing the same seqs.
fn check_views(dir: &Path, since_seq: u64, messages: &[Message]) -> Result<(), Failure> {
    let log = fs::read(dir.join("log")).map_err(of_io)?;
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let logged = lines.map(Message::parse).collect::<Result<Vec<_>, _>>()?;
    let numbers: Vec<u64> = logged.iter().map(|message| message.seq).collect();
    let same = |(one, other): (&Message, &Message)| one.seq == other.seq && one.text == other.text;
    let logged: Vec<_> = logged.iter().filter(|message| message.seq >= since_seq).collect();
    if logged.len() != messages.len() || !logged.into_iter().zip(messages).all(same) {
        return Err(format!("log has {numbers:?}, tail {} others", messages.len()).into());
    }
    let mut listed = Vec::new();
    for name in names_in(dir)? {
        let number = name.parse::<u64>().map_err(|_| format!("{name:?} is listed"))?;
        listed.push(number);
    }
    listed.sort_unstable();
    if listed != numbers {
        return Err(format!("the listing has {listed:?}, log {numbers:?}").into());
    }
    Ok(())
}

fn names_in(dir: &Path) -> Result<Vec<String>, Failure> {
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let names: io::Result<Vec<_>> = fs::read_dir(dir).map_err(of_io)?.map(name).collect();
    names.map_err(of_io)
}

/// The facts of the pool with this directory.
fn info(pool: &Path) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    let facts = fs::read(pool.join("info.json")).map_err(of_io)?;
    serde_json::from_slice(&facts).map_err(|e| format!("info.json is no JSON: {e}").into())
}

/// The pool's newest seq, or 0.
fn newest(pool: &Path) -> Result<u64, Failure> {
    let next = info(pool)?.get("next_seq").and_then(serde_json::Value::as_u64);
    next.map(|next| next - 1).ok_or_else(|| "info.json has no next_seq".to_owned().into())
}

impl Surface for Mount {
    fn cannot(&self, action: &Action) -> Option<&'static str> {
        if action.pool().is_some_and(|pool| pool.contains('/')) {
            return Some("a pool is one name in the mount, and a slash makes two of it");
        }
        let no_name = |tags: &[String]| {
            let is_no_name =
                |tag: &String| matches!(tag.as_str(), "" | "." | "..") || tag.contains(['/', '\0']);
            tags.iter().any(is_no_name).then_some("no directory can have the tag's name")
        };
        match action {
            Action::Append(Append { tags, .. })
            | Action::AppendMany(AppendMany { tags, .. })
            | Action::AppendStream(AppendStream { tags, .. }) => no_name(tags),
            Action::Tail { from, .. } | Action::OpenTail { from, .. } if from.error_on_gap => {
                Some("a file can't tell a gap: a stream goes on, and seq shows the jump")
            }
            Action::Tail { from, .. } | Action::OpenTail { from, .. } => no_name(&from.tags),
            Action::Spawn(spawn) => spawn.writers.iter().find_map(|writer| no_name(&writer.tags)),
            _ => None,
        }
    }

    fn prepare(&mut self, action: &Action) -> Result<(), Failure> {
        self.root(DEFAULT_POOL_SIZE_BYTES)?;
        match action {
            Action::CreatePool { size_bytes: Some(size), .. }
            | Action::Append(Append { create_size_bytes: Some(size), .. }) => {
                self.root(*size).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn play(&mut self, action: &Action) -> Result<Got, Failure> {
        match action {
            Action::CreatePool { pool, size_bytes } => {
                self.create(pool, *size_bytes).map(|()| Got::Created)
            }
            Action::Append(append) => self.append(append),
            Action::AppendMany(AppendMany { pool, documents, tags }) => {
                let text = documents.join(&b'\n');
                self.append_stream(pool, tags, &[text.as_slice()])
            }
            Action::AppendStream(AppendStream { pool, text, chunk_bytes, tags }) => {
                self.append_stream(pool, tags, &text.chunks(*chunk_bytes).collect::<Vec<_>>())
            }
            Action::Get { pool, seq } => self.get(pool, *seq),
            Action::Tail { pool, from, max, timeout_ms } => {
                let dir = self.tagged(pool, &from.tags)?;
                let messages = Stream::open(&dir, from.since_seq)?.read(*max, *timeout_ms)?;
                if max.is_none() {
                    check_views(&dir, from.since_seq.unwrap_or(0), &messages)?;
                }
                Ok(Got::Messages(messages))
            }
            Action::OpenTail { pool, reader, from } => {
                let stream = Stream::open(&self.tagged(pool, &from.tags)?, from.since_seq)?;
                self.readers.insert(reader.clone(), stream);
                Ok(Got::Done)
            }
            Action::ReadTail { reader, max, timeout_ms } => {
                let stream = self.readers.get_mut(reader).ok_or_else(|| no_reader(reader))?;
                stream.read(*max, *timeout_ms).map(Got::Messages)
            }
            Action::CloseTail { reader } => {
                self.readers.remove(reader).map(|_| Got::Done).ok_or_else(|| no_reader(reader))
            }
            Action::ListPools => {
                let mut names = names_in(&self.root(DEFAULT_POOL_SIZE_BYTES)?)?;
                names.sort();
                Ok(Got::Names(names))
            }
            Action::PoolInfo { pool } => info(&self.pool(pool)?).map(Got::Info),
            Action::DeletePool { pool } => {
                fs::remove_dir(self.pool(pool)?).map_err(of_io)?;
                Ok(Got::Deleted)
            }
            _ => Err(super::not_played_here(action)),
        }
    }

    /// One open file, and a write for each document, as `producer >> docs/in` does it.
    fn write(&mut self, pool: &str, writer: &Writer) -> Result<(), Failure> {
        let path = self.tagged(pool, &writer.tags)?.join(self.new_name(".jsonl"));
        let lines: Vec<_> =
            writer.documents.iter().map(|d| [d, b"\n".as_slice()].concat()).collect();
        write_file(&path, false, &lines.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        Ok(())
    }

    /// The daemon keeps pools open: it ends, and the next step mounts anew.
    fn let_go(&mut self) {
        self.mountpoints.clear();
        self.daemons.clear();
    }

    fn address(&self) -> Address {
        Address::Mount(self.dir.clone(), self.mountpoints.clone())
    }
}
