use std::borrow::Cow;

use serde_json::Value;

use super::super::{Document, MAX_DEPTH};
use super::{nested, real_documents, suite, wrap};
use crate::error::ErrorKind;

fn refusal(text: impl AsRef<[u8]>) -> (String, u64) {
    let error = Document::parse(text.as_ref()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("invalid json"), "{error}");
    (error.message().to_owned(), error.offset().unwrap())
}

fn minified(text: &str) -> String {
    Document::parse(text.as_bytes()).unwrap().as_str().to_owned()
}

#[test]
fn the_suite_is_judged_as_it_demands() {
    for (name, text) in suite() {
        let verdict = Document::parse(&text);
        match name.as_bytes()[0] {
            b'y' => assert!(verdict.is_ok(), "{name}: {verdict:?}"),
            b'n' => assert!(verdict.is_err(), "{name}"),
            _ => {}
        }
    }
}

#[test]
fn real_documents_are_kept_and_pretty_printing_is_undone() {
    for line in real_documents() {
        let document = Document::parse(line.as_bytes()).unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(document.as_str()).unwrap(), value);
        let compact = serde_json::to_string(&value).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(minified(&pretty), compact);
        assert_eq!(minified(&compact), compact);
    }
}

#[test]
fn only_whitespace_between_tokens_is_changed() {
    for text in [
        r#"{}"#,
        r#"{"a":1e400,"b":-0,"c":1E+2,"d":0.10,"a":123456789012345678901234567890}"#,
        r#"{"z":"a b\t\n\" c\\","y":[" ",{" ":" "}]," \\ ":"é \u00e9 😀 \uD83D\uDE00\u001e"}"#,
        r#"{"a":"\\\\","b":"\\\""}"#,
    ] {
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.as_str(), text);
        let spaced = format!("\r\n\t {text} \n");
        assert_eq!(Document::parse(spaced.as_bytes()).unwrap(), document);
    }
    let text = "{ \"a b\" :\t[ 1 ,\r\n 2 , \" x \\\" y \" ] , \"\\\\\" : { } }";
    assert_eq!(minified(text), r#"{"a b":[1,2," x \" y "],"\\":{}}"#);
}

#[test]
fn whitespace_is_found_wherever_it_stands() {
    for before in 0..70 {
        let tight =
            format!("{{\"{}\":[1,\"{}\"]}}", "k ".repeat(before), "\\\" ".repeat(before % 9));
        assert_eq!(minified(&tight), tight);
        for (at, _) in tight.match_indices([':', '[', ',', ']', '}']) {
            let Ok(Value::Object(_)) = serde_json::from_str(&tight) else { panic!() };
            let mut spaced = tight.clone();
            spaced.insert(at, ' ');
            assert_eq!(minified(&spaced), tight);
        }
    }
}

#[test]
fn a_document_is_borrowed_when_nothing_has_to_go() {
    let text = b" {\"a\":\"b c\"}\n";
    let document = Document::parse(text).unwrap();
    assert_eq!(document.as_bytes().as_ptr(), text[1..].as_ptr());
    assert_eq!(document.clone().into_owned(), document);
    let Cow::Borrowed(_) = Cow::Borrowed(document.as_str()) else { panic!() };
}

#[test]
fn memory_of_a_minified_document_is_used_for_the_next_one() {
    let text = b"{ \"a\" : [ 1 , 2 ] }";
    let first = Document::parse(text).unwrap();
    let memory = first.as_bytes().as_ptr();
    drop(first);
    let second = Document::parse(text).unwrap();
    assert_eq!(second.as_bytes().as_ptr(), memory);
    // It is in use.
    let third = Document::parse(text).unwrap();
    assert_ne!(third.as_bytes().as_ptr(), memory);
    assert_eq!((second.as_str(), third.as_str()), (r#"{"a":[1,2]}"#, r#"{"a":[1,2]}"#));
}

#[test]
fn what_is_not_an_object_is_named() {
    for (text, kind) in [
        ("[1]", "an array"),
        (" \"x\"", "a string"),
        ("-1", "a number"),
        ("true", "a boolean"),
        ("null", "null"),
        ("nope", "'n'"),
        ("\u{FEFF}{}", "byte order mark"),
    ] {
        let (message, _) = refusal(text);
        assert!(message.contains("data must be a JSON object"), "{message}");
        assert!(message.contains(kind), "{message}");
    }
    for text in ["", " \n"] {
        assert!(refusal(text).0.contains("empty"));
    }
}

#[test]
fn refusals_tell_the_byte() {
    for (text, offset) in [
        (&b"{\"a\":x}"[..], 5),
        (b" \n{\"a\":\n\n x}", 10),
        (b"{\"a\":1", 6),
        (b"{\"a\":1,}", 7),
        (b"{\"a\":01}", 6),
        (b"{\"a\":\"\n\"}", 6),
        (b"{\"a\":\"\\x\"}", 7),
        (b"{\"a\":\"\\uD8x0\"}", 10),
        (b"{\"a\":\"\\uD800\"}", 6),
        (b"{\"a\":\"\\uDC00\"}", 6),
        (b"{\"a\":\"\\uD83D\\u0041\"}", 6),
        (b"{\"\\uD83D\\n\":1}", 2),
        (b"{\"a\":\"\xC3\x28\"}", 6),
        (b"{\"a\":\"\xED\xA0\x80\"}", 6),
        (b"{}{}", 2),
        (b" {} \n x", 6),
        (b"{'a':1}", 1),
    ] {
        let (message, found) = refusal(text);
        assert_eq!(found, offset, "{message} in {:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn depth_is_limited_and_a_million_brackets_do_no_harm() {
    assert!(Document::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    let deep = refusal(nested(MAX_DEPTH + 1)).0;
    assert!(deep.contains("deeper") && deep.contains("100"), "{deep}");
    let brackets_in_a_string = format!("{{\"a\":\"{}\\\"[\"}}", "[{".repeat(200));
    assert_eq!(minified(&brackets_in_a_string), brackets_in_a_string);
    let wide = format!("{{\"a\":[{}[]]}}", "[],".repeat(500));
    assert_eq!(minified(&wide), wide);
    for text in ["[".repeat(1_000_000), "{\"a\":".repeat(1_000_000), nested(1_000_000)] {
        assert!(Document::parse(text.as_bytes()).is_err());
        assert!(Document::parse(&wrap(text.as_bytes())).is_err());
    }
}
