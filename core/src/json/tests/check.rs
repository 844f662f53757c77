use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{Document, Failure};
use super::properties::{nearly_json, small_member};
use super::{real_documents, reference, run, suite, wrap};
use crate::error::Error;

/// The text is judged as the reference does; gives the error.
fn judge(text: &[u8]) -> Option<Error> {
    let verdict = Document::parse(text);
    let shown = || String::from_utf8_lossy(text).into_owned();
    let found = verdict.as_ref().ok().map(|document| document.as_str().to_owned());
    assert_eq!(found, reference::document(text), "{verdict:?}: {}", shown());
    let error = verdict.err()?;
    assert!(error.offset().unwrap() <= text.len() as u64, "{error}: {}", shown());
    Some(error)
}

/// All sequences of up to `len` of the pieces.
fn sequences(pieces: &[&[u8]], len: usize) -> Vec<Vec<u8>> {
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..len {
        last = last
            .iter()
            .flat_map(|start| pieces.iter().map(|piece| [start.as_slice(), piece].concat()))
            .collect();
        all.extend_from_slice(&last);
    }
    all
}

#[test]
fn every_short_sequence_of_tokens_is_judged_right() {
    let tokens: [&[u8]; 11] =
        [b"{", b"}", b"[", b"]", b",", b":", b"\"a\"", b"1", b"true", b" ", b"x"];
    for tokens in sequences(&tokens, 5) {
        judge(&[b"{", tokens.as_slice()].concat());
        judge(&[b"{\"a\":[", tokens.as_slice(), b"]}"].concat());
        judge(&wrap(&tokens));
    }
}

#[test]
fn every_short_number_is_judged_right() {
    let signs: [&[u8]; 8] = [b"-", b"+", b".", b"e", b"E", b"0", b"1", b"9"];
    for number in sequences(&signs, 6) {
        judge(&wrap(&number));
    }
}

#[test]
fn long_numbers_are_judged_right_wherever_they_are_cut() {
    let digits = "1234567890".repeat(20);
    for len in (1..=130).chain([200]) {
        let digits = &digits[..len];
        for number in [
            digits.to_owned(),
            format!("-{digits}"),
            format!("0.{digits}"),
            format!("{digits}.{digits}e-{digits}"),
            format!("-{digits}E+{digits}"),
        ] {
            for text in [wrap(number.as_bytes()), format!("{{\"a\":[{number} ,1]}}").into()] {
                assert_eq!(judge(&text), None);
            }
            for bad in [format!("0{number}"), format!("{number}."), format!("{number}e")] {
                judge(&wrap(bad.as_bytes()));
            }
        }
    }
    for number in
        ["0123456789".repeat(4), "-".to_owned() + &"9".repeat(40), "4".repeat(40) + ".5e6"]
    {
        every_split_agrees(u64::MAX, &wrap(number.as_bytes()));
    }
}

#[test]
fn every_byte_is_judged_right_at_every_place_of_a_string() {
    for before in 0..140 {
        for byte in 0..=u8::MAX {
            let text = [b"{\"", "k".repeat(before).as_bytes(), &[byte], b"kk\":\"\"}"].concat();
            judge(&text);
        }
    }
}

#[test]
fn every_byte_is_judged_right_after_a_backslash() {
    for byte in 0..=u8::MAX {
        for rest in [&b""[..], b"0041", b"\"", b"\\"] {
            judge(&[b"{\"a\":\"\\", &[byte][..], rest, b"\"}"].concat());
            judge(&[b"{\"a\":\"\\ud83d\\", &[byte][..], rest, b"\"}"].concat());
        }
        for place in 0..4 {
            let mut digits = *b"00aF";
            digits[place] = byte;
            judge(&[b"{\"a\":\"\\u", &digits[..], b"\"}"].concat());
            judge(&[b"{\"a\":\"\\ud83d\\u", &digits[..], b"\"}"].concat());
        }
    }
}

#[test]
fn every_code_unit_is_judged_right_alone_and_after_a_high_one() {
    for unit in 0..=u16::MAX {
        judge(format!("{{\"a\":\"\\u{unit:04x}\"}}").as_bytes());
        judge(format!("{{\"a\":\"\\uD83D\\u{unit:04X}\"}}").as_bytes());
        judge(format!("{{\"a\":\"\\u{unit:04X}\\uDE00\"}}").as_bytes());
    }
}

#[test]
fn every_character_is_taken() {
    for plane in 0..=16u32 {
        let chars: String = (plane << 16..(plane + 1) << 16)
            .filter_map(char::from_u32)
            .filter(|c| !matches!(c, ..' ' | '"' | '\\'))
            .collect();
        let text = format!("{{\"{chars}\":\"{chars}\"}}");
        assert_eq!(Document::parse(text.as_bytes()).unwrap().as_str(), text);
        assert_eq!(run(u64::MAX, text.as_bytes().chunks(7)).0, [text]);
    }
}

