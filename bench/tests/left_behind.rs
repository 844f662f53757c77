//! A benchmark that is ended early leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Far more than a loaded machine needs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A benchmark in a directory of its own, that has mounted its file systems.
struct Running {
    dir: tempfile::TempDir,
    bench: Child,
}

impl Running {
    fn start() -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_plasmite-bench")))
    }

    fn start_by(mut command: Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = command
            .args(["--only", "mount: create"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Self { dir, bench };
        until("two file systems are mounted", || {
            assert_eq!(running.bench.try_wait().unwrap(), None, "it has ended before");
            running.mounts() == 2
        });
        running
    }

    fn mounts(&self) -> usize {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let dir = self.dir.path().to_str().unwrap();
        table.lines().filter(|line| line.contains(dir)).count()
    }

    /// The processes that work in the directory, with their arguments.
    fn processes(&self) -> Vec<(Pid, String)> {
        let is_here = |process: &Path| {
            fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.dir.path()))
        };
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let id_of = |process: &PathBuf| process.file_name()?.to_str()?.parse().ok();
        processes
            .filter(|process| is_here(process))
            .filter_map(|process| {
                let args = fs::read_to_string(process.join("cmdline")).ok()?;
                Some((Pid::from_raw(id_of(&process)?)?, args.replace('\0', " ")))
            })
            .collect()
    }

    fn end(mut self) -> ExitStatus {
        let mut ended = None;
        until("it ends", || {
            ended = self.bench.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(self.mounts(), 0);
        assert_eq!(self.processes(), []);
        let left: Vec<_> = fs::read_dir(self.dir.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        ended.unwrap()
    }
}

impl Drop for Running {
    /// Of a test that has failed.
    fn drop(&mut self) {
        let _ended = self.bench.kill();
        let _reaped = self.bench.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn by_signals_that_end_a_program() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let running = Running::start();
        kill_process(Pid::from_child(&running.bench), signal).unwrap();
        assert_eq!(running.end().signal(), Some(signal.as_raw()));
    }
}

#[test]
fn one_that_nohup_started_goes_on_when_its_terminal_is_gone() {
    let mut nohup = Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_plasmite-bench"));
    let running = Running::start_by(nohup);
    // Of two signals that wait the one with the lower number comes first.
    for signal in [Signal::HUP, Signal::TERM] {
        kill_process(Pid::from_child(&running.bench), signal).unwrap();
    }
    assert_eq!(running.end().signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn by_the_death_of_the_process_that_measures() {
    let running = Running::start();
    let processes = running.processes();
    let (measuring, _) = processes.iter().find(|(_, args)| args.contains(" within ")).unwrap();
    kill_process(*measuring, Signal::KILL).unwrap();
    assert_eq!(running.end().code(), Some(1));
}
