//! How late the machine itself is: what a promise of 100 ms has to be judged against where others compute too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SLEEP: Duration = Duration::from_millis(1);

/// A thread that sleeps for a millisecond over and over, and notes how much longer it took.
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(crate) fn start() -> Self {
        let worst = Arc::new(AtomicU64::new(0));
        let noted = Arc::downgrade(&worst);
        thread::spawn(move || {
            while let Some(worst) = noted.upgrade() {
                let start = Instant::now();
                thread::sleep(SLEEP);
                let late = start.elapsed().saturating_sub(SLEEP);
                worst.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        Self(worst)
    }

    /// The worst lateness since the last call.
    pub(crate) fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed))
    }
}
