//! JSON that the ABI hands out.

use std::fmt::Write as _;

use plasmite_core::json::Document;
use plasmite_core::{Error, Info, Listed, Message, Receipt};
use serde_json::Value;

/// Bytes of an envelope besides its tags and data: the fixed text and the longest seq.
const ENVELOPE_BYTES: usize = 96;

/// Appends the envelope of a message just appended to `out`: what a reader gets, without reading it.
pub(crate) fn write_appended(
    out: &mut String,
    receipt: Receipt,
    tags: &[&str],
    document: &Document<'_>,
) {
    let data = document.as_str();
    out.reserve(ENVELOPE_BYTES + data.len() + tags.iter().map(|tag| tag.len() + 3).sum::<usize>());
    // Writing into a String can't fail.
    let _ = write!(
        out,
        "{{\"seq\":{},\"time\":\"{}\",\"meta\":{{\"tags\":[",
        receipt.seq, receipt.time
    );
    for (i, tag) in tags.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        // A string always has a JSON form.
        out.push_str(&serde_json::to_string(tag).unwrap_or_default());
    }
    out.push_str("]},\"data\":");
    out.push_str(data);
    out.push('}');
}

/// The envelope of a message that was read, in a string of just its size.
pub(crate) fn of(message: &Message) -> String {
    let mut text = String::with_capacity((message.line_len() as usize).saturating_sub(1));
    message.write_json(&mut text);
    text
}

/// The facts of a pool, as an object that begins with its name.
pub(crate) fn named_info(name: &str, info: &Info) -> String {
    let facts = info.to_json();
    let facts = facts.strip_prefix('{').unwrap_or(&facts);
    format!("{{\"name\":{},{facts}", Value::from(name))
}

/// One pool of a list: its facts, or its name, path and error.
pub(crate) fn listed(pool: &Listed) -> String {
    match &pool.info {
        Ok(info) => named_info(&pool.name, info),
        Err(e) => serde_json::json!({
            "name": pool.name,
            "path": pool.path.to_string_lossy(),
            "error": told(e),
        })
        .to_string(),
    }
}

fn told(error: &Error) -> Value {
    serde_json::json!({
        "kind": error.kind().name(),
        "message": error.message(),
        "hint": error.hint(),
        "path": error.path().map(|path| path.to_string_lossy()),
        "seq": error.seq().map(plasmite_core::Seq::get),
        "offset": error.offset(),
    })
}
