//! Rows of several processes that append at the same time.

use std::path::Path;

use crate::documents::dense;
use crate::measure::{BATCH, Round, SMALL};
use crate::other::{Other, monotonic_ns};
use crate::system::{Durability, System, Wanted};

pub(crate) fn rows(round: &mut Round<'_>) {
    appends(round, "append 1 KiB, 8 processes", 8, Durability::Fast);
    appends(round, "flush 1 KiB, 16 processes", 16, Durability::Flush);
}

fn appends(round: &mut Round<'_>, group: &str, processes: u32, durability: Durability) {
    let wanted = Wanted { durability, ..SMALL };
    let keeps: fn(&System) -> bool = |system| system.does.keeps;
    round.each(group, wanted, keeps, |round, system, dir| {
        fill(system, dir);
        together(round, system, dir, processes, durability)
    });
}

/// As it is once it has been in use for a while: what is bounded is full.
fn fill(system: &System, dir: &Path) {
    let message = dense(1024);
    let mut sender = (system.sender)(dir, Durability::Fast);
    for _ in 0..SMALL.room_bytes / 1024 * 3 / 2 / BATCH as u64 {
        sender.send_all(&[message.as_bytes(); BATCH]);
    }
}

/// Nanoseconds for each message of all.
fn together(
    round: &Round<'_>,
    system: &System,
    dir: &Path,
    processes: u32,
    durability: Durability,
) -> f64 {
    let role = match durability {
        Durability::Fast => "send",
        Durability::Flush => "send-flushed",
    };
    let millis = round.budget().as_millis() as u64;
    let mut others: Vec<_> =
        (0..processes).map(|_| Other::spawn(role, system, dir, millis)).collect();
    others.iter_mut().for_each(Other::wait_ready);
    let start = monotonic_ns();
    others.iter_mut().for_each(Other::go);
    let (mut sent, mut end) = (0, start);
    for mut other in others {
        let line = other.line();
        let (count, done) = line.split_once(' ').unwrap();
        sent += count.parse::<u64>().unwrap();
        end = end.max(done.parse().unwrap());
        other.end();
    }
    (end - start) as f64 / sent as f64
}
