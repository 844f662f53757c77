//! Histories of several processes, each call with the moments between which it ran, are judged against the sequential
//! specification of a bounded log: there must be one order of all calls that explains every answer and keeps to the clock.
//!
//! The seqs give that order away. Message `k` makes room at one moment, `R(k)`, and is published at a later one, `P(k)`:
//! `R(1) ≤ P(1) ≤ R(2) ≤ P(2) …`, and which messages `R(k)` lets go follows from the sizes. Each answer is a bound on these
//! moments from below or above, so the least solution tells whether there is any.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use plasmite_core::{Durability, ErrorKind, Pool, Seq, TailOptions};

use crate::concurrency::writer_args;
use crate::process::number;
use crate::support::{Dir, NO_TAGS, check_document, child, document};

/// What a process called, and what it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Message `seq` is of `writer`, its `n`th, and takes so many bytes of the ring.
    Append {
        seq: u64,
        writer: u64,
        n: u64,
        bytes: u64,
    },
    /// None: not retained.
    Get {
        seq: u64,
        found: Option<(u64, u64)>,
    },
    Oldest(u64),
    Newest(u64),
}

#[derive(Clone, Copy, Debug)]
struct Timed {
    from: u64,
    to: u64,
    call: Call,
}

fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // One clock for all processes.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A process of the history: every third appends, the others read. Says each call in a line: from, to, kind and numbers.
pub fn witness(path: &Path) {
    let pool = Pool::open(path).unwrap();
    let (me, count) = (number("W"), number("COUNT"));
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut tail = pool.tail(TailOptions::default()).unwrap();
    let mut random = me + 1;
    for n in 1..=count {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let pick = random >> 40;
        if me % 2 == 0 {
            let text = document(me, n, pick as usize % 400);
            let from = now();
            let seq = pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap().seq;
            let to = now();
            let bytes = (36 + text.len()).next_multiple_of(8);
            writeln!(out, "@{from} {to} a {seq} {n} {bytes}").unwrap();
            continue;
        }
        let from = now();
        let bounds = pool.bounds().unwrap();
        let to = now();
        writeln!(out, "@{from} {to} b {} {}", bounds.oldest, bounds.newest).unwrap();
        let seq = match pick % 4 {
            0 => bounds.oldest.get() + pick / 4 % 3,
            1 => bounds.newest.get() + pick / 4 % 3,
            2 => bounds.newest.get().saturating_sub(pick / 4 % 30),
            _ => {
                let from = now();
                if let Some(message) = tail.try_next().unwrap() {
                    let (w, n) = check_document(message.data());
                    writeln!(out, "@{from} {} g {} {w} {n}", now(), message.seq()).unwrap();
                }
                continue;
            }
        };
        let from = now();
        let got = pool.get(Seq::new(seq));
        let to = now();
        match got {
            Ok(message) => {
                let (w, n) = check_document(message.data());
                writeln!(out, "@{from} {to} g {seq} {w} {n}").unwrap();
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
                writeln!(out, "@{from} {to} n {seq}").unwrap();
            }
        }
    }
}

fn said(who: u64, line: &str) -> Vec<Timed> {
    let Some((_, line)) = line.split_once('@') else { return Vec::new() };
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap();
    let (from, to) = (next().parse().unwrap(), next().parse().unwrap());
    let kind = next();
    let numbers: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
    let calls = match (kind, numbers.as_slice()) {
        ("a", [seq, n, bytes]) => {
            vec![Call::Append { seq: *seq, writer: who, n: *n, bytes: *bytes }]
        }
        ("b", [oldest, newest]) => vec![Call::Oldest(*oldest), Call::Newest(*newest)],
        ("g", [seq, w, n]) => vec![Call::Get { seq: *seq, found: Some((*w, *n)) }],
        ("n", [seq]) => vec![Call::Get { seq: *seq, found: None }],
        _ => panic!("{line}"),
    };
    calls.into_iter().map(|call| Timed { from, to, call }).collect()
}

/// The room that a pool has.
#[derive(Clone, Copy, Debug)]
struct Room {
    bytes: u64,
    messages: u64,
}

