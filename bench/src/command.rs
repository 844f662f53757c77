//! The command, as a shell starts it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use plasmite_core::Pool;

use crate::documents::dense;
use crate::report::quantile;
use crate::rows::Bench;

/// How often the command is started in a round.
const STARTS: u32 = 40;
/// Lines that go in and out: so many that the start, which has rows of its own, does not count.
const LINES: u64 = 100_000;

pub(crate) fn rows(bench: &mut Bench) {
    start_up(bench);
    lines(bench);
}

/// The command that was built beside this program.
fn command(dir: &Path) -> Command {
    let path = std::env::current_exe().unwrap().with_file_name("plasmite");
    assert!(path.exists(), "there is no {}: cargo build --release -p plasmite", path.display());
    let mut command = Command::new(path);
    command.arg("--dir").arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A pool of this name, new.
fn pool(bench: &Bench, name: &str, size_bytes: u64) -> PathBuf {
    let path = bench.dir.join(name).with_extension("plasmite");
    Pool::create(&path, size_bytes).unwrap();
    path
}

/// One message from the start of the command to its end, and what it takes beyond a program that does nothing.
fn start_up(bench: &mut Bench) {
    let path = pool(bench, "start", 1 << 20);
    let run = |mut command: Command| {
        let start = Instant::now();
        // The command ends with 124 where it waits for nothing more.
        command.status().unwrap();
        start.elapsed().as_nanos() as f64
    };
    let (mut nothing, mut feeding) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        nothing.push(run(Command::new("/bin/true")));
        let mut feed = command(&bench.dir);
        feed.args(["feed", "start", "{\"a\":1}"]);
        feeding.push(run(feed));
    }
    Pool::delete(&path).unwrap();
    let (nothing, feeding) = (quantile(&nothing, 0.5), quantile(&feeding, 0.5));
    bench.note("start true", nothing, None, None);
    bench.note_beside("feed one message, command", feeding, "start true", None);
    let above = "feed one message, command, less true";
    bench.note(above, feeding - nothing, None, Some(1_500_000.0));
}

/// JSON Lines in and out, beside what the kernel takes: for pages of a new file, and for a pipe.
fn lines(bench: &mut Bench) {
    let count = LINES;
    let input = bench.dir.join("lines.jsonl");
    let text = format!("{}\n", dense(1024)).repeat(count as usize);
    let start = Instant::now();
    fs::write(&input, &text).unwrap();
    let each = start.elapsed().as_nanos() as f64 / count as f64;
    drop(text);
    let new_file = "write 1 KiB JSON Lines to a new file";
    bench.note(new_file, each, None, None);
    // Room for all: the second feed turns it.
    let path = pool(bench, "lines", 128 << 20);
    let feed = || {
        let mut feed = command(&bench.dir);
        feed.args(["feed", "lines", "--file"]).arg(&input);
        let start = Instant::now();
        assert!(feed.status().unwrap().success());
        start.elapsed().as_nanos() as f64 / count as f64
    };
    let (new, full) = (feed(), feed());
    bench.note_beside("feed 1 KiB JSON Lines to a new pool, command", new, new_file, None);
    let limit = Some(("serde_json validates 1 KiB, dense", 1.5));
    bench.note("feed 1 KiB JSON Lines, command", full, limit, Some(2500.0));

    let mut cat = Command::new("cat");
    let (each, _) = output(cat.arg(&input), count);
    let pipe = "cat 1 KiB JSON Lines into a pipe";
    bench.note(pipe, each, None, None);
    let start = Instant::now();
    let mut cat = Command::new("cat").arg(&input).stdout(Stdio::piped()).spawn().unwrap();
    let mut feed = command(&bench.dir);
    feed.args(["feed", "lines"]).stdin(cat.stdout.take().unwrap());
    assert!(feed.status().unwrap().success());
    let each = start.elapsed().as_nanos() as f64 / count as f64;
    assert!(cat.wait().unwrap().success());
    bench.note_beside("feed 1 KiB JSON Lines from a pipe, command", each, pipe, Some(2500.0));
    let mut follow = command(&bench.dir);
    follow.args(["follow", "lines", "--timeout", "0s", "--tail"]).arg(count.to_string());
    let (each, code) = output(&mut follow, count);
    assert_eq!(code, Some(124), "it ends when nothing more is there");
    bench.note_beside("follow 1 KiB JSON Lines, command", each, pipe, Some(1000.0));
    Pool::delete(&path).unwrap();
    fs::remove_file(input).unwrap();
}

/// Nanoseconds for each of so many lines of 1 KiB that a command writes to a pipe, its start and end included; and how it ended.
fn output(command: &mut Command, count: u64) -> (f64, Option<i32>) {
    let mut block = vec![0; 256 << 10];
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut bytes = 0;
    loop {
        match out.read(&mut block).unwrap() {
            0 => break,
            n => bytes += n as u64,
        }
    }
    let code = child.wait().unwrap().code();
    let each = start.elapsed().as_nanos() as f64 / count as f64;
    assert!(bytes > count * 1024);
    (each, code)
}
