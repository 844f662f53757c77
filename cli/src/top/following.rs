//! A pool that is followed, by a `plasmite follow` of our own.
//!
//! So the filter is that verb's. An expression that never ends, or that takes its process with it, costs a child and not
//! the view; and while nobody looks the child waits for us, is overtaken, and says what it missed.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};

use plasmite_core::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::events::{Event, spawn};
use super::filter::Filter;
use crate::output::push_printable;

/// How many messages are kept to scroll back in; and how many at most arrive between two frames.
pub(crate) const KEPT: usize = 2000;
/// How much of a message is shown.
const SHOWN_CHARS: usize = 4096;

/// A message as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) seq: u64,
    /// `12:34:56.789`, UTC.
    pub(crate) time: String,
    pub(crate) tags: String,
    pub(crate) data: String,
}

/// What the child says.
#[derive(Debug)]
enum Heard {
    Message(Shown),
    Notice(String),
    Error(String),
    /// Its stdout is closed.
    End,
}

/// The child, and what came from it.
#[derive(Debug)]
pub(crate) struct Following {
    child: Child,
    heard: Receiver<Heard>,
    told: Arc<AtomicBool>,
    /// The latest messages, oldest first.
    pub(crate) messages: VecDeque<Shown>,
    /// How many have arrived.
    pub(crate) count: u64,
    /// The latest notice.
    pub(crate) notice: Option<String>,
    /// Why it ended.
    pub(crate) ended: Option<String>,
}

impl Following {
    /// Follows the pool `name` of `dir`, beginning with the last messages that pass the filter.
    pub(crate) fn start(
        dir: &Path,
        name: &str,
        filter: &Filter,
        to: &Sender<Event>,
    ) -> Result<Self, Error> {
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot start plasmite follow: {e}"))
                .with_hint("/proc must be mounted")
        };
        // This very program, also when its file was replaced since.
        let mut child = Command::new("/proc/self/exe")
            .arg0("plasmite")
            .arg("--dir")
            .arg(dir)
            .args(["follow", "--jsonl", &format!("--tail={KEPT}")])
            .args(filter.options())
            .args(["--", name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let told = Arc::new(AtomicBool::new(false));
        let (sender, heard) = mpsc::sync_channel(KEPT);
        let voice = Voice { heard: sender, told: Arc::clone(&told), to: to.clone() };
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            let messages = voice.clone();
            spawn("messages", move || messages.tell_messages(out))?;
            spawn("notices", move || voice.tell_notices(err))?;
        }
        let messages = VecDeque::with_capacity(KEPT);
        Ok(Self { child, heard, told, messages, count: 0, notice: None, ended: None })
    }

    /// Takes what has arrived. How many messages there were.
    pub(crate) fn hear(&mut self) -> usize {
        // Before the channel is emptied: what comes after that is announced anew.
        self.told.store(false, Ordering::SeqCst);
        let before = self.count;
        for heard in self.heard.try_iter().take(KEPT + 2) {
            match heard {
                Heard::Message(message) => {
                    if self.messages.len() == KEPT {
                        self.messages.pop_front();
                    }
                    self.messages.push_back(message);
                    self.count += 1;
                }
                Heard::Notice(text) => self.notice = Some(text),
                Heard::Error(text) => self.ended = Some(text),
                Heard::End => {
                    self.ended.get_or_insert_with(|| "plasmite follow ended".to_owned());
                }
            }
        }
        usize::try_from(self.count - before).unwrap_or(usize::MAX)
    }

    /// True when the child is one of the pool's sleeping readers now.
    pub(crate) fn waits_for_messages(&self) -> bool {
        // It sleeps in no other futex; when it has too much for us to take, it sleeps in a write.
        let sleeps_in = std::fs::read_to_string(format!("/proc/{}/wchan", self.child.id()));
        sleeps_in.is_ok_and(|function| function.contains("futex"))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Whether it lives or has ended: afterwards it is gone, and so are its threads.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the child's threads speak through.
#[derive(Clone)]
struct Voice {
    heard: SyncSender<Heard>,
    told: Arc<AtomicBool>,
    to: Sender<Event>,
}

impl Voice {
    /// False when nobody listens any more.
    fn say(&self, heard: Heard) -> bool {
        // Full: the child waits with us until the view has taken something.
        if self.heard.send(heard).is_err() {
            return false;
        }
        self.told.swap(true, Ordering::SeqCst) || self.to.send(Event::Heard).is_ok()
    }

    fn tell_messages(&self, stdout: impl Read) {
        for_lines(stdout, |line| shown(line).is_none_or(|shown| self.say(Heard::Message(shown))));
        self.say(Heard::End);
    }

    fn tell_notices(&self, stderr: impl Read) {
        for_lines(stderr, |line| {
            let told: Value = serde_json::from_slice(line).unwrap_or_default();
            match (told["notice"]["message"].as_str(), told["error"]["message"].as_str()) {
                (Some(text), _) => self.say(Heard::Notice(text.to_owned())),
                (_, Some(text)) => self.say(Heard::Error(text.to_owned())),
                // Of a process that takes itself for broken.
                _ => self.say(Heard::Error(String::from_utf8_lossy(line).trim_end().to_owned())),
            }
        });
    }
}

/// Calls `each` for every line until it says no, or nothing more comes.
fn for_lines(from: impl Read, mut each: impl FnMut(&[u8]) -> bool) {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) && each(&line) {
        line.clear();
        // One huge message does not stay in memory.
        line.shrink_to(64 << 10);
    }
}

/// An envelope, as far as it is shown.
fn shown(line: &[u8]) -> Option<Shown> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        seq: u64,
        #[serde(borrow)]
        time: Cow<'a, str>,
        #[serde(borrow)]
        meta: Meta<'a>,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow)]
        tags: Vec<Cow<'a, str>>,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(line).ok()?;
    let mut tags = String::new();
    for tag in &envelope.meta.tags {
        tags.push('#');
        push_printable(&mut tags, tag);
        tags.push(' ');
    }
    let data = envelope.data.get();
    let end = data.char_indices().nth(SHOWN_CHARS).map_or(data.len(), |(at, _)| at);
    let mut text = String::new();
    push_printable(&mut text, &data[..end]);
    let time = envelope.time.get(11..23).unwrap_or_default().to_owned();
    Some(Shown { seq: envelope.seq, time, tags, data: text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_shown_without_what_a_terminal_would_act_on() {
        let line = br#"{"seq":7,"time":"2026-03-01T12:34:56.789012345Z","meta":{"tags":["a","\u001b"]},"data":{"t":"\n"}}"#;
        let message = shown(line).unwrap();
        assert_eq!((message.seq, message.time.as_str()), (7, "12:34:56.789"));
        assert_eq!(message.tags, "#a #\\u001b ");
        assert_eq!(message.data, "{\"t\":\"\\n\"}");
        assert_eq!(shown(b"{}"), None);
    }

    #[test]
    fn of_a_long_message_the_beginning_is_shown() {
        let line = format!(
            r#"{{"seq":1,"time":"","meta":{{"tags":[]}},"data":{{"t":"{}"}}}}"#,
            "é".repeat(10_000)
        );
        assert_eq!(shown(line.as_bytes()).unwrap().data.chars().count(), SHOWN_CHARS);
    }
}
