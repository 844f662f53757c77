//! The door for JSON, beside `serde_json`: what is accepted, what is kept of it, and that streams cut anywhere give the same.

use plasmite_core::json::{Document, DocumentStream, MAX_DEPTH, documents};

/// How deep a text of right JSON is nested.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

pub fn run(data: &[u8]) {
    let Some((cut, text)) = data.split_first() else { return };
    let parsed = Document::parse(text);
    match &parsed {
        Ok(document) => {
            let kept = document.as_bytes();
            // It is one JSON text, one line, and as small as it gets.
            let json = serde_json::from_slice::<serde::de::IgnoredAny>(kept);
            assert!(json.is_ok(), "{text:?}");
            assert!(!kept.contains(&b'\n') && std::str::from_utf8(kept).is_ok());
            assert_eq!(Document::parse(kept).unwrap().as_bytes(), kept);
            assert!(depth(kept) <= MAX_DEPTH);
        }
        Err(e) => {
            assert!(e.offset().is_none_or(|at| at <= text.len() as u64), "{e:?}");
            // A Value takes no lone surrogates either.
            if let Ok(serde_json::Value::Object(_)) = serde_json::from_slice(text) {
                assert!(depth(text) > MAX_DEPTH, "refused: {text:?}: {e}");
            }
        }
    }
    let _ = documents(text).map(|all| all.len());
    assert_eq!(stream(text, usize::MAX), stream(text, usize::from(*cut) % 16 + 1), "{text:?}");
}

/// All documents of a stream that comes in pieces, and where it failed.
fn stream(text: &[u8], piece: usize) -> (Vec<String>, Option<u64>) {
    let mut stream = DocumentStream::new(1 << 20);
    let mut all = Vec::new();
    let take = |stream: &mut DocumentStream, all: &mut Vec<String>| loop {
        match stream.next() {
            Ok(Some(document)) => all.push(document.as_str().to_owned()),
            Ok(None) => return Ok(()),
            Err(e) => return Err(e.offset().unwrap_or(u64::MAX)),
        }
    };
    for piece in text.chunks(piece.min(text.len().max(1))) {
        stream.push(piece);
        if let Err(at) = take(&mut stream, &mut all) {
            return (all, Some(at));
        }
    }
    let failed = stream.finish().err().map(|e| e.offset().unwrap_or(u64::MAX));
    (all, failed)
}
