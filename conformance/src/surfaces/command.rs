//! The `plasmite` command: real processes, whose stdout, stderr and exit code all have to be right.

mod follow;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{self, ChildStdin, Stdio};
use std::thread;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Address, Surface, no_reader};
use crate::envelope::Message;
use crate::kind::Kind;
use crate::manifest::{Action, Append, AppendMany, AppendStream, Writer};
use crate::outcome::{Failure, Got, Refusal};
use follow::Follow;

/// Longer documents go through stdin: the system limits one argument to 128 KiB.
const LONGEST_ARGUMENT: usize = 100 << 10;

pub(crate) struct Command {
    dir: PathBuf,
    readers: HashMap<String, Follow>,
}

/// What the command said in the end.
struct Ended {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// None: a signal ended it.
    code: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldError {
    error: Told,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    kind: Kind,
    message: String,
    hint: Option<String>,
    path: Option<String>,
    seq: Option<u64>,
    offset: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    seq: u64,
    time: String,
    meta: Meta,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    tags: Vec<String>,
}

/// The error that the command told on stderr, which must fit its exit code.
pub(super) fn refusal(stderr: &[u8], code: Option<i32>) -> Failure {
    let text = String::from_utf8_lossy(stderr);
    let told = text.lines().rfind(|line| line.starts_with("{\"error\":"));
    let told = match told.map(serde_json::from_str::<ToldError>) {
        Some(Ok(ToldError { error })) => error,
        Some(Err(e)) => return Failure::Broken(format!("a malformed error ({e}): {text}")),
        None => return Failure::Broken(format!("exit code {code:?} without an error: {text:?}")),
    };
    let Told { kind, message, hint, path, seq, offset } = told;
    if code != Some(kind.code()) {
        let right = kind.code();
        return Failure::Broken(format!("exit code {code:?} with {kind:?}, which has {right}"));
    }
    let text = hint.map_or(message.clone(), |hint| format!("{message}; {hint}"));
    Failure::Refused(Refusal::Told {
        kind,
        text,
        path: path.is_some(),
        seq: seq.is_some(),
        offset: offset.is_some(),
    })
}

impl From<process::Output> for Ended {
    fn from(output: process::Output) -> Self {
        Self { stdout: output.stdout, stderr: output.stderr, code: output.status.code() }
    }
}

impl Ended {
    /// The lines on stdout, when all went well.
    fn lines(&self) -> Result<Vec<&[u8]>, Failure> {
        if self.code != Some(0) {
            return Err(refusal(&self.stderr, self.code));
        }
        lines(&self.stdout)
    }
}

/// The lines of an output, each of which must be complete.
fn lines(stdout: &[u8]) -> Result<Vec<&[u8]>, Failure> {
    match stdout.strip_suffix(b"\n") {
        Some(lines) => Ok(lines.split(|byte| *byte == b'\n').collect()),
        None if stdout.is_empty() => Ok(Vec::new()),
        None => Err(Failure::Broken("the output does not end with a newline".into())),
    }
}

fn objects(lines: &[&[u8]]) -> Result<Vec<Map<String, Value>>, Failure> {
    lines
        .iter()
        .map(|line| serde_json::from_slice(line).map_err(|e| format!("no JSON ({e})").into()))
        .collect()
}

/// The seqs of receipts, which must follow each other.
fn receipts(lines: &[&[u8]], tags: &[String], consecutive: bool) -> Result<Got, Failure> {
    let mut seqs = Vec::new();
    for line in lines {
        let receipt: Receipt = serde_json::from_slice(line)
            .map_err(|e| format!("no receipt ({e}): {}", String::from_utf8_lossy(line)))?;
        let Receipt { seq, time, meta } = &receipt;
        let right = format!(
            "{{\"seq\":{seq},\"time\":\"{time}\",\"meta\":{{\"tags\":{}}}}}",
            Value::from(tags)
        );
        if *line != right.as_bytes() || meta.tags != tags {
            let line = String::from_utf8_lossy(line);
            return Err(format!("the receipt is {line}, expected {right}").into());
        }
        if consecutive && seqs.last().is_some_and(|last| last + 1 != receipt.seq) {
            return Err(format!("receipt {} after {seqs:?}", receipt.seq).into());
        }
        seqs.push(receipt.seq);
    }
    match (seqs.first(), seqs.last()) {
        (Some(first), Some(last)) => Ok(Got::Appended(*first, *last)),
        _ => Err(Failure::Broken("exit code 0 without a receipt".into())),
    }
}

impl Command {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, readers: HashMap::new() }
    }

    fn plasmite<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<process::Command, Failure> {
        let mut command = process::Command::new(super::plasmite()?);
        command.arg("--dir").arg(&self.dir).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs the command to its end.
    fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Ended, Failure> {
        let output = self.plasmite(args)?.output().map_err(|e| cannot_run(&e))?;
        Ok(output.into())
    }

    /// Runs the command to its end, with this on its stdin, written in pieces.
    fn run_on(&self, args: &[String], text: &[u8], chunk_bytes: usize) -> Result<Ended, Failure> {
        let mut command = self.plasmite(args)?;
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(|e| cannot_run(&e))?;
        let input = child.stdin.take();
        let output = thread::scope(|scope| {
            scope.spawn(move || {
                // A command that refuses what it reads does not read on.
                let write = |mut input: ChildStdin| {
                    text.chunks(chunk_bytes).try_for_each(|chunk| input.write_all(chunk))
                };
                input.map(write)
            });
            child.wait_with_output()
        });
        Ok(output.map_err(|e| cannot_run(&e))?.into())
    }

    fn feed(&self, append: &Append) -> Result<Got, Failure> {
        let size = append.create_size_bytes.map(|size| size.to_string());
        let mut options = Vec::new();
        if append.flush {
            options.extend(["--durability", "flush"]);
        }
        if let Some(size) = &size {
            options.extend(["--create", "--create-size", size]);
        }
        let mut args = feed_args(&options, &append.pool, &append.tags);
        let argument = std::str::from_utf8(&append.document)
            .ok()
            .filter(|text| text.len() <= LONGEST_ARGUMENT && !text.contains('\0') && *text != "-");
        let ended = match argument {
            Some(json) => {
                args.push(json.to_owned());
                self.run(&args)
            }
            None => self.run_on(&args, &append.document, append.document.len()),
        }?;
        receipts(&ended.lines()?, &append.tags, true)
    }

    fn feed_text(
        &self,
        pool: &str,
        text: &[u8],
        chunk_bytes: usize,
        tags: &[String],
    ) -> Result<Got, Failure> {
        let ended = self.run_on(&feed_args(&[], pool, tags), text, chunk_bytes)?;
        receipts(&ended.lines()?, tags, true)
    }

    fn fetch(&self, pool: &str, seq: u64) -> Result<Got, Failure> {
        let seq = seq.to_string();
        let whole = self.run(&["fetch", "--", pool, &seq])?;
        let [line] = whole.lines()?[..] else {
            return Err(Failure::Broken("fetch gave not one line".into()));
        };
        let message = Message::parse(line)?;
        let data = self.run(&["fetch", "--data-only", "--", pool, &seq])?;
        if data.lines()? != [message.text.as_bytes()] {
            return Err(Failure::Broken("fetch --data-only gives other data".into()));
        }
        Ok(Got::Message(message))
    }

    fn info(&self, pool: &str) -> Result<Got, Failure> {
        let ended = self.run(&["pool", "info", "--", pool])?;
        match objects(&ended.lines()?)?.pop() {
            Some(facts) => Ok(Got::Info(facts)),
            None => Err(Failure::Broken("pool info gave nothing".into())),
        }
    }

    fn list(&self) -> Result<Got, Failure> {
        let ended = self.run(&["pool", "list"])?;
        let name = |pool: &Map<String, Value>| {
            let name = pool.get("name").and_then(Value::as_str).map(str::to_owned);
            name.ok_or_else(|| Failure::Broken("a listed pool without a name".into()))
        };
        objects(&ended.lines()?)?.iter().map(name).collect::<Result<_, _>>().map(Got::Names)
    }
}

