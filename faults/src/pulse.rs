//! How late the machine itself is: what a promise of 100 ms has to be judged against where others compute and write too.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plasmite_core::{Durability, Pool};

const SLEEP: Duration = Duration::from_millis(1);
/// Every so many beats the disk is asked too.
const FLUSH_EVERY: u64 = 32;
const PATIENCE: Duration = Duration::from_secs(60);
/// Ticks of `/proc/stat` are hundredths of a second (`sysconf(_SC_CLK_TCK)` on every Linux).
const TICK: Duration = Duration::from_millis(10);

/// A thread that sleeps for a millisecond and appends to a pool of its own, at which nobody dies, over and over; it notes how much
/// longer than usual each took.
pub(crate) struct Pulse(Arc<Beats>);

#[derive(Default)]
struct Beats {
    begun: AtomicU64,
    ended: AtomicU64,
    sleep_us: AtomicU64,
    append_us: AtomicU64,
}

/// What the machine kept a survivor waiting for, apart from the dead.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    /// The longest that a sleep of 1 ms took longer.
    pub(crate) sleep: Duration,
    /// The longest append, flushed or not, of a lone writer on the same disk.
    pub(crate) append: Duration,
    /// How long the survivor was ready to go on and got no CPU.
    pub(crate) own: Duration,
    /// The same of another process, which may have held the lock or been about to die: the longest.
    pub(crate) other: Duration,
    /// What the host took.
    pub(crate) steal: Duration,
}

/// The moment from which lateness counts.
pub(crate) struct Mark {
    start: Instant,
    own: Duration,
    others: Vec<(u32, Duration)>,
    steal: Duration,
}

impl Pulse {
    /// Its pool lies in `dir`, where the campaign's are.
    pub(crate) fn start(dir: &Path) -> Result<Self, String> {
        let pool =
            Pool::create(&dir.join("pulse.plasmite"), 64 << 10).map_err(|e| e.to_string())?;
        let beats = Arc::new(Beats::default());
        let noted = Arc::downgrade(&beats);
        thread::spawn(move || {
            while let Some(beats) = noted.upgrade() {
                beats.beat(&pool);
            }
        });
        Ok(Self(beats))
    }

    /// From now on. `others` are the processes that the survivor may have to wait for.
    pub(crate) fn mark(&self, others: &[u32]) -> Mark {
        self.0.sleep_us.store(0, Ordering::Relaxed);
        self.0.append_us.store(0, Ordering::Relaxed);
        Mark {
            own: run_delay("/proc/thread-self/schedstat"),
            others: others.iter().map(|pid| (*pid, run_delay_of(*pid))).collect(),
            steal: steal(),
            start: Instant::now(),
        }
    }

    /// How late the machine was since then; what is late at this moment is waited for.
    pub(crate) fn since(&self, mark: &Mark) -> Lateness {
        let begun = self.0.begun.load(Ordering::Acquire);
        let asked = Instant::now();
        while self.0.ended.load(Ordering::Acquire) < begun && asked.elapsed() < PATIENCE {
            thread::sleep(Duration::from_micros(100));
        }
        let worst = |noted: &AtomicU64| Duration::from_micros(noted.load(Ordering::Relaxed));
        let other = |(pid, before): &(u32, Duration)| run_delay_of(*pid).saturating_sub(*before);
        Lateness {
            sleep: worst(&self.0.sleep_us),
            append: worst(&self.0.append_us),
            own: run_delay("/proc/thread-self/schedstat").saturating_sub(mark.own),
            other: mark.others.iter().map(other).max().unwrap_or_default(),
            steal: steal().saturating_sub(mark.steal),
        }
    }
}

impl Mark {
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Beats {
    fn beat(&self, pool: &Pool) {
        let n = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let start = Instant::now();
        thread::sleep(SLEEP);
        let slept = start.elapsed();
        let durability =
            if n.is_multiple_of(FLUSH_EVERY) { Durability::Flush } else { Durability::Fast };
        // It can't fail but with the disk, which the campaign then hears of by itself.
        let _ = pool.append::<&str>(b"{}", &[], durability);
        let appended = start.elapsed() - slept;
        self.sleep_us.fetch_max(slept.saturating_sub(SLEEP).as_micros() as u64, Ordering::Relaxed);
        self.append_us.fetch_max(appended.as_micros() as u64, Ordering::Relaxed);
        self.ended.store(n, Ordering::Release);
    }
}

/// How long the threads of a process, dead ones that nobody has reaped included, waited for a CPU: the longest of them.
fn run_delay_of(pid: u32) -> Duration {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let delay = |thread: std::fs::DirEntry| {
        run_delay(thread.path().join("schedstat").to_str().unwrap_or_default())
    };
    threads.flatten().map(delay).max().unwrap_or_default()
}

/// The second number of a `schedstat`; zero where the kernel has none.
fn run_delay(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let delay = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Duration::from_nanos(delay.unwrap_or(0))
}

fn steal() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.split_whitespace().nth(8).and_then(|word| word.parse().ok());
    TICK * ticks.unwrap_or(0)
}
