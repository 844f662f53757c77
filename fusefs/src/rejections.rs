//! `errors`: the last writes that were refused, and why.
//!
//! A shell shows an errno at best, and nothing at all when a close fails. Here is the rest of the story. It is kept in
//! memory, for as long as the pool is mounted.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::sync::Mutex;
use std::time::SystemTime;

use plasmite_core::{Error, ErrorKind, Result, Timestamp};

use crate::errno::Errno;
use crate::procs;
use crate::sync::lock;
use crate::views::Text;

/// Lines that are kept at most.
const MAX_LINES: usize = 256;
/// Bytes that are kept at most.
const MAX_BYTES: u64 = 64 << 10;
/// Bytes of one reason that are kept.
const MAX_REASON_BYTES: usize = 1024;

/// What is said to a program that writes what can't be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What its call fails with.
    pub(crate) errno: Errno,
    /// Why. None when it was said before.
    pub(crate) reason: Option<Reason>,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// In words, with what to do about it.
    pub(crate) text: String,
    /// At which of the bytes written to the file.
    pub(crate) offset: Option<u64>,
}

impl Refusal {
    /// For an error of the engine; its offset, if it has one, counts from `start` on.
    pub(crate) fn of(errno: Errno, error: &Error, start: u64) -> Self {
        let text = match error.hint() {
            Some(hint) => format!("{}; {hint}", error.message()),
            None => error.message().to_owned(),
        };
        // Of a damaged pool the offset is one in its file.
        let within = error.offset().filter(|_| error.kind() == ErrorKind::Usage);
        Self { errno, reason: Some(Reason { text, offset: Some(start + within.unwrap_or(0)) }) }
    }

    /// For what only the mount refuses.
    pub(crate) fn new(errno: Errno, text: impl Into<String>, offset: Option<u64>) -> Self {
        Self { errno, reason: Some(Reason { text: text.into(), offset }) }
    }

    /// The same as the error of a rename.
    pub(crate) fn of_rename(self) -> Self {
        let errno = if self.errno == Errno::EINVAL { Errno::EBADMSG } else { self.errno };
        Self { errno, ..self }
    }

    /// For what was refused before, with the reason.
    pub(crate) fn again(errno: Errno) -> Self {
        Self { errno, reason: None }
    }
}

/// The last refusals of a pool, as JSON Lines.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// The places of the oldest line's start and the newest one's end.
    range: Range<u64>,
    newest: Option<SystemTime>,
    /// What was noted last, and of whom.
    last: Option<Noted>,
}

type Noted = (OsString, Option<u32>, Errno, Reason);

impl Rejections {
    /// Notes that a program, by one of its threads, was refused when it wrote `name`. What it only tries again (as `mv` does,
    /// which calls rename in two ways) is noted once.
    pub(crate) fn note(&self, name: &OsStr, tid: u32, errno: Errno, reason: &Reason) {
        let now = SystemTime::now();
        let program = procs::program(tid);
        let pid = program.as_ref().map(|(pid, _)| *pid);
        let line = line(now, name, program, errno, reason);
        let mut state = lock(&self.state);
        let noted = (name.to_owned(), pid, errno, reason.clone());
        if pid.is_some() && state.last.as_ref() == Some(&noted) {
            return;
        }
        state.last = Some(noted);
        state.range.end += line.len() as u64;
        state.lines.push_back(line);
        state.newest = Some(now);
        while state.lines.len() > MAX_LINES || state.range.end - state.range.start > MAX_BYTES {
            let Some(oldest) = state.lines.pop_front() else { break };
            state.range.start += oldest.len() as u64;
        }
    }

    /// When the last one was noted.
    pub(crate) fn newest(&self) -> Option<SystemTime> {
        lock(&self.state).newest
    }
}

impl Text for Rejections {
    fn range(&self) -> Result<Range<u64>> {
        Ok(lock(&self.state).range.clone())
    }

