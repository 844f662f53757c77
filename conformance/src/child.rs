//! Processes that work at the same time: this program again, which gets ready, waits for the word, and does its part.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::Kind;
use crate::manifest::{Step, Writer};
use crate::outcome::{Failure, Refusal, Tally};
use crate::surfaces::{Address, Surface};

/// The argument that makes this program such a process.
pub(crate) const VERB: &str = "child";

/// What the process is to do.
#[derive(Debug, Deserialize, Serialize)]
struct Job {
    surface: Address,
    work: Work,
}

/// Its part.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// Appends one document after the other.
    Write { pool: String, documents: Vec<String>, tags: Vec<String>, killed: bool },
    /// Plays a step, and tells whether it succeeded.
    Try(Value),
    /// Plays a step, which must give what it says.
    Play(Value),
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Report {
    Succeeded,
    Failed(Option<Kind>, String),
    Wrong(String),
}

/// All kinds, to ask which ones an errno may be.
const KINDS: std::ops::RangeInclusive<i32> = 1..=9;

impl Work {
    /// What a writer does.
    pub(crate) fn write(pool: &str, writer: &Writer) -> Self {
        let text = |document: &Vec<u8>| String::from_utf8_lossy(document).into_owned();
        Self::Write {
            pool: pool.to_owned(),
            documents: writer.documents.iter().map(text).collect(),
            tags: writer.tags.clone(),
            killed: writer.killed,
        }
    }
}

/// Does all works at once, each in a process of its own.
///
/// # Errors
/// One of them did not do what it must.
pub(crate) fn at_once(surface: &dyn Surface, works: &[Work]) -> Result<Tally, Failure> {
    let mut workers = works
        .iter()
        .map(|work| Worker::start(surface.address(), work.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    workers.iter_mut().try_for_each(Worker::wait_until_ready)?;
    workers.iter_mut().try_for_each(Worker::go)?;
    let mut tally = Tally::default();
    for worker in workers {
        match worker.finish()? {
            Report::Succeeded => tally.succeeded += 1,
            Report::Failed(Some(kind), _) => *tally.failed.entry(kind).or_default() += 1,
            Report::Failed(None, why) => {
                return Err(Failure::Broken(format!("an error of no kind: {why}")));
            }
            Report::Wrong(what) => return Err(Failure::Broken(what)),
        }
    }
    Ok(tally)
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    killed: bool,
}

fn broken(error: io::Error) -> Failure {
    Failure::Broken(format!("a process that works alongside: {error}"))
}

impl Worker {
    fn start(surface: Address, work: Work) -> Result<Self, Failure> {
        let killed = matches!(work, Work::Write { killed: true, .. });
        let job = serde_json::to_string(&Job { surface, work }).map_err(|e| e.to_string())?;
        let this = std::env::current_exe().map_err(broken)?;
        let mut command = Command::new(this);
        command.arg(VERB).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(broken)?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Broken("a process without pipes".into()));
        };
        writeln!(stdin, "{job}").map_err(broken)?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), killed })
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(broken)?;
        Ok(line)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        match self.line()?.as_str() {
            "ready\n" => Ok(()),
            line => Err(Failure::Broken(format!("a process did not get ready: {line:?}"))),
        }
    }

    fn go(&mut self) -> Result<(), Failure> {
        writeln!(self.stdin, "go").map_err(broken)
    }

    fn finish(mut self) -> Result<Report, Failure> {
        let line = self.line()?;
        let status = self.child.wait().map_err(broken)?;
        let report = serde_json::from_str(&line)
            .map_err(|e| format!("a process ended with {status} and said {line:?} ({e})"))?;
        if self.killed == status.success() {
            return Err(Failure::Broken(format!("a process ended with {status}")));
        }
        Ok(report)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does.
pub(crate) fn run() -> Result<(), String> {
    let mut lines = io::stdin().lines();
    let mut line = move || match lines.next() {
        Some(line) => line.map_err(|e| e.to_string()),
        None => Err("no more input".to_owned()),
    };
    let Job { surface, work } = serde_json::from_str(&line()?).map_err(|e| e.to_string())?;
    let mut surface = surface.open();
    say("ready")?;
    if line()? != "go" {
        return Err("not told to go".into());
    }
    let mut dies = false;
    let report = match work {
        Work::Write { pool, documents, tags, killed } => {
            let documents = documents.into_iter().map(String::into_bytes).collect();
            let written = surface.write(&pool, &Writer { documents, tags, killed });
            dies = killed;
            written.map_or_else(report_of, |_| Report::Succeeded)
        }
        Work::Try(step) => {
            let step = Step::parse(0, step)?;
            surface.play(&step.action).map_or_else(report_of, |_| Report::Succeeded)
        }
        Work::Play(step) => {
            let step = Step::parse(0, step)?;
            match step.expect().check(&surface.play(&step.action)) {
                Ok(()) => Report::Succeeded,
                Err(why) => Report::Wrong(format!("alongside, {}: {why}", step.label)),
            }
        }
    };
    say(&serde_json::to_string(&report).map_err(|e| e.to_string())?)?;
    if dies && let Some(this) = Pid::from_raw(std::process::id() as i32) {
        // Nothing of this process gets a chance to tidy up.
        kill_process(this, Signal::KILL).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn report_of(failure: Failure) -> Report {
    match failure {
        Failure::Refused(refusal) => Report::Failed(kind(&refusal), refusal.to_string()),
        Failure::Broken(what) => Report::Wrong(what),
    }
}

/// The kind, or the first one of those that an errno may be.
fn kind(refusal: &Refusal) -> Option<Kind> {
    KINDS.filter_map(Kind::of_code).find(|kind| refusal.is(*kind))
}

fn say(line: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|e| e.to_string())
}
