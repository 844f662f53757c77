//! Tables whose keys are numbers that this mount gives out itself, one after the other: nobody can choose them so that they
//! collide, so they need no hash that withstands that.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table by such numbers.
pub(crate) type ByNumber<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// Spreads a number over all bits: the table uses the lowest for the place and the highest to compare.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // 2⁶⁴ over the golden ratio, odd.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let spread = (self.0 ^ number).wrapping_mul(FACTOR);
        self.0 = spread ^ spread >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_differ_in_the_bits_that_a_table_uses() {
        let hash = |n: u64| {
            let mut spread = Spread::default();
            spread.write_u64(n);
            spread.finish()
        };
        for start in [0, 1 << 20, 1 << 44] {
            let distinct = |part: &dyn Fn(u64) -> u64| {
                let parts = (start..start + 256).map(|n| part(hash(n)));
                parts.collect::<std::collections::HashSet<_>>().len()
            };
            assert!(distinct(&|hash| hash & 1023) > 192, "places from {start}");
            assert!(distinct(&|hash| hash >> 57) > 96, "what is compared from {start}");
        }
    }
}
