//! Rows of several processes that append at the same time.

use std::path::Path;

use crate::documents::dense;
use crate::measure::{Round, SMALL, fill};
use crate::other::{Other, monotonic_ns};
use crate::system::{Durability, System, Wanted};

pub(crate) fn rows(round: &mut Round<'_>) {
    for processes in [2, 4, 8] {
        let group = format!("append 1 KiB, {processes} processes");
        appends(round, &group, processes, Durability::Fast);
    }
    appends(round, "flush 1 KiB, 16 processes", 16, Durability::Flush);
}

fn appends(round: &mut Round<'_>, group: &str, processes: u32, durability: Durability) {
    let wanted = Wanted { durability, ..SMALL };
    let keeps: fn(&System) -> bool = |system| system.does.keeps;
    round.each(group, wanted, keeps, |round, system, dir| {
        // As it is once it has been in use for a while: what is bounded is full.
        fill(system, dir, &dense(1024), SMALL.room_bytes * 3 / 2);
        together(round, system, dir, processes, durability)
    });
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
