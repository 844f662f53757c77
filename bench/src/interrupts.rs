//! How long readers that wait take to end after a signal: those of the mount, and those of a pipe.

#![allow(unsafe_code)]

use std::fs;
use std::io::{PipeReader, PipeWriter, pipe};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::rows::{Bench, Effort};

/// The time in which each of them is to end.
pub(crate) const BOUND: Duration = Duration::from_millis(100);

/// How many of them, and the names of the rows.
const ROWS: &[(usize, &str, &str)] = &[
    (1, "pipe: SIGTERM → end of a blocked reader", "mount: SIGTERM → end of a blocked reader"),
    (
        100,
        "pipe: SIGTERM → end of 100 blocked readers",
        "mount: SIGTERM → end of 100 blocked readers",
    ),
    (
        1000,
        "pipe: SIGTERM → end of 1,000 blocked readers",
        "mount: SIGTERM → end of 1,000 blocked readers",
    ),
];

/// Notes a round; `follow` is a stream of the mount that has nothing to read.
pub(crate) fn rows(bench: &mut Bench, follow: &Path) {
    let most = if bench.effort() == Effort::Quick { 100 } else { 1000 };
    for (count, pipe, mount) in ROWS.iter().filter(|row| row.0 <= most) {
        let (reader, _open): (PipeReader, PipeWriter) = self::pipe().unwrap();
        let ns = ended(*count, "pipe", || {
            let mut cat = Command::new("cat");
            cat.stdin(reader.try_clone().unwrap());
            cat
        });
        bench.note(pipe, ns, None, None);
        let ns = ended(*count, "request_wait", || {
            let mut cat = Command::new("cat");
            cat.arg(follow).stdin(Stdio::null());
            cat
        });
        // Of as many processes most of the time is their own end; the pipe shows how much.
        bench.note(mount, ns, Some((pipe, 1.5)), Some(BOUND.as_nanos() as f64));
    }
}

/// Nanoseconds from the first signal to the end of the last of so many readers, which wait in this part of the kernel.
fn ended(count: usize, place: &str, reader: impl Fn() -> Command) -> f64 {
    let mut readers: Vec<Child> =
        (0..count).map(|_| reader().stdout(Stdio::null()).spawn().unwrap()).collect();
    for reader in &readers {
        let waits = || {
            let of = |what| fs::read_to_string(format!("/proc/{}/{what}", reader.id()));
            of("comm").is_ok_and(|name| name == "cat\n")
                && of("wchan").is_ok_and(|w| w.contains(place))
        };
        while !waits() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // Until the mount has heard of the last one.
    std::thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    for reader in &readers {
        // SAFETY: it takes numbers alone; the process is a child that was not waited for, so the number is still its own.
        assert_eq!(unsafe { libc::kill(reader.id() as i32, libc::SIGTERM) }, 0);
    }
    for reader in &mut readers {
        reader.wait().unwrap();
    }
    start.elapsed().as_nanos() as f64
}
