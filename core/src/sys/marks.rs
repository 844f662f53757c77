//! Which of 64 bytes end a run of plain text or of digits, as bits: bit `n` is the `n`th byte.

/// The marks of 64 bytes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Bytes that are not plain inside a string: quotes, backslashes, control characters, and whatever is not ASCII.
    pub(crate) stops: u64,
    /// Bytes that are no decimal digits.
    pub(crate) others: u64,
}

/// How many bytes are marked at once.
pub(crate) const BLOCK_BYTES: usize = 64;

impl Marks {
    /// The marks of the 64 bytes at `at`. The place where the text ends is marked as the end of any run.
    #[inline(never)]
    pub(crate) fn of(text: &[u8], at: usize) -> Self {
        let mut marks = Marking::default();
        let rest = text.get(at..).unwrap_or_default();
        match rest.first_chunk::<BLOCK_BYTES>() {
            Some(block) => {
                block.as_chunks().0.iter().for_each(|piece| marks.add(lanes::mark(piece)))
            }
            None => {
                let (pieces, end) = rest.as_chunks();
                for piece in pieces {
                    marks.add(lanes::mark_out_of_line(lanes::Word::from_le_bytes(*piece)));
                }
                marks.add(lanes::mark_out_of_line(end_of(text, end.len())));
            }
        }
        Self { stops: marks.stops, others: !marks.digits }
    }
}

/// Marks that are put together piece by piece.
#[derive(Default)]
struct Marking {
    stops: u64,
    digits: u64,
    marked: usize,
}

impl Marking {
    #[inline(always)]
    fn add(&mut self, (stops, digits): (lanes::Bits, lanes::Bits)) {
        self.stops |= u64::from(stops) << self.marked;
        self.digits |= u64::from(digits) << self.marked;
        self.marked += lanes::BYTES;
    }
}

/// The last `len` bytes of the text, which are fewer than a piece, and zeros.
#[inline]
fn end_of(text: &[u8], len: usize) -> lanes::Word {
    match text.last_chunk() {
        Some(last) => {
            let before = 8 * (lanes::BYTES - len) as u32;
            lanes::Word::from_le_bytes(*last).checked_shr(before).unwrap_or(0)
        }
        // Without a call.
        None => {
            let bytes = text.iter().rev().take(len);
            bytes.fold(0, |word, &byte| word << 8 | lanes::Word::from(byte))
        }
    }
}

#[cfg(target_arch = "x86_64")]
use sse2 as lanes;
#[cfg(not(target_arch = "x86_64"))]
use words as lanes;

/// Sixteen bytes at once, by what every x86-64 CPU has.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set_epi64x, _mm_set1_epi8,
    };

    pub(super) const BYTES: usize = 16;
    pub(super) type Word = u128;
    pub(super) type Bits = u16;

    /// The bytes that are not plain in a string, and those that are digits.
    #[inline(always)]
    pub(super) fn mark(bytes: &[u8; BYTES]) -> (Bits, Bits) {
        // SAFETY: every x86-64 CPU has SSE2.
        unsafe { mark_lanes(Word::from_le_bytes(*bytes)) }
    }

    /// The same. What is short is read by little code, which may have to come from memory first.
    #[inline(never)]
    pub(super) fn mark_out_of_line(word: Word) -> (Bits, Bits) {
        // SAFETY: every x86-64 CPU has SSE2.
        unsafe { mark_lanes(word) }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn mark_lanes(word: Word) -> (Bits, Bits) {
        let lanes = _mm_set_epi64x((word >> 64) as i64, word as i64);
        let is_quote = _mm_cmpeq_epi8(lanes, _mm_set1_epi8(b'"' as i8));
        let is_backslash = _mm_cmpeq_epi8(lanes, _mm_set1_epi8(b'\\' as i8));
        // As signed numbers, bytes that are not ASCII are less than a space too.
        let is_odd = _mm_cmplt_epi8(lanes, _mm_set1_epi8(b' ' as i8));
        let stops = _mm_or_si128(_mm_or_si128(is_quote, is_backslash), is_odd);
        // Moves the digits to the lowest signed numbers.
        let moved = _mm_add_epi8(lanes, _mm_set1_epi8(i8::MIN.wrapping_sub(b'0' as i8)));
        let digits = _mm_cmplt_epi8(moved, _mm_set1_epi8(i8::MIN + 10));
        (_mm_movemask_epi8(stops) as Bits, _mm_movemask_epi8(digits) as Bits)
    }
}

/// Eight bytes at once in a word, on any CPU.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    pub(super) const BYTES: usize = 8;
    pub(super) type Word = u64;
    pub(super) type Bits = u8;

    /// The lowest bit of each byte.
    const LOW: u64 = 0x0101_0101_0101_0101;
    /// The highest bit of each byte.
    const HIGH: u64 = LOW << 7;

    /// The bytes that are not plain in a string, and those that are digits.
    #[inline(always)]
    pub(super) fn mark(bytes: &[u8; BYTES]) -> (Bits, Bits) {
        mark_out_of_line(Word::from_le_bytes(*bytes))
    }

    pub(super) fn mark_out_of_line(word: Word) -> (Bits, Bits) {
        let is = |byte: u8| below(word ^ (LOW * u64::from(byte)), 1);
        let stops = is(b'"') | is(b'\\') | below(word, b' ') | (word & HIGH);
        (bits(stops), bits(below(word ^ (LOW * u64::from(b'0')), 10)))
    }

    /// The highest bit of each byte that is below `limit`, which is ASCII.
    #[inline(always)]
    fn below(word: u64, limit: u8) -> u64 {
        !(((word & !HIGH) + LOW * u64::from(0x80 - limit)) | word) & HIGH
    }

    /// The highest bit of each byte, together: the product moves that of the `n`th byte to bit 56 + `n`.
    #[inline(always)]
    fn bits(high: u64) -> u8 {
        (((high >> 7).wrapping_mul(0x0102_0408_1020_4080)) >> 56) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(byte: u8) -> (bool, bool) {
        let stops = byte < b' ' || byte == b'"' || byte == b'\\' || !byte.is_ascii();
        (stops, byte.is_ascii_digit())
    }

    #[test]
    fn each_byte_is_marked_by_itself_in_every_place_whatever_is_around_it() {
        for around in [0, b'a', b'5', b'"', b' ', 0x7F, 0x80, 0xFF] {
            for byte in 0..=u8::MAX {
                for place in 0..BLOCK_BYTES {
                    let mut block = [around; BLOCK_BYTES];
                    block[place] = byte;
                    let marks = Marks::of(&block, 0);
                    let (mut stops, mut others) = (0, 0);
                    for (i, piece) in block.as_chunks::<8>().0.iter().enumerate() {
                        let (piece_stops, piece_digits) = words::mark(piece);
                        stops |= u64::from(piece_stops) << (8 * i);
                        others |= u64::from(!piece_digits) << (8 * i);
                    }
                    assert_eq!(marks, Marks { stops, others }, "{byte:#x} in {around:#x}");
                    for (at, &byte) in block.iter().enumerate() {
                        let is = (marks.stops >> at & 1 == 1, marks.others >> at & 1 == 0);
                        assert_eq!(is, expected(byte), "{byte:#x} in {around:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_short_text_ends_every_run() {
        for len in 0..BLOCK_BYTES {
            for byte in [b'a', b'5'] {
                let marks = Marks::of(&vec![byte; len], 0);
                assert_eq!(marks.stops.trailing_zeros() as usize, len);
                let digits = if byte == b'5' { len } else { 0 };
                assert_eq!(marks.others.trailing_zeros() as usize, digits);
            }
        }
    }
}
