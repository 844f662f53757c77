//! Copying to and from memory that another process may be changing meanwhile.
//!
//! Such a copy may come out torn; who copies finds that out afterwards. It must not be a data race of the language, so it
//! is made of relaxed atomic accesses to whole words, or of instructions the compiler knows nothing of.

use std::sync::atomic::{AtomicU64, Ordering};

/// Copies bytes of our own into shared words. The bytes of the last word that `count` does not reach become zero.
///
/// # Safety
/// `from` is readable for `count` bytes, and nobody changes it meanwhile; `to` is aligned to 8, writable for `count`
/// bytes rounded up to words, and only accessed atomically or by the functions of this module. They do not overlap.
pub(super) unsafe fn copy_in(from: *const u8, to: *mut u64, count: usize) {
    // SAFETY: what the caller promised; the second call copies the rest of the same ranges.
    unsafe {
        let Copied { bytes: done, .. } = copy_blocks(from, to.cast(), count);
        copy_in_by_words(from.add(done), to.add(done / 8), count - done);
    }
}

/// Copies shared words to memory of our own. True: every byte that it copied is ASCII.
///
/// # Safety
/// `from` is readable and `to` writable for `count` words, both are aligned to 8 and do not overlap; nobody else uses `to`
/// meanwhile, and `from` is only accessed atomically or by the functions of this module.
pub(super) unsafe fn copy_out(from: *const u64, to: *mut u64, count: usize) -> bool {
    // SAFETY: what the caller promised; blocks are whole words, and the loop copies the words after them.
    unsafe {
        let Copied { bytes, mut is_ascii } = copy_blocks(from.cast(), to.cast(), count * 8);
        for i in bytes / 8..count {
            let word = AtomicU64::from_ptr(from.add(i).cast_mut()).load(Ordering::Relaxed);
            is_ascii &= word & NOT_ASCII == 0;
            to.add(i).write(word);
        }
        is_ascii
    }
}

/// The bits of a word that are set in no ASCII text.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

/// What [`copy_blocks`] has done.
struct Copied {
    /// So many bytes, a multiple of 16, are copied: all but 15 at most.
    bytes: usize,
    /// Every one of them is ASCII. Told of the very bytes that were written, whoever changed the others meanwhile.
    is_ascii: bool,
}

