//! How long readers that wait take to learn of what ends them besides signals: those of the mount, and those of a pipe.
//!
//! They are threads of one process, so that it is no time of processes that end.

#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use plasmite_core::Client;

use crate::interrupts::BOUND;
use crate::limits::monotonic_ns;
use crate::mount::Daemon;
use crate::rows::{Bench, Effort};

const COUNTS: &[(u64, &str)] = &[
    (1, "a thread that waits"),
    (100, "100 threads that wait"),
    (1000, "1,000 threads that wait"),
];

/// A mount of its own, with one pool.
struct Mounted<'a> {
    daemon: Daemon,
    mountpoint: &'a Path,
    pools: Client,
}

/// What ends the reads of a mount.
type End = fn(&mut Mounted<'_>);

const ENDS: &[(&str, End)] = &[
    ("pool deleted", |m| m.pools.delete("docs").unwrap()),
    ("rm of the pool's file", |m| fs::remove_file(m.pools.path_of("docs").unwrap()).unwrap()),
    ("unmount", |m| plasmite_fusefs::unmount(m.mountpoint).unwrap()),
    ("daemon told to end", |m| m.daemon.tell_to_end()),
    ("daemon killed", |m| m.daemon.kill()),
];

/// Notes a round.
pub(crate) fn rows(bench: &mut Bench) {
    let fewest = if bench.effort() == Effort::Quick { 1000 } else { 1 };
    for &(count, readers) in COUNTS.iter().filter(|(count, _)| *count >= fewest) {
        let pipe = format!("pipe: closed → {readers}");
        let (reader, writer) = std::io::pipe().unwrap();
        let waiting = Waiting::start(count, Path::new("-"), reader.into(), "pipe");
        bench.note(&pipe, waiting.end(|| drop(writer)), None, None);
        for &(what, end) in ENDS {
            let ns = ended(&bench.dir, count, end);
            let name = format!("mount: {what} → {readers}");
            bench.note_beside(&name, ns, &pipe, Some(BOUND.as_nanos() as f64));
        }
    }
}

fn ended(dir: &Path, count: u64, end: End) -> f64 {
    let mountpoint = fs::canonicalize(dir).unwrap().join("ends");
    let pools = Client::new(mountpoint.with_extension("pools"));
    let daemon = Daemon::start("mount", &mountpoint);
    fs::create_dir(mountpoint.join("docs")).unwrap();
    let nothing = File::open("/dev/null").unwrap();
    let follow = mountpoint.join("docs/follow");
    let waiting = Waiting::start(count, &follow, nothing.into(), "request_wait");
    let mut mounted = Mounted { daemon, mountpoint: &mountpoint, pools };
    let ns = waiting.end(|| end(&mut mounted));
    let Mounted { daemon, pools, .. } = mounted;
    drop(daemon);
    // That of a killed daemon.
    let _ = plasmite_fusefs::unmount(&mountpoint);
    let _ = pools.delete("docs");
    ns
}

/// A process whose threads wait.
struct Waiting(Child);

impl Waiting {
    /// So many threads read this file, or stdin where it is `-`, and wait in this part of the kernel when this returns.
    fn start(count: u64, path: &Path, stdin: OwnedFd, place: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "ends"]).arg(path).arg(count.to_string()).stdin(stdin);
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let tasks = format!("/proc/{}/task", child.id());
        let waiting = || {
            let threads = fs::read_dir(&tasks).unwrap();
            let places =
                threads.filter_map(|t| fs::read_to_string(t.ok()?.path().join("wchan")).ok());
            places.filter(|wchan| wchan.contains(place)).count() as u64
        };
        while waiting() < count {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Until the mount has heard of the last one.
        std::thread::sleep(Duration::from_millis(100));
        Self(child)
    }

    /// Nanoseconds until the last of them has learnt of this.
    fn end(self, end: impl FnOnce()) -> f64 {
        let start = monotonic_ns();
        end();
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success());
        let last: u64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        last.saturating_sub(start) as f64
    }
}

/// The process: reads with so many threads, and prints when the last one has come to an end.
pub(crate) fn read(path: &Path, count: u64) {
    open_many();
    let files: Vec<File> = (0..count).map(|_| open(path)).collect();
    let threads: Vec<_> = files.into_iter().map(reader).collect();
    let last = threads.into_iter().map(|thread| thread.join().unwrap()).max();
    println!("{}", last.unwrap());
}

/// Each opens for itself; a descriptor of a pipe is shared.
fn open(path: &Path) -> File {
    if path == Path::new("-") {
        std::io::stdin().as_fd().try_clone_to_owned().unwrap().into()
    } else {
        File::open(path).unwrap()
    }
}

/// A thread that reads, and tells when the read has ended: with end of file, or with an error where the mount has died.
fn reader(mut file: File) -> JoinHandle<u64> {
    let read = move || {
        let read = file.read(&mut [0; 100]);
        let now = monotonic_ns();
        match read {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            other => panic!("{other:?}"),
        }
        now
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(read).unwrap()
}

/// Lets this process open as many files as it may.
fn open_many() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is one valid rlimit for both calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}
