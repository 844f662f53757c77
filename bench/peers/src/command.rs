//! The two commands: Plasmite's and that of the `plasmite` crate 1.x.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::documents::dense;
use crate::measure::Round;

/// A command, and the words that differ.
struct Program<'a> {
    name: &'static str,
    path: &'a Path,
    /// Prints what is there, and ends.
    print: &'static [&'static str],
}

pub(crate) fn rows(round: &mut Round<'_>) {
    let [ours, theirs] = round.commands;
    let programs = [
        Program { name: "Plasmite", path: ours, print: &["--timeout", "0s"] },
        Program { name: "plasmite 1.x", path: theirs, print: &["--no-follow"] },
    ];
    for program in &programs {
        if program.path.is_file() {
            let dir = round.directory();
            program.rows(round, &dir);
            std::fs::remove_dir_all(dir).unwrap();
        } else {
            let why =
                "it is not installed: cargo install --root target/peers plasmite --version 1.2.1";
            GROUPS.iter().for_each(|group| round.missing(group, program.name, why));
        }
    }
}

const GROUPS: [&str; 4] = [
    "command: feed one message",
    "command: feed 1 KiB JSON Lines",
    "command: follow 1 KiB JSON Lines",
    "command: feed → follow, p50",
];

impl Program<'_> {
    fn command(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        command.arg("--dir").arg(dir).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    fn create(&self, dir: &Path, name: &str, size: &str) {
        let created = self.command(dir, &["pool", "create", name, "--size", size]).status();
        assert!(created.unwrap().success());
    }

    fn rows(&self, round: &Round<'_>, dir: &Path) {
        self.create(dir, "one", "1M");
        let mut times = (0..round.times(40, 10)).map(|_| {
            let start = Instant::now();
            let fed = self.command(dir, &["feed", "one", "{\"a\":1}"]).status();
            assert!(fed.unwrap().success());
            start.elapsed()
        });
        round.note(GROUPS[0], self.name, median(&mut times));
        let count = round.times(20_000, 2000);
        let lines = lines(dir, count);
        // Room for all, also where a message takes several times its length.
        self.create(dir, "many", "256M");
        let mut feed = self.command(dir, &["feed", "many"]);
        let start = Instant::now();
        assert!(feed.stdin(File::open(lines).unwrap()).status().unwrap().success());
        round.note(GROUPS[1], self.name, start.elapsed().as_nanos() as f64 / count as f64);
        round.note(GROUPS[2], self.name, self.follow(dir, count));
        round.note(GROUPS[3], self.name, self.latency(dir, round.times(100, 30)));
    }

    /// Nanoseconds for each message that is printed into a pipe.
    fn follow(&self, dir: &Path, count: u64) -> f64 {
        let mut follow = self.command(dir, &["follow", "many", "--tail", &count.to_string()]);
        let start = Instant::now();
        let mut child = follow.args(self.print).stdout(Stdio::piped()).spawn().unwrap();
        let (mut out, mut block, mut lines) = (child.stdout.take().unwrap(), vec![0; 256 << 10], 0);
        loop {
            let n = out.read(&mut block).unwrap();
            if n == 0 {
                break;
            }
            lines += block[..n].iter().filter(|byte| **byte == b'\n').count();
        }
        child.wait().unwrap();
        let ns = start.elapsed().as_nanos() as f64 / count as f64;
        assert_eq!(lines as u64, count, "{}", self.name);
        ns
    }

    /// From a line that is written to one command until another has printed it: both wait.
    fn latency(&self, dir: &Path, count: u64) -> f64 {
        self.create(dir, "wake", "1M");
        let mut follow = self.command(dir, &["follow", "wake", "--tail", "1"]);
        let mut follow = Ended(follow.stdout(Stdio::piped()).spawn().unwrap());
        let mut printed = BufReader::new(follow.0.stdout.take().unwrap());
        let mut feed = self.command(dir, &["feed", "wake"]);
        let mut feed = Ended(feed.stdin(Stdio::piped()).spawn().unwrap());
        let mut stdin = feed.0.stdin.take().unwrap();
        let mut line = String::new();
        let mut send = || {
            std::thread::sleep(Duration::from_millis(2));
            let start = Instant::now();
            stdin.write_all(b"{\"ping\":1}\n").unwrap();
            line.clear();
            printed.read_line(&mut line).unwrap();
            assert!(line.contains("ping"), "{}: {line}", self.name);
            start.elapsed()
        };
        // The first tells that both are there.
        send();
        median(&mut (0..count).map(|_| send()))
    }
}

/// Ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(dir: &Path, count: u64) -> PathBuf {
    let path = dir.join("lines.jsonl");
    std::fs::write(&path, format!("{}\n", dense(1024)).repeat(count as usize)).unwrap();
    path
}

fn median(times: &mut dyn Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64
}
