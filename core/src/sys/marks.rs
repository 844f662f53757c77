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
        #[cfg(target_arch = "x86_64")]
        return of::<{ sse2::BYTES }, sse2::Sse2>(text, at);
        #[cfg(not(target_arch = "x86_64"))]
        return of::<{ words::BYTES }, words::Words>(text, at);
    }
}

/// A way to mark `N` bytes at once: those that are not plain in a string, and those that are digits.
trait Lanes<const N: usize> {
    /// A bit for each byte.
    type Bits: Into<u64>;

    fn mark(bytes: &[u8; N]) -> (Self::Bits, Self::Bits);

    /// The same of a word's lowest bytes. What is short is marked by little code, which may have to come from memory first.
    fn mark_out_of_line(word: u128) -> (Self::Bits, Self::Bits);
}

#[inline(always)]
fn of<const N: usize, L: Lanes<N>>(text: &[u8], at: usize) -> Marks {
    let rest = text.get(at..).unwrap_or_default();
    let (mut stops, mut digits, mut marked) = (0, 0, 0);
    let mut add = |(piece_stops, piece_digits): (L::Bits, L::Bits)| {
        stops |= piece_stops.into() << marked;
        digits |= piece_digits.into() << marked;
        marked += N;
    };
    let (block, before) = match (rest, rest.first_chunk(), text.last_chunk()) {
        (_, Some(block), _) => (block, 0),
        // The text's last 64 bytes, of which those before `at` fall out again.
        ([_, ..], None, Some(block)) => (block, BLOCK_BYTES - rest.len()),
        _ => {
            let (pieces, end) = rest.as_chunks::<N>();
            pieces.iter().for_each(|piece| add(L::mark_out_of_line(word(piece))));
            add(L::mark_out_of_line(end_of::<N>(text, end.len())));
            return Marks { stops, others: !digits };
        }
    };
    let block: &[u8; BLOCK_BYTES] = block;
    block.as_chunks().0.iter().for_each(|piece| add(L::mark(piece)));
    let end = if before == 0 { 0 } else { 1 << rest.len() };
    Marks { stops: stops >> before | end, others: !(digits >> before) }
}

/// Up to 16 bytes, and zeros.
#[inline(always)]
fn word<const N: usize>(piece: &[u8; N]) -> u128 {
    let mut bytes = [0; 16];
    bytes[..N].copy_from_slice(piece);
    u128::from_le_bytes(bytes)
}

/// The last `len` bytes of the text, which are fewer than `N`, and zeros.
#[inline(always)]
fn end_of<const N: usize>(text: &[u8], len: usize) -> u128 {
    match text.last_chunk::<N>() {
        Some(last) => word(last).checked_shr(8 * (N - len) as u32).unwrap_or(0),
        // Without a call.
        None => {
            let bytes = text.iter().rev().take(len);
            bytes.fold(0, |word, &byte| word << 8 | u128::from(byte))
        }
    }
}

/// Sixteen bytes at once, by what every x86-64 CPU has.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set_epi64x, _mm_set1_epi8,
    };

    use super::Lanes;

    pub(super) const BYTES: usize = 16;

    pub(super) struct Sse2;

    impl Lanes<BYTES> for Sse2 {
        type Bits = u16;

        #[inline(always)]
        fn mark(bytes: &[u8; BYTES]) -> (u16, u16) {
            // SAFETY: every x86-64 CPU has SSE2.
            unsafe { mark(u128::from_le_bytes(*bytes)) }
        }

        #[inline(never)]
        fn mark_out_of_line(word: u128) -> (u16, u16) {
            // SAFETY: every x86-64 CPU has SSE2.
            unsafe { mark(word) }
        }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn mark(word: u128) -> (u16, u16) {
        let lanes = _mm_set_epi64x((word >> 64) as i64, word as i64);
        let is_quote = _mm_cmpeq_epi8(lanes, _mm_set1_epi8(b'"' as i8));
        let is_backslash = _mm_cmpeq_epi8(lanes, _mm_set1_epi8(b'\\' as i8));
        // As signed numbers, bytes that are not ASCII are less than a space too.
        let is_odd = _mm_cmplt_epi8(lanes, _mm_set1_epi8(b' ' as i8));
        let stops = _mm_or_si128(_mm_or_si128(is_quote, is_backslash), is_odd);
        // Moves the digits to the lowest signed numbers.
        let moved = _mm_add_epi8(lanes, _mm_set1_epi8(i8::MIN.wrapping_sub(b'0' as i8)));
        let digits = _mm_cmplt_epi8(moved, _mm_set1_epi8(i8::MIN + 10));
        (_mm_movemask_epi8(stops) as u16, _mm_movemask_epi8(digits) as u16)
    }
}

/// Eight bytes at once in a word, on any CPU.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::Lanes;

    pub(super) const BYTES: usize = 8;

    pub(super) struct Words;

    impl Lanes<BYTES> for Words {
        type Bits = u8;

        #[inline(always)]
        fn mark(bytes: &[u8; BYTES]) -> (u8, u8) {
            let word = u64::from_le_bytes(*bytes);
            let is = |byte: u8| below(word ^ (LOW * u64::from(byte)), 1);
            let stops = is(b'"') | is(b'\\') | below(word, b' ') | (word & HIGH);
            (bits(stops), bits(below(word ^ (LOW * u64::from(b'0')), 10)))
        }

        fn mark_out_of_line(word: u128) -> (u8, u8) {
            Self::mark(&(word as u64).to_le_bytes())
        }
    }

    /// The lowest bit of each byte.
    const LOW: u64 = 0x0101_0101_0101_0101;
    /// The highest bit of each byte.
    const HIGH: u64 = LOW << 7;

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

    /// As this CPU marks, and as any does. What is marked behind the end of the text means nothing.
    fn both(text: &[u8], at: usize) -> Marks {
        let known = u64::MAX >> (BLOCK_BYTES - 1).saturating_sub(text.len() - at);
        let known = |marks: Marks| (marks.stops & known, marks.others & known);
        let marks = Marks::of(text, at);
        let by_words = of::<{ words::BYTES }, words::Words>(text, at);
        assert_eq!(known(by_words), known(marks), "{text:?} at {at}");
        marks
    }

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
                    let marks = both(&block, 0);
                    for (at, &byte) in block.iter().enumerate() {
                        let is = (marks.stops >> at & 1 == 1, marks.others >> at & 1 == 0);
                        assert_eq!(is, expected(byte), "{byte:#x} in {around:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_of_any_length_is_marked_from_any_place_and_its_end_ends_every_run() {
        for len in 0..150 {
            let text: Vec<u8> = (0..len).map(|n| (n * n * 7 + n) as u8).collect();
            for at in 0..=len {
                let marks = both(&text, at);
                for (i, &byte) in text[at..].iter().take(BLOCK_BYTES).enumerate() {
                    let is = (marks.stops >> i & 1 == 1, marks.others >> i & 1 == 0);
                    assert_eq!(is, expected(byte), "{i} bytes behind {at} of {len}");
                }
                let left = len - at;
                if left < BLOCK_BYTES {
                    assert!(marks.stops >> left & marks.others >> left & 1 == 1, "{at} of {len}");
                }
            }
        }
    }
}
