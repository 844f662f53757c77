//! What a name in a pool's directory means.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plasmite_core::{MAX_SEQ, Seq};

/// The meaning of a name in a pool's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// `17`: the envelope of a message.
    Message(Seq),
    /// `17.json`: the data of a message.
    Data(Seq),
    /// `first`, a link to the oldest message.
    First,
    /// `latest`, a link to the newest message.
    Latest,
    /// `log`, all retained messages as a file.
    Log,
    /// `tail`, the stream of all messages.
    Tail,
    /// `follow`, the stream of new messages.
    Follow,
    /// `info.json`, the pool's facts.
    Info,
    /// `errors`, the last refused writes.
    Errors,
    /// `tags`, the directories of tags.
    Tags,
    /// `since`, the directories of times.
    Since,
    /// A tag, in a directory of one.
    Tag,
    /// A number that can't be a message's: nothing is there, and nothing may be created.
    Reserved,
    /// A name that can be written.
    Writable(Sort),
}

/// What becomes of the bytes that are written to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// `x.json`: exactly one message, when it is closed.
    Document,
    /// Any other name: each object as soon as it is complete.
    Stream,
    /// A staging name: kept, and delivered when it is renamed.
    Draft,
}

/// What `name` means.
pub(crate) fn meaning(name: &OsStr) -> Meaning {
    let bytes = name.as_bytes();
    match bytes {
        b"first" => Meaning::First,
        b"latest" => Meaning::Latest,
        b"log" => Meaning::Log,
        b"tail" => Meaning::Tail,
        b"follow" => Meaning::Follow,
        b"info.json" => Meaning::Info,
        b"errors" => Meaning::Errors,
        b"tags" => Meaning::Tags,
        b"since" => Meaning::Since,
        _ if is_draft(bytes) => Meaning::Writable(Sort::Draft),
        _ => match bytes.strip_suffix(b".json") {
            // `0017.json` is no message's name: numbered files can be copied in.
            Some(stem) if is_number(stem) && !is_padded(stem) => {
                seq(stem).map_or(Meaning::Reserved, Meaning::Data)
            }
            Some(_) => Meaning::Writable(Sort::Document),
            None if is_number(bytes) => seq(bytes).map_or(Meaning::Reserved, Meaning::Message),
            None => Meaning::Writable(Sort::Stream),
        },
    }
}

/// What `name` means in the directory of a tag, where most names are further tags.
pub(crate) fn meaning_among_tags(name: &OsStr) -> Meaning {
    const STREAMS: [&[u8]; 2] = [b".jsonl", b".ndjson"];
    match meaning(name) {
        Meaning::Writable(Sort::Stream)
            if name != "in" && !STREAMS.iter().any(|end| name.as_bytes().ends_with(end)) =>
        {
            Meaning::Tag
        }
        other => other,
    }
}

fn is_number(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

fn is_padded(digits: &[u8]) -> bool {
    digits.len() > 1 && digits[0] == b'0'
}

/// The seq that `digits` name in their only spelling: no leading zero.
fn seq(digits: &[u8]) -> Option<Seq> {
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let seq = Seq::new(value);
    (digits[0] != b'0' && seq <= MAX_SEQ).then_some(seq)
}

/// Names that tools give to files they mean to rename or remove.
fn is_draft(name: &[u8]) -> bool {
    const ENDINGS: [&[u8]; 5] = [b"~", b".tmp", b".swp", b".swx", b".part"];
    name.starts_with(b".")
        || ENDINGS.iter().any(|end| name.ends_with(end))
        || is_sed(name)
        || is_autosave(name)
}

/// `#x.json#`, what Emacs keeps of a file that was not saved.
fn is_autosave(name: &[u8]) -> bool {
    name.len() > 2 && name.starts_with(b"#") && name.ends_with(b"#")
}

/// `sedXXXXXX`, the temporary file of `sed -i`.
fn is_sed(name: &[u8]) -> bool {
    name.len() == 9 && name.starts_with(b"sed") && name[3..].iter().all(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Meaning {
        meaning(OsStr::new(name))
    }

    #[test]
    fn numbers_are_messages_in_one_spelling_only() {
        assert_eq!(of("17"), Meaning::Message(Seq::new(17)));
        assert_eq!(of("17.json"), Meaning::Data(Seq::new(17)));
        for name in ["0", "017", "0.json", "72057594037927936", "99999999999999999999999"] {
            assert_eq!(of(name), Meaning::Reserved, "{name}");
        }
        assert_eq!(of("72057594037927935"), Meaning::Message(MAX_SEQ));
        assert_eq!(of("0017.json"), Meaning::Writable(Sort::Document));
        assert_eq!(of("1a"), Meaning::Writable(Sort::Stream));
        assert_eq!(of("-1.json"), Meaning::Writable(Sort::Document));
    }

    /// SEMANTICS: Staging names are delivered by rename
    #[test]
    fn staging_names_are_drafts() {
        for name in [
            ".x",
            ".x.json",
            "x.json~",
            "x.tmp",
            "x.json.part",
            ".a.swp",
            "sedA1b2C3",
            ".json",
            "#x.json#",
        ] {
            assert_eq!(of(name), Meaning::Writable(Sort::Draft), "{name}");
        }
        for name in ["sedation", "sedation12", "tmp", "part", "in", "#", "##", "#x"] {
            assert_eq!(of(name), Meaning::Writable(Sort::Stream), "{name}");
        }
    }

    #[test]
    fn views_have_fixed_names() {
        assert_eq!(of("log"), Meaning::Log);
        assert_eq!(of("log.json"), Meaning::Writable(Sort::Document));
        assert_eq!(of("info.json"), Meaning::Info);
        assert_eq!((of("tags"), of("since")), (Meaning::Tags, Meaning::Since));
    }

    /// SEMANTICS: tags is the pool seen through tags
    #[test]
    fn in_a_tags_directory_most_names_are_further_tags() {
        let of = |name: &str| meaning_among_tags(OsStr::new(name));
        for name in ["b", "urgent!", "ünï", "a.b", "json"] {
            assert_eq!(of(name), Meaning::Tag, "{name}");
        }
        for name in ["in", "a.jsonl", "a.ndjson"] {
            assert_eq!(of(name), Meaning::Writable(Sort::Stream), "{name}");
        }
        assert_eq!(of("a.json"), Meaning::Writable(Sort::Document));
        assert_eq!(of(".a"), Meaning::Writable(Sort::Draft));
        assert_eq!((of("17"), of("log")), (Meaning::Message(Seq::new(17)), Meaning::Log));
    }

    #[test]
    fn names_that_are_no_utf8_are_streams() {
        assert_eq!(meaning(OsStr::from_bytes(b"\xff\xfe")), Meaning::Writable(Sort::Stream));
    }
}
