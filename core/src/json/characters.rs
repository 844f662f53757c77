//! Text that is not ASCII, in a string.

use std::str;

/// What a part of a string is that begins with a byte that is not ASCII.
pub(super) enum Characters {
    /// So many bytes are whole characters, or the end of the text cuts the one behind them.
    Good(usize),
    /// The character that begins at `start` is none; the byte at `seen` shows it.
    Bad { start: usize, seen: usize },
}

/// Looks at `text` up to what ends a run of plain characters in a string.
#[inline(never)]
pub(super) fn characters(text: &[u8]) -> Characters {
    let is_end = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    let (blocks, _) = text.as_chunks::<16>();
    let plain =
        blocks.iter().take_while(|block| !block.iter().fold(false, |any, &b| any | is_end(b)));
    let start = plain.count() * 16;
    let rest = text.get(start..).unwrap_or_default();
    let end = start + rest.iter().position(|&byte| is_end(byte)).unwrap_or(rest.len());
    let error = match str::from_utf8(&text[..end]) {
        Ok(_) => return Characters::Good(end),
        Err(error) => error,
    };
    let start = error.valid_up_to();
    let seen = match (error.error_len(), text[start]) {
        (None, _) if end == text.len() => return Characters::Good(start),
        (None, _) => end,
        // These begin no character.
        (Some(_), ..0xC2 | 0xF5..) => start,
        (Some(len), _) => start + len,
    };
    Characters::Bad { start, seen }
}
