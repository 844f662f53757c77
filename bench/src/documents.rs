//! What is measured with: Plasmite's rows and those of the peers send the same.

/// A document of about `len` bytes: many short tokens where there is room for them.
pub(crate) fn dense(len: usize) -> String {
    let mut text = String::from("{");
    let mut n = 0;
    while text.len() + 24 < len {
        text.push_str(&format!("\"key{n}\":[{n},true,{}.5],", n * 37));
        n += 1;
    }
    text.push_str("\"z\":\"");
    text.push_str(&"x".repeat(len.saturating_sub(text.len() + 2)));
    text.push_str("\"}");
    text
}
