//! JSON that the ABI hands out.

use plasmite_core::json::{Document, Placed};
use plasmite_core::{Envelopes, Error, Info, Listed, Message, Receipt};
use serde_json::Value;

/// The envelope of a message just appended: what a reader gets, without reading it.
pub(crate) fn of_appended(receipt: Receipt, tags: &[&str], document: &Document<'_>) -> String {
    let envelopes = Envelopes::new(tags);
    let line_len = envelopes.line_len(receipt, document) as usize;
    // As a line it has a newline more, and as a buffer a NUL.
    let mut text = String::with_capacity(line_len);
    envelopes.write_json(&mut text, receipt, document);
    text
}

/// The envelopes of a batch just appended, as JSON Lines.
pub(crate) fn lines_of_appended(
    receipts: &[Receipt],
    tags: &[&str],
    documents: &[Placed<'_>],
) -> String {
    let envelopes = Envelopes::new(tags);
    let appended = || receipts.iter().zip(documents);
    let len: u64 = appended().map(|(r, placed)| envelopes.line_len(*r, &placed.document)).sum();
    let mut lines = String::with_capacity(len as usize + 1);
    for (receipt, placed) in appended() {
        envelopes.write_json(&mut lines, *receipt, &placed.document);
        lines.push('\n');
    }
    lines
}

/// The envelope of a message that was read, with room for just a NUL.
pub(crate) fn of(message: &Message) -> String {
    let mut text = String::with_capacity(message.line_len() as usize);
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
