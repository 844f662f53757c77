//! A pool directory that cleans up, child processes of this very test binary, and a watchdog.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plasmite_core::{Durability, Pool, Receipt};

pub const KIB: u64 = 1024;

/// Ends the whole test process, with the test's name, when the test takes too long to be anything but hung.
pub struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    pub fn start(seconds: u64) -> Self {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let done = Arc::new(AtomicBool::new(false));
        let seen = done.clone();
        std::thread::spawn(move || {
            let end = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < end {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            eprintln!("watchdog: test {name} hangs for {seconds} s");
            std::process::abort();
        });
        Self(done)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub struct Dir {
    pub tmp: tempfile::TempDir,
    _watchdog: Watchdog,
}

impl Dir {
    pub fn new() -> Self {
        Self { tmp: tempfile::tempdir().unwrap(), _watchdog: Watchdog::start(120) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.tmp.path().join(format!("{name}.plasmite"))
    }

    pub fn pool(&self, name: &str, size: u64) -> Pool {
        Pool::create(&self.path(name), size).unwrap()
    }
}

pub const NO_TAGS: &[&str] = &[];

pub fn put(pool: &Pool, json: &str) -> Receipt {
    pool.append(json.as_bytes(), NO_TAGS, Durability::Fast).unwrap()
}

/// A document of about `len` bytes that says who wrote it and when, and whose every byte can be checked.
pub fn document(writer: u64, n: u64, len: usize) -> String {
    let fill = fill(writer, n, len);
    format!("{{\"w\":{writer},\"n\":{n},\"f\":\"{fill}\"}}")
}

fn fill(writer: u64, n: u64, len: usize) -> String {
    let mut x = writer.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (0..len)
        .map(|_| {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            char::from(b'a' + (x >> 33) as u8 % 26)
        })
        .collect()
}

/// Takes a [`document`] apart again and checks every byte of it.
pub fn check_document(text: &str) -> (u64, u64) {
    let v: serde_json::Value = serde_json::from_str(text).unwrap();
    let (w, n) = (v["w"].as_u64().unwrap(), v["n"].as_u64().unwrap());
    let len = v["f"].as_str().unwrap().len();
    assert_eq!(text, document(w, n, len), "a torn message");
    (w, n)
}

/// Runs role `role` of this test binary (see `process::child`) in a process of its own.
pub fn child(role: &str, pool: &Path, args: &[(&str, String)]) -> Child {
    child_command(&[], role, pool).envs(args.iter().map(|(k, v)| (*k, v))).spawn().unwrap()
}

/// The same, not started yet, and started by `wrapper`: `["unshare", "--pid", "--fork"]`.
pub fn child_command(wrapper: &[&str], role: &str, pool: &Path) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = match wrapper.split_first() {
        None => Command::new(exe),
        Some((program, args)) => {
            let mut command = Command::new(program);
            command.args(args).arg(exe);
            command
        }
    };
    command
        .args(["--exact", "process::child", "--nocapture", "--test-threads=1"])
        .env("PLASMITE_TEST_ROLE", role)
        .env("PLASMITE_TEST_POOL", pool)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// A child that is talked with, line by line.
pub struct Talk {
    pub child: Child,
    input: std::process::ChildStdin,
    output: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Talk {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output: std::io::BufRead::lines(output) }
    }

    /// What it says next.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        self.try_hear().expect("the child ended")
    }

    /// The same; None when it has ended.
    pub fn try_hear(&mut self) -> Option<String> {
        loop {
            if let Some((_, said)) = self.output.next()?.ok()?.split_once('@') {
                return Some(said.to_owned());
            }
        }
    }

    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear()
    }

    pub fn tell(&mut self, line: &str) {
        std::io::Write::write_all(&mut self.input, format!("{line}\n").as_bytes()).unwrap();
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// True for root, who alone may mount and make namespaces.
pub fn is_root() -> bool {
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("skipped: this needs root");
    }
    root
}
