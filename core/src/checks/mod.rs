//! Checks of the engine that need to see, or decide, what it does to shared memory: power losses in the middle of an append,
//! and all interleavings of a few processes. They run the engine's own code under an observer (`sys/observed.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod flushes;
mod interleavings;
mod places;
mod powerloss;
mod scheduler;
mod weak;
mod weak_tests;
mod world;

/// A generator of numbers for tests, the same ones each time (xorshift64*).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

/// A directory in memory where there is one: what these checks do to files is never about a real disk.
fn scratch_dir() -> tempfile::TempDir {
    let builder = tempfile::Builder::new();
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).unwrap()
}

/// A document of about `len` bytes, of which every one can be checked: `life` and `n` give them.
fn document(life: u64, n: u64, len: usize) -> String {
    let mut random = Random::new(life << 32 ^ n);
    let fill: String = (0..len).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
    format!("{{\"l\":{life},\"n\":{n},\"f\":\"{fill}\"}}")
}
