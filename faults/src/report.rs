//! What the campaign did and found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::child::Kind;

/// The promise: others go on within this time.
const PROMISE: Duration = Duration::from_millis(100);
/// A wait for the lock is some sleeps in a row, each of which the machine may end late by as much as it was seen to.
const SLEEPS: u32 = 8;

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) kills: u64,
    pub(crate) by_kind: BTreeMap<&'static str, u64>,
    pub(crate) at_random: u64,
    pub(crate) by_point: BTreeMap<&'static str, u64>,
    pub(crate) acknowledged: u64,
    pub(crate) rounds: u64,
    /// Aims that were not come to, because the writer had ended before.
    pub(crate) missed: u64,
    pub(crate) checked: u64,
    survivors: Vec<Duration>,
    readers: Vec<Duration>,
    machine: Vec<Duration>,
    pub(crate) violations: Vec<String>,
}

impl Report {
    pub(crate) fn killed(&mut self, kind: Kind, point: Option<&'static str>) {
        self.kills += 1;
        *self.by_kind.entry(kind.name()).or_default() += 1;
        match point {
            Some(name) => *self.by_point.entry(name).or_default() += 1,
            None => self.at_random += 1,
        }
    }

    /// A survivor went on after `took`, while the machine itself was `late`.
    pub(crate) fn went_on(&mut self, took: Duration, late: Duration, what: &str) {
        self.survivors.push(took);
        self.machine.push(late);
        if took > PROMISE + late * SLEEPS {
            self.violations.push(format!(
                "{what}: a survivor went on after {took:?} (machine late by {late:?})"
            ));
        }
    }

    pub(crate) fn read_late(&mut self, delays: &[Duration]) {
        self.readers.extend(delays.iter().max());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} kills in {} rounds: {} at random, {} at named steps; {} aims not come to",
            self.kills,
            self.rounds,
            self.at_random,
            self.kills - self.at_random,
            self.missed
        )?;
        for (kind, count) in &self.by_kind {
            writeln!(f, "  {kind:<14} {count}")?;
        }
        for (name, count) in &self.by_point {
            writeln!(f, "  at {name:<20} {count}")?;
        }
        writeln!(
            f,
            "{} acknowledged messages, {} checks of a whole pool",
            self.acknowledged, self.checked
        )?;
        for (what, times) in [
            ("a survivor's next append", &self.survivors),
            ("the latest message of a round at a reader", &self.readers),
            ("a sleep of 1 ms longer by (machine)", &self.machine),
        ] {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |part: usize| {
                times.get((times.len() * part / 1000).min(times.len().saturating_sub(1))).copied()
            };
            if let (Some(p50), Some(p99), Some(max)) = (at(500), at(990), at(1000)) {
                writeln!(f, "{what}: p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}")?;
            }
        }
        writeln!(f, "{} violations", self.violations.len())?;
        self.violations.iter().take(50).try_for_each(|v| writeln!(f, "  VIOLATION {v}"))
    }
}