/// The moments `R(1), P(1), R(2), P(2)…`, each not before and not after some time.
struct Moments {
    not_before: Vec<u64>,
    not_after: Vec<u64>,
}

fn room_made(k: u64) -> usize {
    2 * k as usize - 2
}

fn published(k: u64) -> usize {
    2 * k as usize - 1
}

impl Moments {
    fn at_least(&mut self, which: usize, time: u64) {
        if let Some(bound) = self.not_before.get_mut(which) {
            *bound = time.max(*bound);
        }
    }

    /// False: there is no such moment.
    fn at_most(&mut self, which: usize, time: u64) -> bool {
        let Some(bound) = self.not_after.get_mut(which) else { return false };
        *bound = time.min(*bound);
        true
    }

    /// None is after one that follows it: a writer may come back long after others have published behind it.
    fn end_before_followers(&mut self) {
        let mut latest = u64::MAX;
        for bound in self.not_after.iter_mut().rev() {
            latest = latest.min(*bound);
            *bound = latest;
        }
    }

    /// The first moment that has no place, if one has none: in the least solution each is as early as it can be.
    fn contradiction(&self) -> Option<usize> {
        let mut time = 0;
        self.not_before.iter().zip(&self.not_after).position(|(low, high)| {
            time = time.max(*low);
            time > *high
        })
    }
}

/// Ok, or why no order of the calls explains the answers.
fn judge(history: &[Timed], room: Room) -> Result<usize, String> {
    let mut appends = BTreeMap::new();
    for timed in history {
        if let Call::Append { seq, writer, n, bytes } = timed.call
            && appends.insert(seq, (writer, n, bytes, *timed)).is_some()
        {
            return Err(format!("seq {seq} was given twice"));
        }
    }
    let count = appends.len() as u64;
    if appends.last_key_value().is_some_and(|(seq, _)| *seq != count) {
        return Err("the seqs have holes".into());
    }
    // The oldest message once `k` has made room.
    let mut oldest_after = vec![1];
    let (mut oldest, mut used) = (1, 0);
    for (k, (_, _, bytes, _)) in &appends {
        used += bytes;
        while used > room.bytes || k - oldest + 1 > room.messages {
            used -= appends[&oldest].2;
            oldest += 1;
        }
        oldest_after.push(oldest);
    }
    // The message that lets `seq` go; one too many when none does.
    let lets_go = |seq: u64| oldest_after.partition_point(|oldest| *oldest <= seq) as u64;
    let moments = 2 * count as usize;
    let mut bounds = Moments { not_before: vec![0; moments], not_after: vec![u64::MAX; moments] };
    let mut either = Vec::new();
    for timed in history {
        let (from, to) = (timed.from, timed.to);
        let possible = match timed.call {
            Call::Append { seq, .. } => {
                bounds.at_least(room_made(seq), from);
                bounds.at_most(published(seq), to)
            }
            Call::Get { seq, found: Some(found) } => {
                bounds.at_least(room_made(lets_go(seq)), from);
                appends.get(&seq).is_some_and(|(w, n, ..)| (*w, *n) == found)
                    && bounds.at_most(published(seq), to)
            }
            Call::Newest(newest) => {
                bounds.at_least(published(newest + 1), from);
                newest == 0 || bounds.at_most(published(newest), to)
            }
            Call::Oldest(oldest) => {
                bounds.at_least(room_made(lets_go(oldest)), from);
                let by = lets_go(oldest - 1);
                oldest == 1
                    || (oldest_after.get(by as usize) == Some(&oldest)
                        && bounds.at_most(room_made(by), to))
            }
            Call::Get { seq, found: None } => {
                either.push((seq, *timed));
                true
            }
        };
        if !possible {
            return Err(format!("nothing explains {timed:?}"));
        }
    }
    bounds.end_before_followers();
    for (seq, timed) in either {
        // Not yet there, or not any more. Both at once are possible only for a message that came and went within the call;
        // then it does not matter which is taken.
        if seq == 0 || seq > count || bounds.not_after[published(seq)] > timed.from {
            if seq > 0 {
                bounds.at_least(published(seq), timed.from);
            }
        } else if !bounds.at_most(room_made(lets_go(seq)), timed.to) {
            return Err(format!("nothing explains {timed:?}: the message was never let go"));
        }
    }
    match bounds.contradiction() {
        Some(which) => Err(format!("no moment is left for message {}", which / 2 + 1)),
        None => Ok(history.len()),
    }
}

