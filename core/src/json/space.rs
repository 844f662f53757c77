//! Whitespace between tokens.

/// True for the whitespace that JSON allows between tokens.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where the whitespace at `at` ends.
#[inline]
pub(super) fn end(text: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = text.get(at) {
        if !is_space(byte) {
            break;
        }
        at += 1;
        // What pretty-printing puts before a line's first token.
        while let Some(b"        ") = text.get(at..).and_then(|rest| rest.first_chunk()) {
            at += 8;
        }
    }
    at
}
