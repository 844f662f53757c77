//! Which messages `fetch` and `export` are asked for.

use plasmite_core::{Bounds, Error, ErrorKind, Seq};

use crate::output::printable;
use crate::span::Span;

/// What is written for SEQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// `17`
    One(Seq),
    /// `first`
    First,
    /// `latest`
    Latest,
    /// `10..20`, both ends included; an end that is left out is the pool's own.
    Range { from: Option<Seq>, to: Option<Seq> },
}

impl Selection {
    /// Everything that is retained.
    pub(crate) const ALL: Self = Self::Range { from: None, to: None };

    /// Reads it from the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some((from, to)) = text.split_once("..") {
            let range = Self::Range { from: end(from)?, to: end(to)? };
            return match range {
                Self::Range { from: Some(from), to: Some(to) } if from > to => Err(format!(
                    "the range ends before it begins; {to}..{from} is the other way round"
                )),
                range => Ok(range),
            };
        }
        match text {
            "first" | "oldest" => Ok(Self::First),
            "latest" | "last" | "newest" => Ok(Self::Latest),
            number => seq(number).map(Self::One),
        }
    }

    /// The first and the last message it means in a pool with these bounds; None: it means no message, and that is fine.
    ///
    /// # Errors
    /// NotFound when a message that is named is not there at all.
    pub(crate) fn within(self, bounds: Bounds) -> Result<Option<Span>, Error> {
        match self {
            Self::One(seq) if bounds.contains(seq) => Ok(Some((seq, seq))),
            Self::One(seq) => Err(missing((seq, seq), bounds)),
            Self::First | Self::Latest if bounds.is_empty() => {
                Err(Error::new(ErrorKind::NotFound, "the pool holds no messages"))
            }
            Self::First => Ok(Some((bounds.oldest, bounds.oldest))),
            Self::Latest => Ok(Some((bounds.newest, bounds.newest))),
            Self::Range { from, to } => {
                // `18..` after message 17 was read means what came since, which may be nothing.
                let nothing_since = from == Some(bounds.newest.next());
                if to.is_none() && (nothing_since || from.is_none() && bounds.is_empty()) {
                    return Ok(None);
                }
                let (first, last) = (from.unwrap_or(bounds.oldest), to.unwrap_or(bounds.newest));
                if bounds.is_empty() || first > bounds.newest || last < bounds.oldest {
                    return Err(missing((first, last.max(first)), bounds));
                }
                Ok(Some((first, last)))
            }
        }
    }
}

/// The error for messages that are not there.
pub(crate) fn missing((first, last): Span, bounds: Bounds) -> Error {
    let which = if first == last {
        format!("message {first} is")
    } else {
        format!("messages {first} to {last} are")
    };
    let why = if bounds.is_empty() {
        "the pool holds no messages".to_owned()
    } else {
        format!("the pool holds {} to {}", bounds.oldest, bounds.newest)
    };
    Error::new(ErrorKind::NotFound, format!("{which} not in the pool"))
        .with_seq(first)
        .with_hint(why)
}

fn end(text: &str) -> Result<Option<Seq>, String> {
    if text.is_empty() { Ok(None) } else { seq(text).map(Some) }
}

fn seq(text: &str) -> Result<Seq, String> {
    let wrong = |why: &str| {
        format!(
            "{:?} {why}: write 17, first, latest, or a range as 10..20, 10.. or ..20",
            printable(text)
        )
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("is no number of a message"));
    }
    text.parse().map(Seq::new).map_err(|_| wrong("is too large for the number of a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u64, to: u64) -> Selection {
        let end = |n| (n > 0).then(|| Seq::new(n));
        Selection::Range { from: end(from), to: end(to) }
    }

    #[test]
    fn numbers_words_and_ranges_are_read() {
        for (text, meant) in [
            ("17", Selection::One(Seq::new(17))),
            ("first", Selection::First),
            ("latest", Selection::Latest),
            ("10..20", range(10, 20)),
            ("10..", range(10, 0)),
            ("..20", range(0, 20)),
            ("..", Selection::ALL),
            ("7..7", range(7, 7)),
        ] {
            assert_eq!(Selection::parse(text), Ok(meant), "{text}");
        }
        for text in ["", "x", "-1", "+1", "1-3", "1...3", "1..x", "20..10", "18446744073709551616"]
        {
            assert!(Selection::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_range_is_what_the_pool_has_of_it() {
        let bounds = Bounds { oldest: Seq::new(5), newest: Seq::new(9) };
        let within = |selection: Selection| {
            selection.within(bounds).map(|found| found.map(|(a, b)| (a.get(), b.get())))
        };
        assert_eq!(within(Selection::ALL), Ok(Some((5, 9))));
        assert_eq!(within(range(6, 8)), Ok(Some((6, 8))));
        assert_eq!(within(range(1, 8)), Ok(Some((1, 8))), "who prints it finds 1 to 4 missing");
        assert_eq!(within(range(8, 12)), Ok(Some((8, 12))));
        assert_eq!(within(range(10, 0)), Ok(None), "nothing came since");
        for selection in [range(11, 0), range(10, 12), range(0, 4), range(1, 4)] {
            assert!(within(selection).is_err(), "{selection:?}");
        }
        let empty = Bounds { oldest: Seq::new(1), newest: Seq::ZERO };
        assert_eq!(Selection::ALL.within(empty), Ok(None));
        assert_eq!(range(1, 0).within(empty), Ok(None));
        for selection in [Selection::First, Selection::Latest, range(2, 0), range(0, 3)] {
            assert!(selection.within(empty).is_err(), "{selection:?}");
        }
    }
}
