//! Documents that say who wrote them, and whose every byte can be checked.

/// Document `n` of writer `w`, with about `len` bytes of filling.
pub(crate) fn make(w: u64, n: u64, len: usize) -> String {
    format!("{{\"w\":{w},\"n\":{n},\"f\":\"{}\"}}", filling(w, n, len))
}

fn filling(w: u64, n: u64, len: usize) -> String {
    let part = format!("{w}.{n} ");
    let mut text = part.repeat(len.div_ceil(part.len()));
    text.truncate(len);
    text
}

/// Takes a document apart; None when any byte of it is wrong.
pub(crate) fn check(text: &str) -> Option<(u64, u64)> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let (w, n) = (value["w"].as_u64()?, value["n"].as_u64()?);
    let len = value["f"].as_str()?.len();
    (text == make(w, n, len)).then_some((w, n))
}

/// The length of document `n`: always the same, or different each time.
pub(crate) fn len(n: u64, max: usize, mixed: bool) -> usize {
    if mixed { (n.wrapping_mul(7919) % (max as u64 + 1)) as usize } else { max }
}