fn recorded(processes: u64, calls: u64) -> (Vec<Timed>, Room) {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    let info = pool.info().unwrap();
    let room = Room { bytes: info.ring_bytes, messages: info.max_messages };
    let children: Vec<_> = (0..processes)
        .map(|w| child("witness", &dir.path("p"), &writer_args(w, calls, 0, 0, false)))
        .collect();
    let mut history = Vec::new();
    for (w, mut c) in (0..).zip(children) {
        for line in BufReader::new(c.stdout.take().unwrap()).lines() {
            history.extend(said(w, &line.unwrap()));
        }
        assert!(c.wait().unwrap().success());
    }
    (history, room)
}

#[test]
fn histories_of_several_processes_are_linearizable() {
    for processes in [3, 5] {
        let (history, room) = recorded(processes, 4000);
        let judged = judge(&history, room).unwrap_or_else(|why| panic!("{why}"));
        eprintln!("{judged} calls of {processes} processes");
    }
}

#[test]
fn a_message_that_went_before_its_held_up_writer_came_back_is_no_contradiction() {
    let append = |seq, writer, from, to| {
        let call = Call::Append { seq, writer, n: seq, bytes: 40 };
        Timed { from, to, call }
    };
    let history = [
        append(1, 0, 0, 1000),
        append(2, 2, 10, 20),
        append(3, 2, 30, 40),
        Timed { from: 500, to: 510, call: Call::Get { seq: 1, found: None } },
    ];
    judge(&history, Room { bytes: 1000, messages: 2 }).unwrap();
}

#[test]
fn histories_that_no_order_explains_are_found_out() {
    let (history, room) = recorded(3, 1500);
    judge(&history, room).unwrap();
    let last = |is: &dyn Fn(&Call) -> bool| history.iter().rposition(|t| is(&t.call)).unwrap();
    let refused = |change: &dyn Fn(&mut Vec<Timed>)| {
        let mut changed = history.clone();
        change(&mut changed);
        assert!(judge(&changed, room).is_err());
    };
    // An append that no reader may miss once it has returned.
    let append = history[last(&|c| matches!(c, Call::Append { .. }))];
    let Call::Append { seq, writer, n, .. } = append.call else { panic!() };
    let (from, to) = (append.to + 1, append.to + 2);
    refused(&|h| h.push(Timed { from, to, call: Call::Get { seq, found: None } }));
    refused(&|h| h.push(Timed { from, to, call: Call::Newest(seq - 1) }));
    // One that was read before it was asked for.
    let (from, to) = (append.from - 2, append.from - 1);
    refused(&|h| h.push(Timed { from, to, call: Call::Get { seq, found: Some((writer, n)) } }));
    refused(&|h| h.push(Timed { from, to, call: Call::Newest(seq) }));
    // A message read after it was let go, other bytes, and bounds that go backwards.
    let end = history.iter().map(|t| t.to).max().unwrap();
    let first = history.iter().find_map(|t| match t.call {
        Call::Append { seq: 1, writer, n, .. } => Some((writer, n)),
        _ => None,
    });
    let (from, to) = (end + 1, end + 2);
    refused(&|h| h.push(Timed { from, to, call: Call::Get { seq: 1, found: first } }));
    refused(&|h| h.push(Timed { from, to, call: Call::Get { seq, found: Some((writer, n + 1)) } }));
    refused(&|h| h.push(Timed { from, to, call: Call::Oldest(1) }));
    // A seq that was left out.
    refused(&|h| h.retain(|t| !matches!(t.call, Call::Append { seq: 7, .. })));
}