#[test]
fn every_sequence_of_bytes_that_may_be_a_character_is_judged_right() {
    // The ends of every range that UTF-8 distinguishes.
    let edges = [
        0x00, 0x1F, b' ', b'"', b'\\', 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2,
        0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    ];
    for first in 0x80..=u8::MAX {
        for second in 0..=u8::MAX {
            judge(&[b"{\"a\":\"", &[first, second][..], b"\"}"].concat());
        }
        for second in edges {
            for third in edges {
                judge(&[b"{\"a\":\"", &[first, second, third][..], b"\"}"].concat());
                for fourth in edges {
                    let text = [b"{\"a\":\"", &[first, second, third, fourth][..], b"\"}"].concat();
                    judge(&text);
                }
            }
        }
    }
}

#[test]
fn real_documents_and_all_their_beginnings_are_judged_right() {
    let lines = real_documents();
    for line in lines.iter().filter(|line| line.len() < 2000) {
        assert_eq!(judge(line.as_bytes()), None);
    }
    for line in lines.iter().filter(|line| line.len() < 2000).step_by(100) {
        for end in 0..line.len() {
            let error = judge(&line.as_bytes()[..end]).unwrap();
            assert_eq!(error.offset(), Some(end as u64));
        }
    }
}

/// What a stream makes of a text in two pieces is what it makes of the whole, wherever it is cut; errors may name what is
/// there in other words.
fn every_split_agrees(limit: u64, text: &[u8]) {
    let whole = run(limit, [text]);
    for cut in 0..=text.len() {
        assert_same(&run(limit, [&text[..cut], &text[cut..]]), &whole, text);
    }
    assert_same(&run(limit, text.chunks(1)), &whole, text);
}

type Outcome = (Vec<String>, Option<(Failure, Error)>);

fn assert_same(found: &Outcome, whole: &Outcome, text: &[u8]) {
    let place = |outcome: &Outcome| outcome.1.as_ref().map(|(why, e)| (*why, e.offset()));
    let shown = String::from_utf8_lossy(text);
    assert_eq!(found.0, whole.0, "{shown}");
    assert_eq!(place(found), place(whole), "{found:?} is not {whole:?}: {shown}");
}

#[test]
fn the_suite_is_judged_alike_wherever_it_is_cut() {
    for (_, text) in suite() {
        if text.len() < 1000 {
            every_split_agrees(u64::MAX, &text);
            every_split_agrees(12, &text);
        }
    }
}

#[test]
fn a_limit_strikes_at_the_first_byte_over_it() {
    let text = "{ \"a\" : [ 1.5e3 ,\n true , \"\u{e9}\\u00e9\\ud83d\\ude00\" ] }";
    let minified = Document::parse(text.as_bytes()).unwrap().into_owned();
    for limit in 0..minified.as_bytes().len() {
        let (documents, failure) = run(limit as u64, [text.as_bytes()]);
        let (failure, error) = failure.unwrap();
        assert_eq!((documents.len(), failure), (0, Failure::TooLarge));
        let at = error.offset().unwrap() as usize;
        let kept = text.as_bytes()[..at].iter().filter(|b| !b" \n".contains(b)).count();
        assert_eq!(kept, limit);
        assert_eq!(text.as_bytes()[at], minified.as_bytes()[limit]);
        assert!(error.message().contains(&format!("size={} ", minified.as_bytes().len())));
        every_split_agrees(limit as u64, text.as_bytes());
    }
    every_split_agrees(minified.as_bytes().len() as u64, text.as_bytes());
}

/// Where a text is refused for its grammar, serde_json refuses it too, with the same words; and not before.
fn grammar_is_serde_jsons(text: &[u8]) -> Result<(), TestCaseError> {
    let text = text.trim_ascii();
    let Err(error) = Document::parse(text) else { return Ok(()) };
    let Some((words, found)) = error.message().split_once(", found ") else { return Ok(()) };
    if !text.starts_with(b"{") {
        return Ok(());
    }
    let words = words.strip_prefix("invalid json: ").unwrap();
    let at = error.offset().unwrap() as usize;
    let (complaint, needs_more) = reference::complaint(text).unwrap();
    // It wants four digits of an escape before it looks at them.
    if !(needs_more && words == "invalid escape") {
        prop_assert_eq!(words, complaint);
    }
    let (complaint, needs_more) = reference::complaint(&text[..at]).unwrap();
    let is_number = complaint == "invalid number" && !text[at - 1].is_ascii_alphabetic();
    let is_exponent = complaint == "invalid number" && matches!(text[at - 1], b'e' | b'E');
    prop_assert!(needs_more || is_number || is_exponent, "{} {}", complaint, found);
    Ok(())
}