/// Asks for the cache line of `at`, to read it soon.
#[inline]
pub(super) fn prefetch_to_read(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads and writes nothing and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the cache line of `at`, to write to it soon.
#[inline]
pub(super) fn prefetch_to_write(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads and writes nothing and never faults; a CPU that does not know it does nothing at all.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Copies most of the bytes.
///
/// # Safety
/// Both ranges of `count` bytes are mapped and do not overlap. Either side may be the shared one.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn copy_blocks(from: *const u8, to: *mut u8, count: usize) -> Copied {
    let large = count / 64 * 64;
    let all = count / 16 * 16;
    let not_ascii: u32;
    // SAFETY: SSE2 is part of x86-64; the loops touch exactly the first `all` bytes of both ranges, and no other memory.
    unsafe {
        std::arch::asm!(
            "pxor {seen}, {seen}",
            "test {large}, {large}",
            "jz 3f",
            "2:",
            "movdqu {a}, [{from} + {at}]",
            "movdqu {b}, [{from} + {at} + 16]",
            "movdqu {c}, [{from} + {at} + 32]",
            "movdqu {d}, [{from} + {at} + 48]",
            "movdqu [{to} + {at}], {a}",
            "movdqu [{to} + {at} + 16], {b}",
            "movdqu [{to} + {at} + 32], {c}",
            "movdqu [{to} + {at} + 48], {d}",
            "por {seen}, {a}",
            "por {seen}, {b}",
            "por {c}, {d}",
            "por {seen}, {c}",
            "add {at}, 64",
            "cmp {at}, {large}",
            "jb 2b",
            "3:",
            "cmp {at}, {all}",
            "jae 5f",
            "4:",
            "movdqu {a}, [{from} + {at}]",
            "movdqu [{to} + {at}], {a}",
            "por {seen}, {a}",
            "add {at}, 16",
            "cmp {at}, {all}",
            "jb 4b",
            "5:",
            "pmovmskb {not_ascii:e}, {seen}",
            from = in(reg) from,
            to = in(reg) to,
            large = in(reg) large,
            all = in(reg) all,
            at = inout(reg) 0usize => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            seen = out(xmm_reg) _,
            not_ascii = lateout(reg) not_ascii,
            options(nostack),
        );
    }
    Copied { bytes: all, is_ascii: not_ascii == 0 }
}

/// Nothing faster than words is known here.
///
/// # Safety
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn copy_blocks(_from: *const u8, _to: *mut u8, _count: usize) -> Copied {
    Copied { bytes: 0, is_ascii: true }
}

/// # Safety
/// As for [`copy_in`].
unsafe fn copy_in_by_words(from: *const u8, to: *mut u64, count: usize) {
    // SAFETY: every access lies inside the ranges the caller vouches for.
    unsafe {
        for i in 0..count / 8 {
            let word = from.add(i * 8).cast::<u64>().read_unaligned();
            AtomicU64::from_ptr(to.add(i)).store(word, Ordering::Relaxed);
        }
        let rest = count % 8;
        if rest > 0 {
            let mut last = [0; 8];
            from.add(count - rest).copy_to_nonoverlapping(last.as_mut_ptr(), rest);
            let word = u64::from_ne_bytes(last);
            AtomicU64::from_ptr(to.add(count / 8)).store(word, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_in_from_every_alignment_and_padded_with_zeros() {
        let from: Vec<u8> = (1..=255).cycle().take(400).collect();
        for copy in [copy_in, copy_in_by_words] {
            for (count, shift) in (0..=210).flat_map(|count| (0..16).map(move |s| (count, s))) {
                let mut to = vec![u64::MAX; 40];
                // SAFETY: `from` has more than `count` bytes from there, `to` more than as many words after its third.
                unsafe { copy(from[shift..].as_ptr(), to[3..].as_mut_ptr(), count) };
                let bytes = crate::sys::bytes_of(&to);
                let end = 24 + count.next_multiple_of(8);
                assert_eq!(bytes[24..24 + count], from[shift..shift + count]);
                assert!(bytes[24 + count..end].iter().all(|b| *b == 0));
                assert!(bytes[..24].iter().chain(&bytes[end..]).all(|b| *b == 255));
            }
        }
    }

    #[test]
    fn every_number_of_words_is_copied_out_and_nothing_else() {
        let from: Vec<u64> = (1..=100).collect();
        for count in 0..=90 {
            let mut to = vec![0; 100];
            // SAFETY: both vectors have more than `count` words.
            unsafe { copy_out(from[5..].as_ptr(), to[3..].as_mut_ptr(), count) };
            assert_eq!(to[3..3 + count], from[5..5 + count]);
            assert!(to[..3].iter().chain(&to[3 + count..]).all(|w| *w == 0));
        }
    }

    #[test]
    fn a_byte_that_is_not_ascii_is_seen_wherever_it_is() {
        let mut from = vec![u64::from_ne_bytes([0x7F; 8]); 40];
        let mut to = vec![0; 40];
        for count in 0..40 {
            let mut copy = |from: &[u64]| {
                // SAFETY: both vectors have at least `count` words.
                unsafe { copy_out(from.as_ptr(), to.as_mut_ptr(), count) }
            };
            assert!(copy(&from));
            for at in 0..(count + 1) * 8 {
                let (word, bits) = (at / 8, 0x80 << (at % 8 * 8));
                from[word] |= bits;
                assert_eq!(copy(&from), word >= count);
                from[word] ^= bits;
            }
        }
    }
}
