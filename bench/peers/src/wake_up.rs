//! Rows of how long a message takes to receivers that sleep.

use std::path::Path;
use std::time::Duration;

use crate::cpus::Cpus;
use crate::measure::{Round, SMALL};
use crate::other::{Other, WARM_UPS, monotonic_ns};
use crate::system::{Durability, System};
use crate::systems::SYSTEMS;

/// Between messages, for each receiver, so that all are asleep.
const PAUSE: Duration = Duration::from_micros(300);
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

pub(crate) fn rows(round: &mut Round<'_>) {
    let cpus = Cpus::two();
    // One is on another CPU; many are where the kernel puts them.
    SYSTEMS.iter().for_each(|system| measure(round, "wake-up", system, 1, Some(&cpus)));
    for system in SYSTEMS.iter().filter(|system| system.does.fans_out) {
        measure(round, "wake-up, 8 readers", system, 8, None);
    }
}

fn measure(
    round: &mut Round<'_>,
    name: &str,
    system: &System,
    receivers: u32,
    cpus: Option<&Cpus>,
) {
    let dir = round.directory();
    let groups = QUANTILES.map(|(quantile, _)| format!("{name}, {quantile}"));
    match (system.set_up)(&dir, &SMALL) {
        Ok(_behind) => {
            // As many wake-ups, however many share them.
            let count = round.times(1000, 100) / u64::from(receivers);
            let times = wake_ups(system, &dir, receivers, count, cpus);
            for (group, (_, part)) in groups.iter().zip(QUANTILES) {
                let at = ((times.len() - 1) as f64 * part).round() as usize;
                round.note(group, system.name, times[at]);
            }
        }
        Err(why) => groups.iter().for_each(|group| round.missing(group, system.name, &why)),
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// How long each of `count` messages took to each receiver, the shortest first.
fn wake_ups(
    system: &System,
    dir: &Path,
    receivers: u32,
    count: u64,
    cpus: Option<&Cpus>,
) -> Vec<f64> {
    let start = || -> Vec<_> {
        (0..receivers).map(|_| Other::start("be-woken", system, dir, count)).collect()
    };
    let others = cpus.map_or_else(start, |cpus| cpus.place(start));
    let mut sender = (system.sender)(dir, Durability::Fast);
    for _ in 0..WARM_UPS + count {
        std::thread::sleep(PAUSE * receivers);
        sender.send(format!("{{\"t\":{}}}", monotonic_ns()).as_bytes());
    }
    let mut times = Vec::new();
    for mut other in others {
        times.extend(other.line().split(' ').map(|ns| ns.parse::<f64>().unwrap()));
        other.end();
    }
    cpus.inspect(|cpus| cpus.release());
    times.sort_unstable_by(f64::total_cmp);
    times
}
