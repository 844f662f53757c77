//! What a mount takes while nothing happens.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};
use plasmite_core::ErrorKind;
use plasmite_fusefs::{Mount, MountOptions, listen_to_interrupts};

/// Time for the mount to give back what it used while the pools were filled and read.
const CALM: Duration = Duration::from_secs(12);

/// How often it is looked what it takes, one time after the other.
const LOOKS: usize = 3;

/// What an idle mount takes.
pub(crate) struct Idle {
    /// KiB resident in the daemon.
    pub(crate) kib: f64,
    /// Per cent of a core.
    pub(crate) percent: f64,
}

impl Idle {
    /// What this process takes for a while.
    fn of(pid: u32) -> Self {
        let (ticks, start) = (ticks(pid), Instant::now());
        std::thread::sleep(CALM / 2);
        let used = (self::ticks(pid) - ticks) as f64 / TICKS_A_SECOND;
        let percent = 100.0 * used / start.elapsed().as_secs_f64();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        Self { kib: resident.trim().trim_end_matches(" kB").parse().unwrap(), percent }
    }
}

struct NoLog;

impl Log for NoLog {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        false
    }
    fn log(&self, _record: &Record<'_>) {}
    fn flush(&self) {}
}

/// The daemon's part: mounts `pools` beside its mountpoint.
pub(crate) fn serve(mountpoint: &Path) {
    listen_to_interrupts(Box::new(NoLog), LevelFilter::Off).unwrap();
    let pools = mountpoint.with_extension("pools");
    let mount = Mount::start(MountOptions::new(pools, mountpoint)).unwrap();
    until_dropped();
    // Somebody else may have unmounted it.
    if let Err(error) = mount.unmounter().unmount() {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    mount.wait().unwrap();
}

/// Says that the file system is there, and waits until its [`Daemon`] is dropped, or whoever has it ends.
pub(crate) fn until_dropped() {
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A process of this program that serves a file system, until it is dropped.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it in this role, and waits until its file system is there.
    pub(crate) fn start(role: &str, mountpoint: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", role])
            .arg(mountpoint)
            .arg("0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        Self { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to end, and waits for nothing.
    pub(crate) fn tell_to_end(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// What the daemon takes with so many full pools of 1 MiB, each read to its end by its share of the readers, which
/// then wait, after one reader was interrupted.
pub(crate) fn idle(dir: &Path, pools: usize, readers: usize) -> [Idle; LOOKS] {
    let mountpoint = dir.join("mount");
    let daemon = Daemon::start("mount", &mountpoint);
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(900)).repeat(1100);
    for n in 0..pools {
        fs::create_dir(mountpoint.join(n.to_string())).unwrap();
        let name = mountpoint.join(n.to_string()).join("in");
        fs::File::create(name).unwrap().write_all(line.as_bytes()).unwrap();
    }
    let mut interrupted =
        Command::new("cat").arg(mountpoint.join("0/follow")).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    interrupted.kill().unwrap();
    interrupted.wait().unwrap();
    let tails = (0..readers).map(|n| mountpoint.join((n % pools).to_string()).join("tail"));
    look(daemon, tails)
}

/// What the daemon of a file system that does nothing takes with so many readers that wait.
pub(crate) fn idle_floor(dir: &Path, readers: usize) -> [Idle; LOOKS] {
    let mountpoint = dir.join("idle-floor");
    let daemon = Daemon::start("floor", &mountpoint);
    look(daemon, (0..readers).map(|_| mountpoint.join("tail")))
}

/// What a daemon takes while these files are read, in which nothing comes.
fn look(daemon: Daemon, tails: impl Iterator<Item = PathBuf>) -> [Idle; LOOKS] {
    let read = |tail| {
        let tail = fs::File::open(tail).unwrap();
        Command::new("cat").stdin(tail).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut waiting: Vec<_> = tails.map(read).collect();
    std::thread::sleep(CALM);
    let idle = [(); LOOKS].map(|()| Idle::of(daemon.pid()));
    drop(daemon);
    for reader in &mut waiting {
        reader.wait().unwrap();
    }
    idle
}

/// What the kernel counts a process' time in, on every Linux that is in use (USER_HZ, proc(5)).
const TICKS_A_SECOND: f64 = 100.0;

/// The time that a process has computed.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, fields 14 and 15; the list begins with field 3.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
