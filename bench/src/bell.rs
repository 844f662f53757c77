//! A word of shared memory that tells other processes of something, and the times when it did: what they take without Plasmite.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::limits::{Shared, futex_wait, futex_wake};
use crate::processes::spin_while;

/// The word, which counts, and the times of the last rings.
pub(crate) struct Bell(Shared);

impl Bell {
    /// The one whose file lies beside this path.
    pub(crate) fn beside(path: &Path) -> Self {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        Self(Shared::new(&options.open(path.with_extension("bell")).unwrap(), 4096))
    }

    pub(crate) fn word(&self) -> &AtomicU32 {
        self.0.word()
    }

    /// How often it was rung.
    pub(crate) fn rung(&self) -> u32 {
        self.word().load(Ordering::Acquire)
    }

    /// Rings it, for those who look: they get this time.
    pub(crate) fn show(&self, time: u64) {
        let rung = self.word().load(Ordering::Relaxed);
        self.slot(rung).store(time, Ordering::Relaxed);
        self.word().store(rung + 1, Ordering::Release);
    }

    /// Rings it, for those who sleep too.
    pub(crate) fn ring(&self, time: u64) {
        self.show(time);
        futex_wake(self.word());
    }

    /// Sleeps until it was rung more often than so.
    pub(crate) fn sleep(&self, rung: u32) {
        futex_wait(self.word(), rung);
    }

    /// Looks until it was rung more often than so.
    pub(crate) fn watch(&self, rung: u32) {
        spin_while(self.word(), rung);
    }

    /// The time of a ring, until there were many more.
    pub(crate) fn time(&self, ring: u32) -> u64 {
        self.slot(ring).load(Ordering::Relaxed)
    }

    fn slot(&self, ring: u32) -> &AtomicU64 {
        const TIMES: usize = 400;
        self.0.word_at(64 + 8 * (ring as usize % TIMES))
    }
}
