//! Texts as manifests write them: as they are, or by a small recipe for large and for unprintable ones.

use serde::{Deserialize, Deserializer, de};

/// No recipe makes more.
const MAX_BYTES: usize = 64 << 20;

/// Bytes that a recipe made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<u8>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Recipe {
    Plain(String),
    Step(Step),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Step {
    /// One text so many times.
    Repeat(Box<Recipe>, usize),
    /// Several texts, one after the other.
    Join(Vec<Recipe>),
    /// Bytes in hexadecimal.
    Hex(String),
    /// All Unicode scalar values from one (hexadecimal) to another, but for `"` and `\`.
    Scalars(String, String),
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = Vec::new();
        Recipe::deserialize(deserializer)?.make(&mut bytes).map_err(de::Error::custom)?;
        Ok(Self(bytes))
    }
}

impl Recipe {
    fn make(&self, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Plain(text) => out.extend_from_slice(text.as_bytes()),
            Self::Step(Step::Repeat(what, count)) => {
                let mut once = Vec::new();
                what.make(&mut once)?;
                if once.len().saturating_mul(*count) > MAX_BYTES {
                    return Err(too_large());
                }
                for _ in 0..*count {
                    out.extend_from_slice(&once);
                }
            }
            Self::Step(Step::Join(parts)) => parts.iter().try_for_each(|part| part.make(out))?,
            Self::Step(Step::Hex(digits)) => out.extend_from_slice(&from_hex(digits)?),
            Self::Step(Step::Scalars(from, to)) => {
                let text: String =
                    (scalar(from)?..=scalar(to)?).filter(|c| !matches!(c, '"' | '\\')).collect();
                out.extend_from_slice(text.as_bytes());
            }
        }
        if out.len() > MAX_BYTES { Err(too_large()) } else { Ok(()) }
    }
}

fn too_large() -> String {
    format!("a text of more than {MAX_BYTES} bytes")
}

fn scalar(digits: &str) -> Result<char, String> {
    u32::from_str_radix(digits, 16)
        .ok()
        .and_then(char::from_u32)
        .ok_or_else(|| format!("{digits:?} is no Unicode scalar value in hexadecimal"))
}

fn from_hex(digits: &str) -> Result<Vec<u8>, String> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).ok().filter(|t| !t.starts_with('+'))?;
        u8::from_str_radix(text, 16).ok()
    };
    match pairs.iter().map(byte).collect() {
        Some(bytes) if rest.is_empty() => Ok(bytes),
        _ => Err(format!("{digits:?} is not hexadecimal")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(json: &str) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::from_str::<Text>(json).map(|text| text.0)
    }

    #[test]
    fn recipes_make_bytes() {
        assert_eq!(made("\"é\"").unwrap(), "é".as_bytes());
        assert_eq!(made(r#"{"repeat":["ab",3]}"#).unwrap(), b"ababab");
        assert_eq!(made(r#"{"join":["a",{"hex":"fF00"},""]}"#).unwrap(), b"a\xFF\0");
        assert_eq!(made(r#"{"scalars":["21","23"]}"#).unwrap(), b"!#");
        assert_eq!(made(r#"{"scalars":["d7ff","e000"]}"#).unwrap(), "\u{d7ff}\u{e000}".as_bytes());
    }

    #[test]
    fn bad_recipes_are_refused() {
        for bad in [
            "1",
            r#"{"repeat":["a"]}"#,
            r#"{"repeat":["a",-1]}"#,
            r#"{"hex":"abc"}"#,
            r#"{"hex":"+1"}"#,
            r#"{"scalars":["d800","e000"]}"#,
            r#"{"joined":[]}"#,
            r#"{"hex":"00","join":[]}"#,
            r#"{"repeat":["aaaaaaaa",99999999]}"#,
        ] {
            assert!(made(bad).is_err(), "{bad}");
        }
    }
}
