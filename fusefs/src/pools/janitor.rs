//! Closes pools that nobody uses and gives back memory, so that an idle mount pins neither memory nor deleted files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Pools;
use crate::sync::{read, small_thread};
use crate::views::buffers;

const ROUND: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(60);

/// The thread that closes idle pools; there is one while the mount knows a pool.
#[derive(Default)]
pub(super) struct Janitor {
    running: AtomicBool,
}

impl Janitor {
    /// Starts the thread if there is none.
    pub(super) fn ensure_running(&self, pools: &Arc<Pools>) {
        if !self.running.swap(true, Ordering::Relaxed) {
            let pools = Arc::downgrade(pools);
            if small_thread("pool-janitor", move || run(&pools)).is_err() {
                self.running.store(false, Ordering::Relaxed);
            }
        }
    }
}

fn run(pools: &Weak<Pools>) {
    loop {
        std::thread::sleep(ROUND);
        let Some(pools) = pools.upgrade() else { return };
        buffers::tidy();
        let dirs: Vec<_> = read(&pools.table).by_id.values().cloned().collect();
        let Some(since) = Instant::now().checked_sub(IDLE) else { continue };
        for dir in dirs {
            dir.tidy();
            if dir.is_whole() {
                dir.home().tidy(since);
            }
        }
    }
}
