//! Whitespace between tokens.

/// True for the whitespace that JSON allows between tokens.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where the whitespace at `at` ends.
#[inline]
pub(super) fn end(text: &[u8], mut at: usize) -> usize {
    loop {
        // Most of it is what pretty-printing puts before a line's first token.
        if let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk()) {
            let others = u64::from_le_bytes(*word) ^ u64::from_le_bytes([b' '; 8]);
            at += others.trailing_zeros() as usize / 8;
            if others == 0 {
                continue;
            }
        }
        match text.get(at) {
            Some(&byte) if is_space(byte) => at += 1,
            _ => return at,
        }
    }
}
