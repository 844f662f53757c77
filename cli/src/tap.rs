//! `plasmite tap`: a command's output recorded on its way through.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use plasmite_core::json::Document;
use plasmite_core::{Client, Durability, Entry, Error, ErrorKind};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use crate::args::TapArgs;
use crate::errors::{self, Outcome};
use crate::lines::Lines;
use crate::output;
use crate::pools::{self, Appender};
use crate::signals;

/// The tag of what is said about the command itself.
const LIFECYCLE: &str = "lifecycle";
/// Exit codes of env, nohup and the shells: the command can't be run, or is not there.
const CAN_NOT_RUN: u8 = 126;
const NOT_THERE: u8 = 127;
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

pub(crate) fn run(client: &Client, args: &TapArgs) -> Outcome {
    let pool = pools::open_for_writing(client, &args.pool, &args.creation)?;
    let recording = Recording {
        pool,
        tags: args.tags.clone(),
        durability: args.durability.into(),
        failed: Mutex::new(None),
    };
    // Before the command runs, so that no signal ends us and leaves it behind.
    let signals = forwarded_signals()?;
    let started = Instant::now();
    let mut child = match spawn(&args.command) {
        Ok(child) => child,
        Err(error) => return Ok(not_started(&args.command, &error)),
    };
    forward(signals, &child)?;
    let words = args.command.iter().map(|word| word.to_string_lossy().into_owned());
    recording.lifecycle(&Lifecycle::Start {
        command: words.collect(),
        pid: child.id(),
        cwd: std::env::current_dir().ok().map(|dir| dir.to_string_lossy().into_owned()),
    });
    let status = pass_through(&mut child, &recording)?;
    recording.lifecycle(&Lifecycle::Exit {
        code: status.code(),
        signal: status.signal().map(signal_name),
        seconds: started.elapsed().as_secs_f64(),
    });
    let code = exit_code(status);
    let failed = recording.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    // A command that did well must not hide that its output is not all recorded.
    Ok(failed.filter(|_| code == errors::SUCCESS).map_or(code, |error| errors::code(&error)))
}

/// What is said about the command itself.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Lifecycle {
    Start { command: Vec<String>, pid: u32, cwd: Option<String> },
    Exit { code: Option<i32>, signal: Option<String>, seconds: f64 },
}

fn spawn(command: &[OsString]) -> io::Result<Child> {
    let Some((program, args)) = command.split_first() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    Command::new(program).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn not_started(command: &[OsString], error: &io::Error) -> u8 {
    let program = command.first().cloned().unwrap_or_default();
    let (kind, code) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, NOT_THERE),
        io::ErrorKind::PermissionDenied => (ErrorKind::Permission, CAN_NOT_RUN),
        _ => (ErrorKind::Io, CAN_NOT_RUN),
    };
    let text = format!("cannot run {:?}: {error}", program.to_string_lossy());
    let hint = "name a program of PATH, or a path to one; a shell's line is run by sh -c 'LINE'";
    errors::report(&Error::new(kind, text).with_hint(hint));
    code
}

/// As the shells do: a signal's number is told as 128 and it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(errors::INTERNAL)
}

fn signal_name(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| signal.to_string(), str::to_owned)
}

/// Those that ask a program to end or to do something. One that is ignored, as nohup has it, stays so for the command.
fn forwarded_signals() -> Result<SignalsInfo<WithOrigin>, Error> {
    let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
    SignalsInfo::new(all.into_iter().filter(|signal| !signals::ignored(*signal)))
        .map_err(|e| cannot("prepare for signals", &e))
}

fn cannot(what: &str, error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {what}: {error}"))
        .with_hint("the system is short of something; try again")
}

