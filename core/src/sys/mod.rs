//! Everything that needs `unsafe` or is particular to Linux: the mapping, futexes, file locks, processes.
//!
//! Another system is added by giving these modules a second form; the rest of the engine knows none of it.
#![allow(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_endian = "little", target_pointer_width = "64")))]
compile_error!("Plasmite's engine supports 64-bit little-endian Linux");

pub(crate) mod clock;
mod copy;
pub(crate) mod files;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod last_will;
pub(crate) mod map;
pub(crate) mod marks;
#[cfg(test)]
pub(crate) mod observed;
pub(crate) mod ofd;
pub(crate) mod process;
pub(crate) mod replaceable;
mod sigbus;
pub(crate) mod signals;
pub(crate) mod text;
pub(crate) mod word;

/// Words that hold these bytes, the last one filled up with zeros.
#[cfg(test)]
pub(crate) fn words_of(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    bytes.chunks(8).map(word).collect()
}

/// The bytes of words, in memory order.
pub(crate) fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: any u64 is eight valid bytes, and the slice covers exactly the same memory.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}
