//! Escapes inside a JSON string, byte by byte, to tell a lone surrogate as soon as it is certain.

/// Where in an escape the bytes seen so far end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Escape {
    /// In no escape.
    #[default]
    None,
    /// After a backslash. `wants_low`: the escape before it was a high surrogate.
    Backslash { wants_low: bool },
    /// After `\u` and `digits` hexadecimal digits, which make `value`.
    Hex { wants_low: bool, digits: u8, value: u16 },
    /// After a whole high surrogate.
    High,
}

/// The escape can only become a lone surrogate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoneSurrogate;

impl Escape {
    /// The state after `byte`, which the grammar allows inside a string at this place (or which is the
    /// quote that ends it).
    pub(super) fn after(self, byte: u8) -> Result<Self, LoneSurrogate> {
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
pub(super) fn is_high(unit: u16) -> bool {
    (0xD800..=0xDBFF).contains(&unit)
}

/// True for the second half of a surrogate pair.
pub(super) fn is_low(unit: u16) -> bool {
    (0xDC00..=0xDFFF).contains(&unit)
}
