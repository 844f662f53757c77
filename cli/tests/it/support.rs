//! A sandbox for one test: a pool directory, the command in it, and a watchdog that ends a test that hangs.

use std::fs;
use std::io::{BufRead as _, BufReader, PipeWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a whole test may take.
const TEST_LIMIT: Duration = Duration::from_secs(180);
/// How long one awaited line or exit may take.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Sandbox {
    dir: TempDir,
    children: Arc<Mutex<Vec<Pid>>>,
    _done: Sender<()>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("plasmite-cli-").tempdir().unwrap();
        let children = Arc::new(Mutex::new(Vec::new()));
        let (done, watched) = mpsc::channel();
        let name = thread::current().name().unwrap_or("unknown").to_owned();
        let pids = Arc::clone(&children);
        thread::spawn(move || watch(&name, &watched, &pids));
        Self { dir, children, _done: done }
    }

    /// A sandbox whose directory holds the pool `docs`.
    pub(crate) fn with_docs() -> Self {
        let sandbox = Self::new();
        sandbox.run(&["pool", "create", "docs"]).ok();
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The file of the pool `name`.
    pub(crate) fn pool_file(&self, name: &str) -> PathBuf {
        self.path("pools").join(format!("{name}.plasmite"))
    }

    /// Puts a file where the pool `name` would be.
    pub(crate) fn forge(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::create_dir_all(self.path("pools")).unwrap();
        let path = self.pool_file(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The command on this sandbox's pools.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plasmite"));
        self.prepare(&mut command);
        command.args(args);
        command
    }

    /// The same started by `wrapper`, as in `env --default-signal=INT plasmite …`.
    pub(crate) fn wrapped(&self, wrapper: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(env!("CARGO_BIN_EXE_plasmite"));
        self.prepare(&mut command);
        command.args(args);
        command
    }

    /// A shell script in which `plasmite` is the command on this sandbox's pools.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let pools = self.path("pools");
        let bin = env!("CARGO_BIN_EXE_plasmite");
        let function =
            format!("plasmite() {{ '{bin}' --dir '{}' \"$@\"; }}\n{script}", pools.display());
        let mut command = Command::new("bash");
        command.arg("-c").arg(function).env_remove("NO_COLOR").current_dir(self.dir.path());
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .arg("--dir")
            .arg(self.path("pools"))
            .env_remove("NO_COLOR")
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path());
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.finish(self.command(args), b"")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        self.finish(self.command(args), input)
    }

    /// Runs a command to its end with this on its stdin.
    pub(crate) fn finish(&self, mut command: Command, input: &[u8]) -> Ran {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.remember(&child);
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = thread::spawn(move || {
            // The command may end before it has read everything.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Proc {
        self.start(self.command(args))
    }

    pub(crate) fn start(&self, command: Command) -> Proc {
        let (stdout, theirs) = std::io::pipe().unwrap();
        let mut started = self.start_into(command, theirs);
        let (sender, lines) = mpsc::channel();
        started.lines = lines;
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        started
    }

    /// The same with its stdout in a pipe that the test reads, or does not.
    pub(crate) fn start_into(&self, mut command: Command, stdout: PipeWriter) -> Proc {
        let mut child =
            command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        // The command holds our end of the pipe.
        drop(command);
        self.remember(&child);
        let (_, lines) = mpsc::channel();
        let mut stderr = child.stderr.take().unwrap();
        let err = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Proc { stdin: child.stdin.take(), lines, err: Some(err), child }
    }

    fn remember(&self, child: &Child) {
        self.children.lock().unwrap().push(Pid::from_child(child));
    }

    /// Appends one message and returns its seq.
    pub(crate) fn feed(&self, pool: &str, json: &str, tags: &[&str]) -> u64 {
        let mut args = vec!["feed", pool, json];
        for tag in tags {
            args.extend(["--tag", tag]);
        }
        self.run(&args).json()["seq"].as_u64().unwrap()
    }

    /// Starts a follower and returns once it is at the live edge of `pool`: what is appended then, it sees.
    pub(crate) fn follower(&self, pool: &str, args: &[&str]) -> Proc {
        let mut all = vec!["follow", pool];
        all.extend(args);
        let follower = self.spawn(&all);
        follower.wait_until(|pid| waits_for_messages(pid, pool));
        follower
    }
}

/// True when the process has looked at everything in `pool`, and sleeps until there is more.
pub(crate) fn waits_for_messages(pid: u32, pool: &str) -> bool {
    let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    // Nothing else has a reader in a futex once the pool is mapped.
    // futex(2) and futex_waitv(2), as x86_64 or arm64 number them.
    let futex = if cfg!(target_arch = "x86_64") { "202 " } else { "98 " };
    let is_asleep = |call: String| call.starts_with(futex) || call.starts_with("449 ");
    of("maps").contains(&format!("/{pool}.plasmite")) && is_asleep(of("syscall"))
}

fn watch(name: &str, done: &Receiver<()>, children: &Mutex<Vec<Pid>>) {
    if done.recv_timeout(TEST_LIMIT) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    eprintln!("WATCHDOG: the test {name} hangs; its children are killed");
    for pid in children.lock().unwrap().iter() {
        let _ = kill_process(*pid, Signal::KILL);
    }
    if done.recv_timeout(WAIT_LIMIT) == Err(RecvTimeoutError::Timeout) {
        eprintln!("WATCHDOG: the test {name} still hangs");
        std::process::exit(101);
    }
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Succeeded, silently on stderr: its stdout.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }

    /// Succeeded with one JSON object on stdout.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.into_iter().next().unwrap()
    }

    /// Succeeded with JSON lines on stdout.
    #[track_caller]
    pub(crate) fn json_lines(self) -> Vec<Value> {
        json_lines(&self.ok())
    }

    /// Failed with this exit code, nothing on stdout and one JSON error on stderr: that error.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Value {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{self:?}");
        self.error(code)
    }

    /// Failed with this exit code and one JSON error as the last line of stderr: that error.
    #[track_caller]
    pub(crate) fn error(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines = json_lines(&self.err);
        let error = lines.last().expect("an error on stderr")["error"].clone();
        assert!(error["message"].is_string() && error["kind"].is_string(), "{self:?}");
        assert!(error.as_object().unwrap().values().all(|value| !value.is_null()), "{self:?}");
        error
    }
}

