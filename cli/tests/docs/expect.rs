//! What a document says that is printed.

/// Stands for any text, or, alone in a line, for any lines.
const ANYTHING: &str = "…";

/// What is expected, line by line.
pub(crate) struct Expected<'a>(Vec<&'a str>);

impl<'a> Expected<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text.lines().collect())
    }

    pub(crate) fn check(&self, printed: &str, place: &str) {
        let lines: Vec<&str> = printed.lines().collect();
        let expected = self.0.join("\n");
        assert!(
            lines_match(&self.0, &lines),
            "{place}\nthe document says:\n{expected}\nprinted was:\n{printed}"
        );
    }
}

fn lines_match(expected: &[&str], lines: &[&str]) -> bool {
    match (expected, lines) {
        ([], []) => true,
        ([ANYTHING, rest @ ..], _) => (0..=lines.len()).any(|n| lines_match(rest, &lines[n..])),
        ([first, rest @ ..], [line, others @ ..]) => {
            let (first, line) = (without_times(first), without_times(line));
            let parts: Vec<&str> = first.split(ANYTHING).collect();
            parts_match(&parts, &line) && lines_match(rest, others)
        }
        _ => false,
    }
}

/// True when the text is these parts with anything between them.
fn parts_match(parts: &[&str], text: &str) -> bool {
    match parts {
        [] => text.is_empty(),
        [only] => text == *only,
        [first, rest @ ..] => text.strip_prefix(first).is_some_and(|text| {
            (0..=text.len())
                .filter(|&n| text.is_char_boundary(n))
                .any(|n| parts_match(rest, &text[n..]))
        }),
    }
}

/// The text with a word in place of each time that looks like one of RFC 3339 in UTC.
fn without_times(text: &str) -> String {
    let is_time = |text: &str| {
        let shape = "0000-00-00T00:00:00";
        let fits = |(have, want): (u8, u8)| match want {
            b'0' => have.is_ascii_digit(),
            _ => have == want,
        };
        text.len() >= shape.len() && text.bytes().zip(shape.bytes()).all(fits)
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if is_time(rest) {
            let end = rest[19..]
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len() - 19);
            out.push_str("TIME");
            rest = rest[19 + end..].strip_prefix('Z').unwrap_or(&rest[19 + end..]);
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[test]
fn only_what_is_marked_may_differ() {
    let matches = |expected: &str, printed: &str| {
        let (expected, printed): (Vec<_>, Vec<_>) =
            (expected.lines().collect(), printed.lines().collect());
        lines_match(&expected, &printed)
    };
    assert!(matches("a\nb", "a\nb\n"));
    assert!(!matches("a\nb", "a"));
    assert!(!matches("a", "a\nb"));
    assert!(matches("a…c", "abc"));
    assert!(!matches("a…c", "abcd"));
    assert!(matches("a\n…\nz", "a\nz"));
    assert!(matches("a\n…\nz", "a\nb\nc\nz"));
    assert!(!matches("a\n…\nz", "a\nb"));
    assert!(matches(
        r#"{"time":"2026-11-23T20:15:42.123456789Z"}"#,
        r#"{"time":"2027-01-01T00:00:00.5Z"}"#
    ));
    assert!(!matches(r#"{"time":"2026-11-23T20:15:42Z"}"#, r#"{"time":"20:15"}"#));
}
