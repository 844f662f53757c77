//! Frames: how one message lies in the ring.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::sys;
use crate::types::{Seq, Timestamp};

/// Bytes of a frame before its payload.
pub(crate) const HEADER_BYTES: u64 = 36;
/// Frames start at multiples of this, or of the geometry's larger unit.
pub(crate) const ALIGN: u64 = 8;
/// The longest tag in bytes.
pub(crate) const MAX_TAG_BYTES: usize = 255;
/// The most bytes all tags of a message may take, a length byte for each included.
pub(crate) const MAX_TAGS_BYTES: usize = u16::MAX as usize;
/// `log_before` counts modulo this.
pub(crate) const LOG_MODULUS: u64 = 1 << 48;

/// Words of a header, the last one of which it shares with the payload.
pub(crate) const HEADER_WORDS: usize = 5;
/// Words that are written and read at once, so that a small message needs no second step.
pub(crate) const FIRST_WORDS: usize = 8;
/// Bytes of payload in them.
pub(crate) const FIRST_PAYLOAD: usize = FIRST_WORDS * 8 - HEADER_BYTES as usize;
/// Offset of the word with the seq.
pub(crate) const SEQ_AT: u64 = 8;
const SEQ_MASK: u64 = (1 << 56) - 1;

/// The fields of a frame, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) crc: u32,
    /// The checksum of the frame before: frames form a chain, so a leftover of an earlier life of the ring is
    /// never taken for the message that follows.
    pub(crate) link: u32,
    pub(crate) seq: Seq,
    pub(crate) time: Timestamp,
    pub(crate) log_before: u64,
    pub(crate) tags_len: u16,
    pub(crate) payload_len: u32,
}

/// Words that hold a frame with this payload.
pub(crate) const fn words_for(payload_len: u64) -> u64 {
    (HEADER_BYTES + payload_len).div_ceil(8)
}

/// The first words of a frame, its checksum included, with as much of its payload as is in them; the checksum; and how many
/// of the words belong to the frame. The rest of the payload starts on a word. `h.crc` does not matter.
#[inline]
pub(crate) fn begin(
    h: &FrameHeader,
    payload: &[u8],
    payload_crc: u32,
) -> ([u64; FIRST_WORDS], u32, usize) {
    let mut words = [0; FIRST_WORDS];
    words[0] = u64::from(h.link) << 32;
    words[1] = h.seq.get() & SEQ_MASK;
    words[2] = h.time.as_nanos();
    words[3] = (h.log_before % LOG_MODULUS) | u64::from(h.tags_len) << 48;
    words[4] = u64::from(h.payload_len);
    let crc = checksum(&words, payload_crc);
    words[0] |= u64::from(crc);
    match payload.first_chunk::<FIRST_PAYLOAD>() {
        Some(begin) => {
            let [a, b, c, d, rest @ ..] = begin;
            words[4] |= u64::from(u32::from_le_bytes([*a, *b, *c, *d])) << 32;
            for (word, bytes) in words[5..].iter_mut().zip(rest.as_chunks().0) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
        // Put together in registers: what was just stored in pieces can't be loaded at once without waiting for the stores.
        None => {
            let (halves, end) = payload.as_chunks::<4>();
            let end = end.iter().rev().fold(0, |half, &byte| half << 8 | u32::from(byte));
            let halves = halves.iter().map(|half| u32::from_le_bytes(*half)).chain([end]);
            for (half, i) in halves.zip(9..) {
                words[i / 2] |= u64::from(half) << (i % 2 * 32);
            }
        }
    }
    (words, crc, words_for(payload.len() as u64).min(FIRST_WORDS as u64) as usize)
}

/// The checksum of a frame: CRC32C of the header, in which the place of the checksum holds that of the payload. So the
/// payload's part, which is nearly all of the work, is done before the lock is taken.
#[inline]
fn checksum(words: &[u64; FIRST_WORDS], payload_crc: u32) -> u32 {
    let mut header = *words;
    header[0] = header[0] >> 32 << 32 | u64::from(payload_crc);
    crc32c(&sys::bytes_of(&header)[..HEADER_BYTES as usize])
}

/// Takes the first five words of a frame apart. None when a reserved bit is set.
#[inline]
pub(crate) fn decode(words: &[u64; HEADER_WORDS]) -> Option<FrameHeader> {
    (words[1] & !SEQ_MASK == 0).then_some(FrameHeader {
        crc: words[0] as u32,
        link: (words[0] >> 32) as u32,
        seq: Seq::new(words[1]),
        time: Timestamp::from_nanos(words[2]),
        log_before: words[3] % LOG_MODULUS,
        tags_len: (words[3] >> 48) as u16,
        payload_len: words[4] as u32,
    })
}

/// CRC32C, the Castagnoli polynomial of RFC 3720.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    if bytes.len() < LONG { crc_fast::crc32_iscsi(bytes) } else { crc32c_of_long(bytes) }
}