/// Each line as JSON.
#[track_caller]
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}")))
        .collect()
}

/// A running command.
pub(crate) struct Proc {
    pub(crate) stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    err: Option<thread::JoinHandle<String>>,
    child: Child,
}

impl Proc {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// The next line of stdout.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(WAIT_LIMIT).expect("a line in time")
    }

    /// The next line of stdout, unless that has ended.
    #[track_caller]
    pub(crate) fn next_line(&self) -> Option<String> {
        match self.lines.recv_timeout(WAIT_LIMIT) {
            Err(RecvTimeoutError::Timeout) => panic!("neither a line nor the end in time"),
            line => line.ok(),
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The next line of stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The next line of stdout as JSON, if it is there already.
    pub(crate) fn try_json(&self) -> Option<Value> {
        self.lines.try_recv().ok().map(|line| serde_json::from_str(&line).unwrap())
    }

    /// Every line until stdout ends.
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(WAIT_LIMIT) {
            rest.push(line);
        }
        rest
    }

    #[track_caller]
    pub(crate) fn no_line_for(&self, time: Duration) {
        assert_eq!(self.lines.recv_timeout(time), Err(RecvTimeoutError::Timeout));
    }

    /// Ends within the limit.
    #[track_caller]
    pub(crate) fn status(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < WAIT_LIMIT, "the command does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends within the limit: exit code and stderr.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let code = self.status().code();
        (code, self.err.take().unwrap().join().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, ready: impl Fn(u32) -> bool) {
        let start = Instant::now();
        while !ready(self.child.id()) {
            assert!(start.elapsed() < WAIT_LIMIT, "the command does not get ready");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// True when `path` names a program this machine has.
pub(crate) fn have(path: &str) -> bool {
    Path::new(path).exists()
}
