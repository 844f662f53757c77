use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::super::{Document, DocumentStream, Failure};
use super::{run, run_bytes};

/// Values of every sort.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        any::<String>().prop_map(Value::String),
        "[ \\[\\]{}\"\\\\\n,:]{0,12}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((any::<String>(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    vec((any::<String>(), value()), 0..5).prop_map(|pairs| pairs.into_iter().collect())
}

/// A text as some writer might lay it out.
fn text() -> impl Strategy<Value = (String, String)> {
    (object(), any::<bool>(), any::<bool>()).prop_map(|(object, pretty, ascii)| {
        let mut compact = serde_json::to_string(&object).unwrap();
        let mut text = match pretty {
            true => serde_json::to_string_pretty(&object).unwrap(),
            false => compact.clone(),
        };
        if ascii {
            (compact, text) = (escaped(&compact), escaped(&text));
        }
        (text, compact)
    })
}

/// The same JSON in ASCII, with surrogate pairs.
fn escaped(json: &str) -> String {
    let mut out = String::new();
    for c in json.chars() {
        match c {
            c if c.is_ascii() => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
    out
}

/// Bytes that JSON is made of, so that mutations stay near it.
fn json_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        prop::sample::select(b"{}[]\",:\\udDcC8 \n\t0123456789-+.eEtrufalsn/b\x1e\x7f".to_vec()),
        any::<u8>(),
    ]
}

/// A text with some bytes replaced, removed or added.
pub(super) fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..3u8, json_byte());
    (text(), vec(edit, 0..4)).prop_map(|((text, _), edits)| {
        let mut bytes = text.into_bytes();
        for (index, edit, byte) in edits {
            let at = index.index(bytes.len().max(1)).min(bytes.len());
            match edit {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// One small value inside an object, from bytes alone.
pub(super) fn small_member() -> impl Strategy<Value = Vec<u8>> {
    let string = vec(prop::sample::select(br#"\\uuuDdCc8B0"nx"#.to_vec()), 0..16)
        .prop_map(|inside| [b"\"", inside.as_slice(), b"\""].concat());
    let number = vec(prop::sample::select(b"-+.eE0123".to_vec()), 0..8);
    let other = vec(json_byte(), 0..8);
    prop_oneof![string, number, other]
        .prop_map(|value| [b"{\"k\":", value.as_slice(), b"}"].concat())
}

/// The stream and the document agree on this text, and on where it goes wrong.
fn assert_same_verdict(bytes: &[u8]) -> Result<(), TestCaseError> {
    let stream = run_bytes(bytes);
    let whole = run(u64::MAX, [bytes]);
    prop_assert_eq!(&stream.0, &whole.0);
    prop_assert_eq!(
        stream.1.as_ref().map(|(failure, error)| (failure, error.offset())),
        whole.1.as_ref().map(|(failure, error)| (failure, error.offset()))
    );
    match Document::parse(bytes) {
        Ok(document) => prop_assert_eq!(stream, (vec![document.as_str().to_owned()], None)),
        // The stream takes separators, several documents, and none.
        Err(_) if bytes.contains(&0x1E) || bytes.trim_ascii().is_empty() => {}
        Err(error) => match stream {
            (documents, None) => prop_assert!(documents.len() > 1),
            (documents, Some((failure, found))) if documents.is_empty() => {
                prop_assert_eq!(error.offset(), found.offset());
                prop_assert!(failure != Failure::TooLarge);
            }
            _ => {}
        },
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_split_gives_the_same_documents(
        texts in vec(text(), 0..5),
        separator in prop::sample::select(vec!["", "\n", " \r\n\t", "\x1e", "\n\x1e"]),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let laid_out: Vec<_> = texts.iter().map(|(text, _)| text.as_str()).collect();
        let input = laid_out.join(separator);
        let expected: Vec<_> = texts.iter().map(|(_, compact)| compact.clone()).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &input.as_bytes()[cut[0]..cut[1]]);
        prop_assert_eq!(run(u64::MAX, pieces), (expected.clone(), None));
        // No prefix of a valid text is ever refused.
        prop_assert_eq!(run_bytes(input.as_bytes()), (expected, None));
    }

    #[test]
    fn a_document_is_its_text_without_whitespace((text, compact) in text()) {
        let document = Document::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(document.as_str(), compact.as_str());
        prop_assert!(!document.as_str().contains(['\n', '\r']));
    }

    #[test]
    fn stream_and_document_agree_near_json(bytes in nearly_json()) {
        assert_same_verdict(&bytes)?;
    }

    #[test]
    fn stream_and_document_agree_on_small_members(bytes in small_member()) {
        assert_same_verdict(&bytes)?;
    }

    #[test]
    fn nothing_panics_and_skipping_comes_to_an_end(
        texts in vec(nearly_json(), 0..6),
        piece in 1..50usize,
    ) {
        let mut stream = DocumentStream::new(200);
        for piece in texts.join(&b'\n').chunks(piece) {
            stream.push(piece);
            loop {
                let before = stream.offset();
                match stream.next() {
                    Ok(Some(document)) => prop_assert!(document.as_bytes().len() <= 200),
                    Ok(None) => break,
                    Err(_) => {
                        stream.skip_line();
                        prop_assert!(stream.offset() > before);
                    }
                }
            }
        }
        let _ = stream.finish();
    }
}