/// Sends the command each signal that somebody sent us.
fn forward(mut signals: SignalsInfo<WithOrigin>, child: &Child) -> Result<(), Error> {
    let pid = rustix::process::Pid::from_child(child);
    // Unlike its number, it never means another process.
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(|e| cannot("watch the command", &e.into()))?;
    let send = move || {
        for origin in signals.forever() {
            // What a key of the terminal causes, the command gets itself.
            if origin.cause == Cause::Kernel {
                continue;
            }
            if let Some(signal) = Signal::from_named_raw(origin.signal) {
                // It may have ended just now.
                let _ = rustix::process::pidfd_send_signal(&pidfd, signal);
            }
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(send);
    thread.map(drop).map_err(|e| cannot("prepare for signals", &e))
}

/// Passes on what the command writes until it has ended, and records it.
fn pass_through(child: &mut Child, recording: &Recording) -> Result<ExitStatus, Error> {
    let (exited, running) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| cannot("make a pipe", &e.into()))?;
    let outs = [
        ("stdout", child.stdout.take().map(OwnedFd::from)),
        ("stderr", child.stderr.take().map(OwnedFd::from)),
    ];
    let status = thread::scope(|scope| {
        for (stream, source) in outs {
            let Some(source) = source else { continue };
            let exited = exited.as_fd();
            scope.spawn(move || {
                let lines = Lines::new(stream, recording.pool.pool().max_message_bytes());
                if stream == "stdout" {
                    copy(source, io::stdout().as_fd(), exited, lines, recording);
                } else {
                    copy(source, io::stderr().as_fd(), exited, lines, recording);
                }
            });
        }
        let status = child.wait();
        drop(running);
        status
    });
    status.map_err(|e| cannot("wait for the command", &e))
}

/// Copies `source` to `sink`, byte for byte and at once, until its end; or until nothing more is in it and the command
/// has exited, for something that it started may keep its output open.
fn copy(
    source: OwnedFd,
    sink: BorrowedFd<'_>,
    exited: BorrowedFd<'_>,
    mut lines: Lines,
    recording: &Recording,
) {
    let mut block = vec![0; READ_BYTES];
    while wait_readable(&source, exited) {
        let part = match rustix::io::read(&source, &mut block[..]) {
            Ok(0) => break,
            Ok(n) => block.get(..n).unwrap_or_default(),
            Err(Errno::INTR) => continue,
            Err(_) => break,
        };
        let passed = output::write_to(sink, part);
        recording.append(&lines.push(part));
        if passed.is_err() {
            // Who read it has gone. The command learns that from its next write, as without us.
            break;
        }
    }
    drop(source);
    recording.append(&lines.finish());
}

/// True when `source` can be read; false when the command has exited and nothing is left.
fn wait_readable(source: &OwnedFd, exited: BorrowedFd<'_>) -> bool {
    loop {
        let mut fds =
            [PollFd::new(source, PollFlags::IN), PollFd::from_borrowed_fd(exited, PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) if !fds[0].revents().is_empty() => return true,
            Ok(_) => {
                // It has exited. What it wrote before is there.
                let mut fds = [PollFd::new(source, PollFlags::IN)];
                let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
                return matches!(rustix::event::poll(&mut fds, Some(&at_once)), Ok(n) if n > 0);
            }
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

/// The pool, as long as it takes what is recorded. When it does not, that is told once, and the command goes on.
struct Recording {
    pool: Appender,
    tags: Vec<String>,
    durability: Durability,
    failed: Mutex<Option<Error>>,
}

impl Recording {
    fn lifecycle(&self, message: &Lifecycle) {
        let tags: Vec<&str> =
            std::iter::once(LIFECYCLE).chain(self.tags.iter().map(String::as_str)).collect();
        // Numbers and strings always have a JSON form.
        self.append_tagged(&[serde_json::to_string(message).unwrap_or_default()], &tags);
    }

    fn append(&self, messages: &[String]) {
        let tags: Vec<&str> = self.tags.iter().map(String::as_str).collect();
        self.append_tagged(messages, &tags);
    }

    fn append_tagged(&self, messages: &[String], tags: &[&str]) {
        let is_off = self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if messages.is_empty() || is_off {
            return;
        }
        if let Err(error) = self.try_append(messages, tags) {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.is_none() {
                let text =
                    format!("the output is passed on, but no longer recorded: {}", error.message());
                let hint = error.hint().map_or("look at the pool: plasmite pool info", |hint| hint);
                errors::report(&errors::reworded(&error, text, Some(hint.to_owned())));
                *failed = Some(error);
            }
        }
    }

    fn try_append(&self, messages: &[String], tags: &[&str]) -> Result<(), Error> {
        let documents: Vec<Document<'_>> = messages
            .iter()
            .map(|message| Document::parse(message.as_bytes()))
            .collect::<Result<_, _>>()?;
        let entries: Vec<Entry<'_>> =
            documents.iter().map(|document| Entry { document, tags }).collect();
        self.pool.run(|pool| pool.append_batch(&entries, self.durability)).map(drop)
    }
}