fn cannot_run(error: &std::io::Error) -> Failure {
    Failure::Broken(format!("cannot run the command: {error}"))
}

fn feed_args(options: &[&str], pool: &str, tags: &[String]) -> Vec<String> {
    let mut args = vec!["feed".to_owned()];
    args.extend(options.iter().map(|&option| option.to_owned()));
    args.extend(tags.iter().map(|tag| format!("--tag={tag}")));
    args.extend(["--".to_owned(), pool.to_owned()]);
    args
}

impl Surface for Command {
    fn cannot(&self, action: &Action) -> Option<&'static str> {
        match action {
            Action::Tail { from, .. } | Action::OpenTail { from, .. }
                if from.error_on_gap && from.since_seq.is_some() =>
            {
                Some("follow starts at a retained message, it can't ask for a lost one")
            }
            _ => None,
        }
    }

    fn prepare(&mut self, _: &Action) -> Result<(), Failure> {
        Ok(())
    }

    fn play(&mut self, action: &Action) -> Result<Got, Failure> {
        match action {
            Action::CreatePool { pool, size_bytes } => {
                let size = size_bytes.map(|size| size.to_string());
                let mut args = vec!["pool", "create"];
                args.extend(size.iter().flat_map(|size| ["--size", size]));
                args.extend(["--", pool]);
                self.run(&args)?.lines()?;
                Ok(Got::Created)
            }
            Action::Append(append) => self.feed(append),
            Action::AppendMany(AppendMany { pool, documents, tags }) => {
                self.feed_text(pool, &documents.join(&b'\n'), usize::MAX, tags)
            }
            Action::AppendStream(AppendStream { pool, text, chunk_bytes, tags }) => {
                self.feed_text(pool, text, *chunk_bytes, tags)
            }
            Action::Get { pool, seq } => self.fetch(pool, *seq),
            Action::Tail { pool, from, max, timeout_ms } => {
                let command = self.plasmite(&follow::args(pool, from, *timeout_ms))?;
                Follow::start(command)?.read_to_end(*max, timeout_ms.is_some())
            }
            Action::OpenTail { pool, reader, from } => {
                let follow = Follow::start(self.plasmite(&follow::args(pool, from, None))?)?;
                self.readers.insert(reader.clone(), follow);
                Ok(Got::Done)
            }
            Action::ReadTail { reader, max, timeout_ms } => {
                let follow = self.readers.get_mut(reader).ok_or_else(|| no_reader(reader))?;
                follow.read(*max, *timeout_ms)
            }
            Action::CloseTail { reader } => {
                self.readers.remove(reader).map(|_| Got::Done).ok_or_else(|| no_reader(reader))
            }
            Action::ListPools => self.list(),
            Action::PoolInfo { pool } => self.info(pool),
            Action::DeletePool { pool } => {
                self.run(&["pool", "delete", "--", pool])?.lines()?;
                Ok(Got::Deleted)
            }
            _ => Err(super::not_played_here(action)),
        }
    }

    /// One `feed`. One that is to be killed is, as soon as its last receipt is out and while its stdin is open.
    fn write(&mut self, pool: &str, writer: &Writer) -> Result<(), Failure> {
        let mut command = self.plasmite(&feed_args(&[], pool, &writer.tags))?;
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(|e| cannot_run(&e))?;
        let (Some(mut input), Some(output), Some(mut errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::Broken("a process without pipes".into()));
        };
        let mut stdout = Vec::new();
        thread::scope(|scope| {
            let feeding = scope.spawn(move || {
                for document in &writer.documents {
                    if input.write_all(&[document.as_slice(), b"\n"].concat()).is_err() {
                        break;
                    }
                }
                // Kept open for a writer that is to be killed.
                writer.killed.then_some(input)
            });
            let mut output = BufReader::new(output);
            for _ in 0..writer.documents.len() {
                if output.read_until(b'\n', &mut stdout)? == 0 {
                    break;
                }
            }
            if writer.killed {
                child.kill()?;
            }
            drop(feeding.join());
            output.read_to_end(&mut stdout).map(drop)
        })
        .map_err(|e| cannot_run(&e))?;
        let mut stderr = Vec::new();
        errors.read_to_end(&mut stderr).map_err(|e| cannot_run(&e))?;
        let code = child.wait().map_err(|e| cannot_run(&e))?.code();
        let right = if writer.killed { None } else { Some(0) };
        if code != right {
            return Err(refusal(&stderr, code));
        }
        let lines = lines(&stdout)?;
        if lines.len() != writer.documents.len() {
            return Err(Failure::Broken(format!(
                "{} receipts for {} messages",
                lines.len(),
                writer.documents.len()
            )));
        }
        receipts(&lines, &writer.tags, false)?;
        Ok(())
    }

    fn address(&self) -> Address {
        Address::Command(self.dir.clone())
    }
}
