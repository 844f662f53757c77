//! Readers: `plasmite follow` processes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::refusal;
use crate::envelope::Message;
use crate::manifest::Reading;
use crate::outcome::{Failure, Got};

/// What `follow --timeout` exits with.
const TIMED_OUT: i32 = 124;

/// The arguments of a `follow` that begins with the oldest message that is wanted.
pub(super) fn args(pool: &str, from: &Reading, timeout_ms: Option<u64>) -> Vec<String> {
    let mut args: Vec<String> =
        ["follow", "--tail", "18446744073709551615"].map(str::to_owned).into();
    args.extend(from.tags.iter().map(|tag| format!("--tag={tag}")));
    if let Some(seq) = from.since_seq {
        args.extend(["--where".to_owned(), format!(".seq >= {seq}")]);
    }
    if from.error_on_gap {
        args.push("--error-on-gap".to_owned());
    }
    if let Some(timeout) = timeout_ms {
        args.extend(["--timeout".to_owned(), format!("{timeout}ms")]);
    }
    args.extend(["--".to_owned(), pool.to_owned()]);
    args
}

/// A `follow` process. Between reads it is stopped, so that what happens meanwhile is the same every time.
pub(super) struct Follow {
    child: Child,
    lines: Receiver<Vec<u8>>,
    stopped: bool,
}

impl Follow {
    pub(super) fn start(mut command: Command) -> Result<Self, Failure> {
        let mut child = command.spawn().map_err(|e| format!("cannot run follow: {e}"))?;
        let stdout = child.stdout.take().ok_or_else(|| "follow has no stdout".to_owned())?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                match stdout.read_until(b'\n', &mut line) {
                    Ok(1..) if sender.send(line).is_ok() => {}
                    _ => return,
                }
            }
        });
        Ok(Self { child, lines, stopped: false })
    }

    /// Reads up to `max` messages, or up to the end.
    pub(super) fn read_to_end(
        mut self,
        max: Option<u64>,
        may_time_out: bool,
    ) -> Result<Got, Failure> {
        let (messages, ended) = self.collect(max, None)?;
        if !ended {
            return Ok(Got::Messages(messages));
        }
        let (status, stderr) = self.wait()?;
        match status.code() {
            Some(TIMED_OUT) if may_time_out => Ok(Got::Messages(messages)),
            Some(0) => Err(Failure::Broken("follow ended with 0 although nothing ended it".into())),
            code => Err(refusal(&stderr, code)),
        }
    }

    /// Reads up to `max` messages, waiting for each up to `timeout_ms`.
    pub(super) fn read(
        &mut self,
        max: Option<u64>,
        timeout_ms: Option<u64>,
    ) -> Result<Got, Failure> {
        if self.stopped {
            self.signal(Signal::CONT)?;
            self.stopped = false;
        }
        let (messages, ended) = self.collect(max, timeout_ms)?;
        if ended {
            let (status, stderr) = self.wait()?;
            return Err(refusal(&stderr, status.code()));
        }
        self.signal(Signal::STOP)?;
        // Until it has stopped.
        waitpid(Some(self.pid()?), WaitOptions::UNTRACED)
            .map_err(|e| format!("follow does not stop: {e}"))?;
        self.stopped = true;
        Ok(Got::Messages(messages))
    }

    /// Messages, and whether the output ended.
    fn collect(
        &self,
        max: Option<u64>,
        timeout_ms: Option<u64>,
    ) -> Result<(Vec<Message>, bool), Failure> {
        let mut messages = Vec::new();
        while max.is_none_or(|max| (messages.len() as u64) < max) {
            let line = match timeout_ms {
                Some(timeout) => self.lines.recv_timeout(Duration::from_millis(timeout)),
                None => self.lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match line {
                Ok(line) => {
                    let line = line
                        .strip_suffix(b"\n")
                        .ok_or_else(|| "follow ended within a line".to_owned())?;
                    messages.push(Message::parse(line)?);
                }
                Err(RecvTimeoutError::Timeout) => return Ok((messages, false)),
                Err(RecvTimeoutError::Disconnected) => return Ok((messages, true)),
            }
        }
        Ok((messages, false))
    }

    fn wait(&mut self) -> Result<(ExitStatus, Vec<u8>), Failure> {
        let mut stderr = Vec::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_end(&mut stderr).map_err(|e| format!("follow's stderr: {e}"))?;
        }
        let status = self.child.wait().map_err(|e| format!("waiting for follow: {e}"))?;
        Ok((status, stderr))
    }

    fn pid(&self) -> Result<Pid, Failure> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| Failure::Broken("follow has no pid".into()))
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        kill_process(self.pid()?, signal).map_err(|e| format!("cannot signal follow: {e}").into())
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