#[test]
fn the_words_are_serde_jsons() {
    let mut seen = BTreeSet::new();
    for (text, words) in [
        (&b"{\"a\":\"x"[..], "EOF while parsing a string"),
        (b"{\"a\":\"\\u00", "EOF while parsing a string"),
        (b"{\"a\":", "EOF while parsing a value"),
        (b"{\"a\":[", "EOF while parsing a list"),
        (b"{\"a\":[1", "EOF while parsing a list"),
        (b"{\"a\":[1,", "EOF while parsing a value"),
        (b"{\"a\":[0", "EOF while parsing a list"),
        (b"{\"a\":[t", "EOF while parsing a value"),
        (b"{\"a\":nul", "EOF while parsing a value"),
        (b"{\"a\":-", "invalid number"),
        (b"{\"a\":0", "EOF while parsing an object"),
        (b"{\"a\":1.", "invalid number"),
        (b"{\"a\":1e", "invalid number"),
        (b"{\"a\":1e+", "invalid number"),
        (b"{\"a\":1e+3", "EOF while parsing an object"),
        (b"{", "EOF while parsing an object"),
        (b"{\"a\"", "EOF while parsing an object"),
        (b"{\"a\":1,", "EOF while parsing an object"),
        (b"{,", "key must be a string, found ','"),
        (b"{\"a\":1,}", "key must be a string, found '}'"),
        (b"{\"a\",", "expected `:`, found ','"),
        (b"{\"a\":,", "expected value, found ','"),
        (b"{\"a\":[}", "expected value, found '}'"),
        (b"{\"a\":[1,]", "expected value, found ']'"),
        (b"{\"a\":[1}", "expected `,` or `]`, found '}'"),
        (b"{\"a\":1]", "expected `,` or `}`, found ']'"),
        (b"{\"a\":trie", "expected ident, found 'i'"),
        (b"{\"a\":00", "invalid number, found '0'"),
        (b"{\"a\":-x", "invalid number, found 'x'"),
        (b"{\"a\":1.x", "invalid number, found 'x'"),
        (b"{\"a\":1ex", "invalid number, found 'x'"),
        (b"{\"a\":\"\\x\"}", "invalid escape, found 'x'"),
        (b"{\"a\":\"\\u00x0\"}", "invalid escape, found 'x'"),
        (
            b"{\"a\":\"\n",
            "control character (\\u0000-\\u001F) found while parsing a string, found a newline",
        ),
    ] {
        let message = Document::parse(text).unwrap_err().message().to_owned();
        let told = message.strip_prefix("invalid json: ").unwrap();
        let told = told.split_once(" (at byte").unwrap().0;
        assert_eq!(told, words, "{}", String::from_utf8_lossy(text));
        let words = words.split_once(", found").map_or(words, |(words, _)| words);
        assert_eq!(reference::complaint(text).unwrap().0, words);
        seen.insert(words);
    }
    assert_eq!(seen.len(), 13);
}

proptest! {
    #[test]
    fn texts_near_json_are_judged_right(bytes in nearly_json()) {
        judge(&bytes);
        grammar_is_serde_jsons(&bytes)?;
    }

    #[test]
    fn small_members_are_judged_right(bytes in small_member()) {
        judge(&bytes);
        grammar_is_serde_jsons(&bytes)?;
        every_split_agrees(u64::MAX, &bytes);
    }

    #[test]
    fn texts_near_json_are_judged_alike_in_any_pieces(
        bytes in nearly_json(),
        limit in prop_oneof![Just(u64::MAX), 0..200u64],
        pieces in proptest::collection::vec(1..40usize, 1..20),
    ) {
        let whole = run(limit, [bytes.as_slice()]);
        let (mut rest, mut cut) = (bytes.as_slice(), vec![]);
        for &len in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(len.min(rest.len()));
            cut.push(piece);
            rest = after;
        }
        assert_same(&run(limit, cut), &whole, &bytes);
    }

    #[test]
    fn real_documents_with_a_few_changes_are_judged_right(
        pick in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        end in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let lines = LINES.get_or_init(real_documents);
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = pick.get(lines).clone().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if is_cut {
            text.truncate(end.index(text.len()));
        }
        judge(&text);
        let cut = end.index(text.len() + 1);
        assert_same(
            &run(u64::MAX, [&text[..cut], &text[cut..]]),
            &run(u64::MAX, [text.as_slice()]),
            &text,
        );
    }
}

static LINES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
