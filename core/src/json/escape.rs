//! Escapes inside a JSON string, byte by byte, to tell what is wrong as soon as it is certain.

use super::flaw::{Expected, Flaw, Reason};

/// Where in an escape the bytes seen so far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// In no escape.
    None,
    /// After a backslash. `wants_low`: the escape before it was a high surrogate.
    Backslash { wants_low: bool },
    /// After `\u` and `digits` hexadecimal digits, which make `value`.
    Hex { wants_low: bool, digits: u8, value: u16 },
    /// After a whole high surrogate.
    High,
}

/// Why a text can't become an escape, and the byte of it that shows that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    reason: Reason,
    pub(super) at: usize,
}

impl Refused {
    /// The flaw, of an escape that begins at `start`.
    pub(super) fn flaw(self, start: usize) -> Flaw {
        let at = if self.reason == Reason::LoneSurrogate { start } else { start + self.at };
        Flaw { at, reason: self.reason }
    }
}

/// The length of the escape, or of the two that make a surrogate pair, that `text` begins with. None: the text ends before
/// that is certain.
#[inline(never)]
pub(super) fn judge(text: &[u8]) -> Result<Option<usize>, Refused> {
    // What is whole and right, at once.
    match unit(text) {
        Some(Unit::Character) => return Ok(Some(6)),
        Some(Unit::High) if text.get(6..).and_then(unit) == Some(Unit::Low) => return Ok(Some(12)),
        _ => {}
    }
    let mut escape = Escape::None;
    for (at, &byte) in text.iter().enumerate() {
        let refused = |reason| Refused { reason, at };
        let is_allowed = match escape {
            Escape::None => true,
            Escape::Backslash { .. } => {
                matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u')
            }
            Escape::Hex { .. } => byte.is_ascii_hexdigit(),
            Escape::High if byte < b' ' => {
                return Err(refused(Reason::Grammar(Expected::Text)));
            }
            Escape::High => true,
        };
        if !is_allowed {
            return Err(refused(Reason::Grammar(Expected::Escape)));
        }
        escape = escape.after(byte).map_err(|LoneSurrogate| refused(Reason::LoneSurrogate))?;
        if escape == Escape::None {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// What an escape of four digits stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Character,
    /// The first half of a surrogate pair.
    High,
    /// The second half.
    Low,
}

/// The escape of four digits that the text begins with, if there is a whole one.
fn unit(text: &[u8]) -> Option<Unit> {
    const LOW: u32 = 0x0101_0101;
    const HIGH: u32 = LOW << 7;
    let Some([b'\\', b'u', digits @ ..]) = text.first_chunk::<6>() else { return None };
    // The highest bit of each byte that is below the limit.
    let below =
        |word: u32, limit: u8| !(((word & !HIGH) + LOW * u32::from(0x80 - limit)) | word) & HIGH;
    let word = u32::from_le_bytes(*digits);
    let decimal = below(word ^ (LOW * u32::from(b'0')), 10);
    // In either case, `a` to `f` become 1 to 6.
    let letter = (word | (LOW * 0x20)) ^ (LOW * 0x60);
    let letter = below(letter, 7) & !below(letter, 1);
    if decimal | letter != HIGH {
        return None;
    }
    Some(match digits {
        [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => Unit::High,
        [b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..] => Unit::Low,
        _ => Unit::Character,
    })
}

/// The escape can only become a lone surrogate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LoneSurrogate;

impl Escape {
    /// The state after `byte`, which the grammar allows inside a string at this place (or which is the
    /// quote that ends it).
    fn after(self, byte: u8) -> Result<Self, LoneSurrogate> {
        match (self, byte) {
            (Self::None, b'\\') => Ok(Self::Backslash { wants_low: false }),
            (Self::None, _) => Ok(Self::None),
            (Self::High, b'\\') => Ok(Self::Backslash { wants_low: true }),
            (Self::High, _) => Err(LoneSurrogate),
            (Self::Backslash { wants_low }, b'u') => {
                Ok(Self::Hex { wants_low, digits: 0, value: 0 })
            }
            (Self::Backslash { wants_low: true }, _) => Err(LoneSurrogate),
            (Self::Backslash { wants_low: false }, _) => Ok(Self::None),
            (Self::Hex { wants_low, digits, value }, _) => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default() as u16;
                after_digit(wants_low, digits + 1, (value << 4) | digit)
            }
        }
    }
}

/// The state when the first `digits` hexadecimal digits of an escape make `value`.
fn after_digit(wants_low: bool, digits: u8, value: u16) -> Result<Escape, LoneSurrogate> {
    // The lowest code unit that begins with these digits: two digits tell whether it is a low surrogate.
    let lowest = value << (4 * (4 - u16::from(digits.min(4))));
    let can_be_low = match digits {
        1 => lowest == 0xD000,
        _ => is_low(lowest),
    };
    let must_be_low = digits > 1 && can_be_low;
    if wants_low != can_be_low && (wants_low || must_be_low) {
        return Err(LoneSurrogate);
    }
    Ok(match digits {
        ..4 => Escape::Hex { wants_low, digits, value },
        _ if is_high(value) => Escape::High,
        _ => Escape::None,
    })
}

/// True for the first half of a surrogate pair.
fn is_high(unit: u16) -> bool {
    (0xD800..=0xDBFF).contains(&unit)
}

/// True for the second half of a surrogate pair.
fn is_low(unit: u16) -> bool {
    (0xDC00..=0xDFFF).contains(&unit)
}
