//! Copying words that another process may be changing meanwhile.
//!
//! Such a copy may come out torn; who copies finds that out afterwards. It must not be a data race of the language, so it
//! is made of relaxed atomic accesses, or of instructions the compiler knows nothing of.

/// Copies `count` words from `from` to `to`.
///
/// # Safety
/// Both ranges are mapped, aligned to 8, and do not overlap; each is either in shared memory that is only accessed
/// atomically or by this function, or not accessed by others at all.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn copy_words(from: *const u64, to: *mut u64, count: usize) {
    let bytes = count * 8;
    let blocks = bytes / 64 * 64;
    if blocks > 0 {
        // SAFETY: SSE2 is part of x86-64; the loop touches exactly `blocks` bytes of both ranges, and no other memory.
        unsafe {
            std::arch::asm!(
                "2:",
                "movdqu {a}, [{from} + {at}]",
                "movdqu {b}, [{from} + {at} + 16]",
                "movdqu {c}, [{from} + {at} + 32]",
                "movdqu {d}, [{from} + {at} + 48]",
                "movdqu [{to} + {at}], {a}",
                "movdqu [{to} + {at} + 16], {b}",
                "movdqu [{to} + {at} + 32], {c}",
                "movdqu [{to} + {at} + 48], {d}",
                "add {at}, 64",
                "cmp {at}, {end}",
                "jb 2b",
                from = in(reg) from,
                to = in(reg) to,
                end = in(reg) blocks,
                at = inout(reg) 0usize => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }
    let done = blocks / 8;
    // SAFETY: the rest of the same ranges.
    unsafe { copy_one_by_one(from.add(done), to.add(done), count - done) };
}

/// The same where there is no faster way.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn copy_words(from: *const u64, to: *mut u64, count: usize) {
    // SAFETY: what the caller promised.
    unsafe { copy_one_by_one(from, to, count) };
}

unsafe fn copy_one_by_one(from: *const u64, to: *mut u64, count: usize) {
    use std::sync::atomic::{AtomicU64, Ordering};
    for i in 0..count {
        // SAFETY: inside the ranges the caller vouches for.
        unsafe {
            let word = AtomicU64::from_ptr(from.add(i).cast_mut()).load(Ordering::Relaxed);
            AtomicU64::from_ptr(to.add(i)).store(word, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::copy_words;

    #[test]
    fn every_length_is_copied_and_nothing_else() {
        let from: Vec<u64> = (1..=100).collect();
        for count in 0..=90 {
            let mut to = vec![0; 100];
            // SAFETY: both vectors have more than `count` words.
            unsafe { copy_words(from[5..].as_ptr(), to[3..].as_mut_ptr(), count) };
            assert_eq!(to[3..3 + count], from[5..5 + count]);
            assert!(to[..3].iter().chain(&to[3 + count..]).all(|w| *w == 0));
        }
    }
}