/// From here on crc-fast takes its way for long texts.
const LONG: usize = 256;

#[inline(never)]
fn crc32c_of_long(bytes: &[u8]) -> u32 {
    // Without AVX-512 crc-fast needs 40 ns for the first of them.
    #[cfg(target_arch = "x86_64")]
    if !std::arch::is_x86_feature_detected!("avx512vl") {
        return crc32c::crc32c(bytes);
    }
    crc_fast::crc32_iscsi(bytes)
}

/// Checks that the frame in `words`, from which `h` was read, is whole and is message `seq`; returns where in its bytes the
/// payload lies.
pub(crate) fn check(words: &[u64], h: &FrameHeader, seq: Seq) -> Result<Range<usize>> {
    if h.seq != seq {
        return Err(Error::corrupt(format!(
            "the frame found for message {seq} says it is {}",
            h.seq
        )));
    }
    let payload = HEADER_BYTES as usize..HEADER_BYTES as usize + h.payload_len as usize;
    let bytes = sys::bytes_of(words);
    let Some(payload_bytes) =
        bytes.get(payload.clone()).filter(|p| usize::from(h.tags_len) <= p.len())
    else {
        return Err(Error::corrupt(format!("the lengths of message {seq} contradict each other")));
    };
    let mut first = [0; FIRST_WORDS];
    let given = words.len().min(FIRST_WORDS);
    first[..given].copy_from_slice(&words[..given]);
    if checksum(&first, crc32c(payload_bytes)) != h.crc {
        return Err(Error::corrupt(format!("the checksum of message {seq} is wrong")));
    }
    Ok(payload)
}

/// The tags in checked tag bytes: for each a length byte and the text.
pub(crate) fn tags(mut bytes: &[u8]) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_first()?;
        let (tag, rest) = rest.split_at_checked(usize::from(*len))?;
        bytes = rest;
        std::str::from_utf8(tag).ok()
    })
}

/// Checks tag bytes that come from a file.
pub(crate) fn check_tags(bytes: &[u8]) -> Result<()> {
    let total: usize = tags(bytes).map(|tag| tag.len() + 1).sum();
    if total == bytes.len() && !tags(bytes).any(str::is_empty) {
        Ok(())
    } else {
        Err(Error::corrupt("the tags of the message are damaged"))
    }
}

/// Appends tags to `out` as they lie in a frame, and returns how many bytes they take.
///
/// # Errors
/// Usage for an empty tag, one over 255 bytes, or more than 65,535 bytes of tags.
pub(crate) fn encode_tags<T: AsRef<str>>(tags: &[T], out: &mut Vec<u8>) -> Result<u16> {
    let start = out.len();
    for tag in tags {
        let tag = tag.as_ref();
        let len = u8::try_from(tag.len()).map_err(|_| {
            Error::usage(format!("a tag of {} bytes is too long", tag.len()))
                .with_hint(format!("a tag has 1 to {MAX_TAG_BYTES} bytes"))
        })?;
        if len == 0 {
            return Err(Error::usage("a tag is empty").with_hint("leave it out"));
        }
        out.push(len);
        out.extend_from_slice(tag.as_bytes());
    }
    let total = out.len() - start;
    u16::try_from(total).map_err(|_| {
        Error::usage(format!("the tags take {total} bytes")).with_hint(format!(
            "all tags of a message fit in {MAX_TAGS_BYTES} bytes, one more for each tag counted"
        ))
    })
}

/// Bytes of a message's JSON line, newline included. `tag_bytes` as they lie in the frame.
pub(crate) fn line_len(seq: Seq, tag_bytes: &[u8], data_len: u64) -> u64 {
    let tags_text = crate::message::tags_len(tags(tag_bytes));
    crate::message::line_len(seq, tags_text, data_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RFC 3720 has it: a bit at a time.
    fn by_bits(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc: u32, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
                1 => crc >> 1 ^ 0x82F6_3B78,
                _ => crc >> 1,
            })
        })
    }

    #[test]
    fn the_checksum_is_that_of_the_rfc_for_every_length_and_alignment() {
        // B.4 of RFC 3720.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(i) >> 5) as u8).collect();
        for len in (0..1100).chain([4095, 8200, 19_000]) {
            for start in 0..9 {
                let some = &bytes[start..start + len];
                assert_eq!(crc32c(some), by_bits(some), "{len} bytes from {start} on");
            }
        }
    }
}
