//! What a document is, said once more in the simplest way, on serde_json's grammar.

use std::str;

use serde::de::IgnoredAny;

use super::super::MAX_DEPTH;

/// The document that this text is. None: it is none.
pub(super) fn document(text: &[u8]) -> Option<String> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t', '\n', '\r']);
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    if !text.starts_with('{') {
        return None;
    }
    let (mut minified, mut depth) = (String::new(), 0);
    let mut chars = text.char_indices();
    while let Some((start, c)) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => continue,
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '"' => {
                let mut end = start;
                while let Some((at, c)) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => {
                            end = at;
                            break;
                        }
                        _ => {}
                    }
                }
                let string = &text[start..=end];
                // Unlike what is ignored, a string that is wanted has no lone surrogates.
                serde_json::from_str::<String>(string).ok()?;
                minified.push_str(string);
                continue;
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return None;
        }
        minified.push(c);
    }
    Some(minified)
}

/// What serde_json says of a text that its grammar refuses, without the place; and whether more bytes could help.
pub(super) fn complaint(text: &[u8]) -> Option<(String, bool)> {
    let error = serde_json::from_slice::<IgnoredAny>(text).err()?;
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    Some((text.strip_suffix(&place).unwrap().to_owned(), error.is_eof()))
}
