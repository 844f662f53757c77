//! Rows of reading what is there.

use std::time::Instant;

use crate::documents::dense;
use crate::measure::{Round, fill, timed};
use crate::system::{Durability, System, Wanted};

pub(crate) fn rows(round: &mut Round<'_>) {
    let message = dense(1024);
    let wanted = Wanted { durability: Durability::Fast, room_bytes: round.most_bytes() as u64 };
    // A little less than there is room for.
    let bytes = wanted.room_bytes / 10 * 9;
    let numbers: fn(&System) -> bool = |system| system.get.is_some();
    round.each("get 1 KiB at random", wanted, numbers, |round, system, dir| {
        fill(system, dir, &message, bytes);
        let (count, mut get) = (system.get.unwrap())(dir);
        let mut at = 0;
        timed(round.budget(), 1, || {
            // Far from the one before, and each of them before one comes again.
            at = (at + FAR) % count;
            assert_eq!(get(at), message.len());
        })
    });
    let keeps: fn(&System) -> bool = |system| system.does.keeps;
    round.each("read 1 KiB, one after the other", wanted, keeps, |_round, system, dir| {
        // It gets what comes after this.
        let mut receiver = (system.receiver)(dir);
        let count = fill(system, dir, &message, bytes);
        let (start, mut read) = (Instant::now(), 0);
        while read < count {
            receiver.receive(&mut |text| {
                assert_eq!(text.len(), message.len());
                read += 1;
            });
        }
        start.elapsed().as_nanos() as f64 / read as f64
    });
}

/// A prime.
const FAR: u64 = 15_485_863;
