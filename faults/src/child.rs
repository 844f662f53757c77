//! Child processes of the four kinds, and what they acknowledged before they died.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plasmite_core::failpoint::{DIE_AT, Failpoint};

use crate::document;
use crate::roles::Manner;

/// How long a child may take for what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;

/// Through which surface a writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Rust,
    Python,
    Command,
    Mount,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Command => "command",
            Self::Mount => "mount daemon",
        }
    }
}

/// What a message was acknowledged with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub(crate) n: u64,
    /// None: this surface does not tell.
    pub(crate) seq: Option<u64>,
    pub(crate) flushed: bool,
}

/// Where a process is to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aim {
    pub(crate) point: Failpoint,
    pub(crate) pass: u64,
}

/// The programs that are started.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) me: PathBuf,
    pub(crate) plasmite: PathBuf,
    pub(crate) libraries: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) repository: PathBuf,
}

impl Programs {
    pub(crate) fn find() -> Result<Self, String> {
        let me = std::env::current_exe().map_err(|e| e.to_string())?;
        let libraries = me.parent().ok_or("this program has no directory")?.to_owned();
        let plasmite = libraries.join("plasmite");
        if !plasmite.is_file() {
            return Err(format!("{} is missing: build the package plasmite", plasmite.display()));
        }
        // What is called python3 may be a script that looks for one, each time.
        let asked = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .map_err(|e| format!("python3: {e}"))?;
        let python = String::from_utf8_lossy(&asked.stdout).trim().into();
        let repository =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { me, plasmite, libraries, python, repository })
    }

    /// This program in one of its roles.
    pub(crate) fn role(&self, role: &str, path: &Path) -> Command {
        let mut command = Command::new(&self.me);
        command.arg(role).arg(path);
        command
    }

    /// The command, with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.plasmite);
        command.args(args);
        command
    }

    /// One of the campaign's Python programs.
    pub(crate) fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg(self.repository.join("faults/src").join(script))
            .env("PYTHONPATH", self.repository.join("bindings/python/src"))
            .env("PLASMITE_LIB_DIR", &self.libraries);
        command
    }

    /// The daemon of a mount.
    pub(crate) fn daemon(&self, pools: &Path, mountpoint: &Path) -> Command {
        let mut command = self.command(&["mount"]);
        command.arg(pools).arg(mountpoint);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A writer. `path` is the pool file, or the name in a mount that is written to.
    fn writer(&self, kind: Kind, path: &Path, who: u64, manner: Manner) -> Command {
        let mut command = match kind {
            Kind::Rust => self.role("writer", path),
            Kind::Mount => self.role("file-writer", path),
            Kind::Python => {
                let mut command = self.python("writer.py");
                command.arg(path);
                command
            }
            Kind::Command => {
                let mut command = self.command(&["feed"]);
                command.arg(path);
                if manner.flush_every > 0 {
                    command.args(["--durability", "flush"]);
                }
                return command;
            }
        };
        command.arg(who.to_string()).args(manner.args());
        command
    }
}

/// A running writer.
pub(crate) struct Writer {
    pub(crate) kind: Kind,
    pub(crate) who: u64,
    manner: Manner,
    child: Child,
    ready: Receiver<()>,
    acks: JoinHandle<Vec<Ack>>,
    stdin: Option<ChildStdin>,
    feeder: Option<JoinHandle<()>>,
    errors: PathBuf,
}

/// What is left of a writer.
pub(crate) struct Ended {
    pub(crate) kind: Kind,
    pub(crate) who: u64,
    pub(crate) acks: Vec<Ack>,
    pub(crate) killed: bool,
    /// Why it ended by itself, if not because all was written.
    pub(crate) failure: Option<String>,
}

impl Writer {
    pub(crate) fn start(
        programs: &Programs,
        kind: Kind,
        path: &Path,
        who: u64,
        manner: Manner,
        aim: Option<Aim>,
    ) -> Result<Self, String> {
        let errors =
            std::env::temp_dir().join(format!("plasmite-storm-{}-{who}", std::process::id()));
        let stderr = File::create(&errors).map_err(|e| e.to_string())?;
        let mut command = programs.writer(kind, path, who, manner);
        aimed(&mut command, aim);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", kind.name()))?;
        let (told, ready) = channel();
        let out = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let flushes = kind == Kind::Command && manner.flush_every > 0;
        let acks = thread::spawn(move || {
            let mut acks = Vec::new();
            let mut out = out;
            let mut line = String::new();
            // What follows the last newline was cut by the kill.
            while out.read_line(&mut line).is_ok() && line.ends_with('\n') {
                if let Some(ack) = parse(&line, acks.len() as u64 + 1, flushes) {
                    acks.push(ack);
                }
                let _ = told.send(());
                line.clear();
            }
            acks
        });
        let stdin = child.stdin.take();
        Ok(Self { kind, who, manner, child, ready, acks, stdin, feeder: None, errors })
    }

    /// Waits until it can write, or is dead. The command says nothing before its first receipt.
    pub(crate) fn wait_until_ready(&self) {
        if self.kind != Kind::Command {
            let _ = self.ready.recv_timeout(PATIENCE);
        }
    }

    /// Lets it write.
    pub(crate) fn go(&mut self) {
        let Some(mut stdin) = self.stdin.take() else { return };
        if self.kind == Kind::Command {
            let (who, manner) = (self.who, self.manner);
            self.feeder = Some(thread::spawn(move || feed(stdin, who, manner)));
        } else {
            // One that died at its aim does not read it.
            let _ = stdin.write_all(b"\n");
            self.stdin = Some(stdin);
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
    }

    /// Waits for a death that it brings upon itself.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, String> {
        wait(&mut self.child)
    }

    pub(crate) fn end(mut self) -> Result<Ended, String> {
        let status = self.wait()?;
        drop(self.stdin.take());
        if let Some(feeder) = self.feeder {
            let _ = feeder.join();
        }
        let acks = self.acks.join().map_err(|_| "the thread that reads receipts died")?;
        let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let _ = std::fs::remove_file(&self.errors);
        let killed = was_killed(status);
        let failure = (!killed && !status.success()).then(|| format!("{status}: {said}"));
        Ok(Ended { kind: self.kind, who: self.who, acks, killed, failure })
    }
}

pub(crate) fn aimed(command: &mut Command, aim: Option<Aim>) {
    match aim {
        Some(aim) => command.env(DIE_AT, format!("{}:{}", aim.point.name(), aim.pass)),
        None => command.env_remove(DIE_AT),
    };
}

pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(SIGKILL)
}

pub(crate) fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_micros(200)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("process {} hung for {PATIENCE:?}", child.id()));
            }
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// `N SEQ FLUSHED` of our own writers, a JSON receipt of the command's.
fn parse(line: &str, next: u64, flushes: bool) -> Option<Ack> {
    if line.starts_with('{') {
        let receipt: serde_json::Value = serde_json::from_str(line).ok()?;
        return Some(Ack { n: next, seq: receipt["seq"].as_u64(), flushed: flushes });
    }
    let mut words = line.split_whitespace();
    let n = words.next()?.parse().ok()?;
    let seq = words.next()?.parse().ok();
    Some(Ack { n, seq, flushed: words.next()? == "1" })
}

/// Gives the command its documents.
fn feed(mut stdin: ChildStdin, who: u64, manner: Manner) {
    for n in 1..=manner.count {
        let mut text = document::make(who, n, document::len(n, manner.max_len, manner.mixed));
        text.push('\n');
        if stdin.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}
