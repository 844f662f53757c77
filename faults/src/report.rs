//! What the campaign did and found, as tables of Markdown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::child::Kind;
use crate::pulse::Lateness;

/// The promise: others go on within this time.
pub(crate) const PROMISE: Duration = Duration::from_millis(100);
/// A wait for the lock is some sleeps in a row, each of which the machine may end late by as much as it was seen to.
const SLEEPS: u32 = 8;

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) kills: u64,
    /// By whom and in what.
    pub(crate) by_kind: BTreeMap<String, u64>,
    pub(crate) at_random: u64,
    pub(crate) by_point: BTreeMap<String, u64>,
    pub(crate) acknowledged: u64,
    pub(crate) rounds: u64,
    /// Aims that were not come to, because the writer had ended before.
    pub(crate) missed: u64,
    pub(crate) checked: u64,
    pub(crate) examined: u64,
    survivors: Vec<Duration>,
    readers: Vec<Duration>,
    /// Of the survivors that took longer than the promise: how long, and what the machine did meanwhile.
    slow: Vec<(Duration, Lateness)>,
    pub(crate) violations: Vec<String>,
}

impl Report {
    pub(crate) fn killed(&mut self, kind: Kind, doing: &str, point: Option<&str>) {
        self.kills += 1;
        *self.by_kind.entry(format!("{}: {doing}", kind.name())).or_default() += 1;
        match point {
            Some(name) => *self.by_point.entry(name.to_owned()).or_default() += 1,
            None => self.at_random += 1,
        }
    }

    /// A survivor went on after `took`.
    pub(crate) fn went_on(&mut self, took: Duration) {
        self.survivors.push(took);
    }

    /// One that took longer than the promise, while the machine itself was late.
    pub(crate) fn went_on_late(&mut self, took: Duration, late: Lateness, what: &str) {
        self.slow.push((took, late));
        if took > PROMISE + excuse(&late) {
            self.violations
                .push(format!("{what}: a survivor went on after {took:?}; the machine: {late:?}"));
        }
    }

    pub(crate) fn read_late(&mut self, delays: &[Duration]) {
        self.readers.extend(delays.iter().max());
    }
}

/// How much longer than the promise a survivor may take on such a machine.
fn excuse(late: &Lateness) -> Duration {
    late.sleep * SLEEPS + late.append + late.own + late.other + late.steal
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | how many |\n| --- | --- |")?;
        for (what, count) in [
            ("processes killed", self.kills),
            ("… at random moments", self.at_random),
            ("… at named steps", self.kills - self.at_random),
            ("aims not come to", self.missed),
            ("rounds", self.rounds),
            ("acknowledged messages", self.acknowledged),
            ("checks of all that a pool holds", self.checked),
            ("of these by `plasmite doctor` too", self.examined),
            ("survivors timed", self.survivors.len() as u64),
            ("… that took longer than 100 ms", self.slow.len() as u64),
            ("violations", self.violations.len() as u64),
        ] {
            writeln!(f, "| {what} | {} |", grouped(count))?;
        }
        counts(f, "killed", &self.by_kind)?;
        counts(f, "killed at", &self.by_point)?;
        writeln!(f, "\n| how long | median | 99 % | longest |\n| --- | --- | --- | --- |")?;
        for (what, times) in [
            ("a survivor's next append", &self.survivors),
            ("the latest message of a round at a reader", &self.readers),
        ] {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |part: usize| {
                times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied()
            };
            if let (Some(p50), Some(p99), Some(max)) = (at(50), at(99), at(100)) {
                writeln!(f, "| {what} | {p50:.1?} | {p99:.1?} | {max:.1?} |")?;
            }
        }
        let mut slow: Vec<_> = self.slow.iter().collect();
        slow.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
        for (took, late) in slow.iter().take(5) {
            writeln!(f, "\na survivor took {took:.1?}; the machine: {late:.1?}")?;
        }
        self.violations.iter().take(50).try_for_each(|v| writeln!(f, "VIOLATION {v}"))
    }
}

fn counts(f: &mut fmt::Formatter<'_>, what: &str, table: &BTreeMap<String, u64>) -> fmt::Result {
    writeln!(f, "\n| {what} | times |\n| --- | --- |")?;
    table.iter().try_for_each(|(name, count)| writeln!(f, "| {name} | {} |", grouped(*count)))
}

/// With commas between thousands.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_survivor_is_late_only_by_what_the_machine_does_not_account_for() {
        let mut report = Report::default();
        let busy = Lateness { own: 300 * MS, other: 80 * MS, ..Lateness::default() };
        report.went_on_late(450 * MS, busy, "a");
        assert_eq!(report.violations.len(), 0);
        report.went_on_late(500 * MS, busy, "b");
        report.went_on_late(101 * MS, Lateness::default(), "c");
        assert_eq!(report.violations.len(), 2);
    }

    #[test]
    fn thousands_are_grouped() {
        let text: Vec<_> = [0, 999, 1000, 1234567].into_iter().map(grouped).collect();
        assert_eq!(text, ["0", "999", "1,000", "1,234,567"]);
    }
}
