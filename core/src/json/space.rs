//! Whitespace between tokens.

/// True for the whitespace that JSON allows between tokens.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where the whitespace at `at` ends.
pub(super) fn end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| !is_space(byte)).unwrap_or(rest.len())
}
