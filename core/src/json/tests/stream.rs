use std::time::{Duration, Instant};

use super::super::{Document, DocumentStream, Failure, MAX_DEPTH};
use super::{nested, real_documents, run, run_bytes, suite};
use crate::error::ErrorKind;

fn documents(text: &str) -> Vec<String> {
    let (whole, failure) = run(u64::MAX, [text.as_bytes()]);
    assert_eq!(failure, None);
    assert_eq!(run_bytes(text.as_bytes()), (whole.clone(), None));
    whole
}

/// Everything that comes out when bad lines are skipped, and how many errors there were.
fn skipping(text: &[u8], piece: usize) -> (Vec<String>, usize) {
    let mut stream = DocumentStream::new(1000);
    let (mut documents, mut errors) = (Vec::new(), 0);
    for piece in text.chunks(piece) {
        stream.push(piece);
        loop {
            match stream.next() {
                Ok(Some(document)) => documents.push(document.as_str().to_owned()),
                Ok(None) => break,
                Err(_) => {
                    errors += 1;
                    stream.skip_line();
                }
            }
        }
    }
    errors += usize::from(stream.finish().is_err());
    (documents, errors)
}

#[test]
fn objects_are_cut_however_they_are_written() {
    let two = [r#"{"a":1}"#, r#"{"b":[{}]}"#];
    for text in [
        "{\"a\":1}\n{\"b\":[{}]}\n",
        "{\"a\":1}{\"b\":[{}]}",
        "\r\n {\n  \"a\": 1\n}\n{\n  \"b\": [\n    {}\n  ]\n}",
        "\u{1e}{\"a\":1}\n\u{1e}{\"b\":[{}]}\n",
    ] {
        assert_eq!(documents(text), two);
    }
    assert!(documents(" \n\u{1e}").is_empty());
}

#[test]
fn real_documents_come_out_in_any_pieces() {
    let lines = real_documents();
    let text = lines.join("\n");
    for piece in [1000, 4096, 65536] {
        let (whole, failure) = run(u64::MAX, text.as_bytes().chunks(piece));
        assert_eq!(failure, None);
        assert_eq!(whole, lines);
    }
}

#[test]
fn the_suite_is_judged_as_one_document_is() {
    for (name, text) in suite() {
        let one = Document::parse(&text);
        for piece in [1, 7, text.len()] {
            let (documents, failure) = run(u64::MAX, text.chunks(piece));
            match &one {
                Ok(one) => assert_eq!((documents, failure), (vec![one.as_str().to_owned()], None)),
                Err(_) => assert!(failure.is_some() || documents.len() != 1, "{name}"),
            }
        }
    }
}

#[test]
fn a_document_comes_with_its_closing_brace() {
    let mut stream = DocumentStream::new(100);
    stream.push(b"{\"a\":{}");
    assert_eq!(stream.next(), Ok(None));
    assert!(!stream.is_idle());
    stream.push(b"}");
    assert_eq!(stream.next().unwrap().unwrap().as_str(), "{\"a\":{}}");
    assert!(stream.is_idle());
    assert_eq!(stream.offset(), 8);
    stream.push(b" \n");
    assert!(stream.is_idle());
    assert_eq!(stream.finish(), Ok(()));
}

#[test]
fn a_text_is_refused_at_the_byte_that_makes_it_impossible() {
    let deep = "[".repeat(MAX_DEPTH - 1);
    for (possible, byte) in [
        (&b""[..], b'['),
        (b"", b'n'),
        (b"", b'"'),
        (b"", 0xEF),
        (b"  \n", b'}'),
        (b"{", b']'),
        (b"{", b'\''),
        (b"{\"a\"", b'}'),
        (b"{\"a\":", b'x'),
        (b"{\"a\":-", b'-'),
        (b"{\"a\":0", b'1'),
        (b"{\"a\":1.", b'}'),
        (b"{\"a\":1.5e", b'}'),
        (b"{\"a\":1e+", b','),
        (b"{\"a\":tr", b'e'),
        (b"{\"a\":[1", b'}'),
        (b"{\"a\":[1,", b']'),
        (b"{\"a\":1,", b'}'),
        (b"{\"a\":1", b'{'),
        (b"{\"a\":\"", b'\n'),
        (b"{\"a\":\"", 0),
        (b"{\"a\":\"", 0xFF),
        (b"{\"a\":\"\xC3", b'('),
        (b"{\"a\":\"\xED", 0xA0),
        (b"{\"a\":\"\\", b'x'),
        (b"{\"a\":\"\\u00", b'x'),
        (b"{\"a\":\"\\uD", b'C'),
        (b"{\"a\":\"\\ud83d", b'"'),
        (b"{\"a\":\"\\ud83d\\", b'n'),
        (b"{\"a\":\"\\ud83d\\u", b'0'),
        (b"{\"a\":\"\\ud83d\\ud", b'b'),
        (b"{\"\\ud83d\\ude00\\ud83d", b'x'),
        (format!("{{\"a\":{deep}").as_bytes(), b'['),
        (b"{}", b','),
    ] {
        for piece in [1, possible.len().max(1)] {
            let mut stream = DocumentStream::new(1000);
            for piece in possible.chunks(piece) {
                stream.push(piece);
                while stream.next().unwrap().is_some() {}
            }
            stream.push(&[byte]);
            let error = stream.next().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert_eq!(stream.failure(), Some(Failure::Invalid));
            assert!(error.message().contains("invalid json"), "{error}");
            assert_eq!(stream.next(), Err(error));
        }
    }
}

#[test]
fn an_unfinished_document_is_told_at_the_end() {
    for text in [&b"{"[..], b"{} {\"a\":1", b"{}\n{\"a\":\"x"] {
        let (_, failure) = run_bytes(text);
        let (failure, error) = failure.unwrap();
        assert_eq!(failure, Failure::Unfinished);
        assert!(error.message().contains("unfinished JSON object"));
        assert_eq!(error.offset(), Some(text.len() as u64));
    }
}

#[test]
fn a_document_over_the_limit_is_too_large_in_any_pieces() {
    let text = format!("{{ \"a\" : \"{}\" }}", "x".repeat(92));
    let size = 100;
    for piece in [1, 9, 1000] {
        assert_eq!(run(size, text.as_bytes().chunks(piece)).0.len(), 1);
        let (documents, failure) = run(size - 1, text.as_bytes().chunks(piece));
        let (failure, error) = failure.unwrap();
        assert!(documents.is_empty());
        assert_eq!(failure, Failure::TooLarge);
        assert_eq!(error.kind(), ErrorKind::Usage);
        for part in ["too large", "100", "99"] {
            assert!(error.message().contains(part), "{error}");
        }
    }
    // The limit strikes before the end is there; whitespace between tokens is not counted.
    let mut stream = DocumentStream::new(10);
    stream.push(b"{                       ");
    assert_eq!(stream.next(), Ok(None));
    stream.push(b"\"abcdefghij");
    assert!(stream.next().is_err());
}

#[test]
fn skipping_drops_the_bad_record_and_nothing_else() {
    let good = [r#"{"a":1}"#, r#"{"b":2}"#];
    let big = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
    for bad in [
        "nope",
        "{\"x\":y}",
        "{\"x\":1} z",
        "{\"x\":1",
        "{\"x\":1,",
        "{\"x\":\"cut",
        "{\"x\":tr",
        "{\"x\":\"\\uD800\"}",
        "[1,2,{}]",
        "}",
        &nested(300),
        &big,
    ] {
        let text = format!("{}\n{bad}\n{}\n", good[0], good[1]);
        for piece in [1, 3, 10_000] {
            let (documents, errors) = skipping(text.as_bytes(), piece);
            let documents: Vec<_> = documents.iter().filter(|d| *d != r#"{"x":1}"#).collect();
            assert_eq!(documents, good, "{bad}");
            assert_eq!(errors, 1, "{bad}");
        }
    }
    let sequence = b"\x1e{\"a\":1}\n\x1e{\"x\":\x1e{\"b\":2}\n";
    assert_eq!(skipping(sequence, 1), (good.map(str::to_owned).to_vec(), 1));
    assert_eq!(skipping(b"nope", 2), (vec![], 1));
}

#[test]
fn offsets_count_from_the_start_of_the_stream() {
    let mut stream = DocumentStream::new(1000);
    for _ in 0..1000 {
        stream.push(b"{\"a\":1}\n");
        assert!(stream.next().unwrap().is_some());
        assert_eq!(stream.next(), Ok(None));
    }
    assert_eq!(stream.offset(), 8000);
    stream.push(b"{\"a\":x\n {");
    assert_eq!(stream.next().unwrap_err().offset(), Some(8005));
    stream.skip_line();
    assert_eq!(stream.next(), Ok(None));
    assert_eq!(stream.offset(), 8008);
    stream.clear();
    assert!(stream.is_idle());
    assert_eq!(stream.offset(), 8009);
    stream.push(b"{}");
    assert!(stream.next().unwrap().is_some());
}

#[test]
fn memory_of_what_was_consumed_is_used_again() {
    let mut stream = DocumentStream::new(u64::MAX);
    for _ in 0..10_000 {
        stream.push(b"{\"a\":\"0123456789012345678901234567890123456789\"}\n{\"a\"");
        while stream.next().unwrap().is_some() {}
        stream.push(b":1}");
    }
    assert!(stream.held_bytes() < 10_000);
    stream.push(format!("{{\"a\":\"{}\"}}", "x".repeat(8 << 20)).as_bytes());
    while stream.next().unwrap().is_some() {}
    stream.push(b"{");
    assert!(stream.held_bytes() < 2 << 20);
}

/// Far above what linear work takes on a slow machine, far below what quadratic work takes.
const LINEAR: Duration = Duration::from_secs(20);

#[test]
fn small_pieces_and_bad_lines_cost_linear_time() {
    let start = Instant::now();
    let items = "{\"k\":[1,2.5,true,null,\"text and \\u00e9\"]},".repeat(25_000);
    let text = format!("{{\"items\":[{items}0]}}");
    assert_eq!(run_bytes(text.as_bytes()), (vec![text], None));
    let string = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(run_bytes(string.as_bytes()), (vec![string], None));
    for bad in ["{\"a\":\n", "{\"a\":\"\\uD800\"}\n", "{\"a\":[1\n", "}\n", "{}", "{\"a\":\"\n"] {
        let text = bad.repeat((1 << 20) / bad.len());
        skipping(text.as_bytes(), text.len());
        skipping(text.as_bytes(), 100);
    }
    assert!(start.elapsed() < LINEAR, "{:?}", start.elapsed());
}
