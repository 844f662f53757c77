//! `true`, `false` and `null`.

/// What begins with a letter at the place of a value.
pub(super) enum Literal {
    Whole(usize),
    /// The end of the text cuts it.
    Starved,
    /// So many bytes of it are right.
    Flawed(usize),
    /// It is something else.
    None,
}

/// Looks at what begins at the place of a value and is no string, number, object or array.
#[inline(always)]
pub(super) fn literal(rest: &[u8]) -> Literal {
    const TRUE: u32 = u32::from_le_bytes(*b"true");
    const NULL: u32 = u32::from_le_bytes(*b"null");
    const ALSE: u32 = u32::from_le_bytes(*b"alse");
    let word = |rest: &[u8]| rest.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    match word(rest) {
        TRUE | NULL => return Literal::Whole(4),
        _ => {}
    }
    match rest {
        [b'f', after @ ..] if word(after) == ALSE => Literal::Whole(5),
        _ => no_literal(rest),
    }
}

#[cold]
#[inline(never)]
fn no_literal(rest: &[u8]) -> Literal {
    let word: &[u8] = match rest.first() {
        Some(b't') => b"true",
        Some(b'f') => b"false",
        Some(b'n') => b"null",
        _ => return Literal::None,
    };
    match word.iter().zip(rest).take_while(|(a, b)| a == b).count() {
        same if same == rest.len() => Literal::Starved,
        same => Literal::Flawed(same),
    }
}
