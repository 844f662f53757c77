use super::super::{Document, DocumentStream, documents};
use super::suite;
use crate::error::ErrorKind;

fn cut(text: &str) -> Vec<(u64, String)> {
    let placed = documents(text.as_bytes()).unwrap();
    placed.iter().map(|p| (p.offset, p.document.as_str().to_owned())).collect()
}

fn refusal(text: &str) -> (String, u64) {
    let error = documents(text.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{text}: {error}");
    (error.message().to_owned(), error.offset().unwrap())
}

#[test]
fn a_sequence_and_an_array_hold_the_same_documents() {
    let wanted = ["{}", r#"{"a":"],{"}"#, r#"{"b":[{}]}"#].map(str::to_owned);
    for text in
        ["{}{\"a\":\"],{\"}\n\x1E{ \"b\" : [{}] }\n", " [{} ,\n{\"a\":\"],{\"},{\"b\":[ {}]} ] "]
    {
        let documents = cut(text);
        assert!(documents.iter().map(|d| &d.1).eq(&wanted), "{documents:?}");
        for (offset, _) in documents {
            assert_eq!(text.as_bytes()[offset as usize], b'{');
        }
    }
    for text in ["", " \n", "[]", " [ ] "] {
        assert_eq!(cut(text), []);
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, says, offset) in [
        ("{} {} [", "must be a JSON object", 6),
        ("{} {", "unfinished", 4),
        ("[{},7]", "not a number", 4),
        ("[{},]", "must be a JSON object", 4),
        ("[{} {}]", "found '{'", 4),
        ("[{},{\"a\":}]", "expected value", 9),
        ("[", "EOF", 1),
        ("[{}", "EOF", 3),
        ("[{}] x", "unexpected 'x'", 5),
        ("[{}][{}]", "unexpected '['", 4),
        ("[[{}]]", "not an array", 1),
    ] {
        let (message, at) = refusal(text);
        assert!(message.contains(says), "{text}: {message}");
        assert_eq!(at, offset, "{text}: {message}");
    }
}

#[test]
fn the_suite_is_judged_as_one_by_one() {
    for (name, text) in suite() {
        let alone = Document::parse(&text);
        let in_array = [b"[{},".as_slice(), &text, b"]"].concat();
        match documents(&in_array) {
            Ok(placed) if placed.len() == 2 => assert_eq!(Ok(&placed[1].document), alone.as_ref()),
            // A text with several objects, or with a bracket that closes the array around it.
            Ok(_) => assert!(alone.is_err(), "{name}"),
            Err(e) => assert!(alone.is_err() && e.kind() == ErrorKind::Usage, "{name}: {e}"),
        }
        match documents(&text) {
            Ok(placed) => assert!(alone.is_ok() || placed.len() != 1, "{name}"),
            Err(e) => assert!(alone.is_err() && e.kind() == ErrorKind::Usage, "{name}: {e}"),
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_sequence_of_pieces_is_judged_as_by_the_stream(
        pieces in proptest::collection::vec(0..PIECES.len(), 0..12),
    ) {
        let text: Vec<u8> = pieces.iter().flat_map(|i| PIECES[*i]).copied().collect();
        let mut stream = DocumentStream::new(u64::MAX);
        stream.push(&text);
        let mut streamed = Vec::new();
        let error = loop {
            match stream.next() {
                Ok(Some(document)) => streamed.push(document.as_str().to_owned()),
                Ok(None) => break stream.finish().err(),
                Err(e) => break Some(e),
            }
        };
        match documents(&text) {
            Ok(placed) if error.is_none() => {
                assert!(placed.iter().map(|p| p.document.as_str()).eq(&streamed));
            }
            // An array, which the stream does not take.
            Ok(_) => assert!(text.contains(&b'[')),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Usage, "{e}");
                assert!(error.is_some(), "{e}");
            }
        }
    }
}

/// What texts that go wrong are made of.
const PIECES: [&[u8]; 22] = [
    b"{}",
    b"{\"a\":1}",
    b"{\"a\":[{}]}",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\"a\"",
    b" ",
    b"\n",
    b"\x1e",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"1e999",
    b"nul",
    b"\xc3\xb1",
];