    fn lines(&self, at: u64, take: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
        let state = lock(&self.state);
        let mut start = state.range.start;
        if at < start {
            return Ok(());
        }
        for line in &state.lines {
            let end = start + line.len() as u64;
            if end > at && !take(start, line) {
                break;
            }
            start = end;
        }
        Ok(())
    }
}

fn line(
    time: SystemTime,
    name: &OsStr,
    program: Option<(u32, String)>,
    errno: Errno,
    reason: &Reason,
) -> Vec<u8> {
    let text = |text: &str| serde_json::Value::from(text);
    let (pid, program) = program.unzip();
    let line = [
        ("time", text(&Timestamp::from(time).to_string())),
        ("name", text(&name.to_string_lossy())),
        ("program", program.as_deref().into()),
        ("pid", pid.into()),
        ("errno", text(&errno.name())),
        ("offset", reason.offset.into()),
        ("reason", text(cut(&reason.text))),
    ];
    let fields: Vec<String> =
        line.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}\n", fields.join(",")).into_bytes()
}

/// The text, or as much of it as is kept.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REASON_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::TextReader;

    fn reason(text: &str) -> Reason {
        Reason { text: text.to_owned(), offset: Some(7) }
    }

    fn whole(rejections: &Rejections) -> String {
        let mut reader = TextReader::new(rejections.range().expect("range").start);
        let chunk = reader.read(rejections, 0, 1 << 20).expect("text");
        String::from_utf8(chunk.as_slice().to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_line_tells_when_which_name_which_program_why_and_where() {
        let rejections = Rejections::default();
        let me = std::process::id();
        rejections.note(OsStr::new("x \"y\".json"), me, Errno::EINVAL, &reason("bad\nnews"));
        let value: serde_json::Value = serde_json::from_str(&whole(&rejections)).expect("JSON");
        assert_eq!(value["name"], "x \"y\".json");
        assert_eq!(value["pid"], me);
        assert!(value["program"].as_str().is_some_and(|p| p.starts_with("plasmite_fusef")));
        assert_eq!((&value["errno"], &value["offset"]), (&"EINVAL".into(), &7.into()));
        assert_eq!(value["reason"], "bad\nnews");
        assert!(Timestamp::parse(value["time"].as_str().expect("time")).is_ok());
    }

    #[test]
    fn only_so_many_lines_and_bytes_are_kept_and_the_newest_ones() {
        for (text, most) in [("short".to_owned(), MAX_LINES), ("é".repeat(9000), 100)] {
            let rejections = Rejections::default();
            for i in 0..1000 {
                rejections.note(OsStr::new(&i.to_string()), 0, Errno::EFBIG, &reason(&text));
            }
            let range = rejections.range().expect("range");
            let text = whole(&rejections);
            assert!(range.end - range.start <= MAX_BYTES && text.lines().count() <= most);
            assert_eq!(text.len() as u64, range.end - range.start);
            let last: serde_json::Value =
                serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
            assert_eq!((&last["name"], &last["pid"]), (&"999".into(), &serde_json::Value::Null));
        }
    }

    #[test]
    fn a_reader_whose_lines_are_gone_goes_on_with_the_oldest() {
        let rejections = Rejections::default();
        let note = |name: &str| rejections.note(OsStr::new(name), 0, Errno::EINVAL, &reason("no"));
        note("first");
        let mut reader = TextReader::new(0);
        let head = reader.read(&rejections, 0, 10).expect("read");
        assert_eq!(head.as_slice().len(), 10);
        (0..1000).for_each(|i| note(&i.to_string()));
        let rest = reader.read(&rejections, 10, 1 << 20).expect("read");
        let rest = String::from_utf8(rest.as_slice().to_vec()).expect("UTF-8");
        let mut lines = rest.lines();
        assert!(lines.next().is_some_and(|l| l.contains("\"name\":\"first\"")), "the rest of it");
        assert_eq!(lines.count(), MAX_LINES);
    }
}
