//! How failures are told, and what the process exits with.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;
use std::path::Path;

use plasmite_core::{Error, ErrorKind};
use serde::Serialize;
use serde_json::Value;

use crate::output;

/// Everything asked for was done.
pub(crate) const SUCCESS: u8 = 0;
/// A bug of this program.
pub(crate) const INTERNAL: u8 = 1;
/// `feed --errors skip` left records out.
pub(crate) const SKIPPED: u8 = 1;
/// `follow --timeout` was over.
pub(crate) const TIMED_OUT: u8 = 124;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// What a verb ends with: the exit code, or why it could not go on.
pub(crate) type Outcome = Result<u8, Failure>;

/// Why a verb could not go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be told on stderr.
    Error(Error),
    /// Whoever read our stdout has gone, as `head` does: nothing went wrong.
    ClosedPipe,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Failure {
    /// The failure that a write to stdout met.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::Error(Error::new(ErrorKind::Io, format!("cannot write to stdout: {error}")))
    }
}

/// The exit code of an error: its kind's number.
pub(crate) fn code(error: &Error) -> u8 {
    u8::try_from(error.kind().code()).unwrap_or(INTERNAL)
}

/// Tells what a verb ends with, and gives the exit code.
pub(crate) fn end(outcome: Outcome) -> u8 {
    match outcome {
        Ok(code) => code,
        Err(Failure::ClosedPipe) => SUCCESS,
        Err(Failure::Error(error)) => {
            report(&error);
            code(&error)
        }
    }
}

/// Does `act` for each item although one may fail; each failure is told, the first one decides the exit code.
pub(crate) fn for_each<T>(items: &[T], mut act: impl FnMut(&T) -> Result<(), Failure>) -> Outcome {
    let mut first = SUCCESS;
    for item in items {
        match act(item) {
            Ok(()) => {}
            Err(Failure::Error(error)) => {
                report(&error);
                if first == SUCCESS {
                    first = code(&error);
                }
            }
            Err(Failure::ClosedPipe) => return Err(Failure::ClosedPipe),
        }
    }
    Ok(first)
}

/// What to do about an error that does not say it itself.
fn general_hint(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Usage if error.offset().is_some() => {
            "a message is one JSON object, such as {\"hello\":\"world\"}"
        }
        ErrorKind::Usage => "--help after a verb shows its options and examples",
        ErrorKind::NotFound => "plasmite pool list shows what is there",
        ErrorKind::AlreadyExists => "choose another name",
        ErrorKind::Busy => "try again in a moment",
        ErrorKind::Permission => {
            "look at owner and mode of the file and of the directories above it"
        }
        ErrorKind::Corrupt => "put a copy of the whole file back, or delete the pool",
        ErrorKind::Io => "look whether the disk is full or damaged",
        ErrorKind::RetentionGap => "read faster, or create the pool with a larger size",
        _ => "this is a bug of Plasmite; please report it with what you did",
    }
}

fn hint(error: &Error) -> &str {
    error.hint().unwrap_or_else(|| general_hint(error))
}

/// Tells an error on stderr: text on a terminal, otherwise one JSON object on a line.
pub(crate) fn report(error: &Error) {
    let mut stderr = io::stderr().lock();
    // There is nowhere left to tell that stderr can't be written to.
    let _ = if stderr.is_terminal() {
        stderr.write_all(text(error, output::stderr_colour()).as_bytes())
    } else {
        stderr.write_all(json(error).as_bytes())
    };
}

fn text(error: &Error, colour: bool) -> String {
    let mut out = output::paint("error:", output::RED, colour);
    out.push(' ');
    out.push_str(&output::printable(error.message()));
    if let Some(path) = error.path() {
        let path = path.display().to_string();
        if !error.message().contains(&path) {
            out.push_str(&output::printable(&format!(" ({path})")));
        }
    }
    out.push('\n');
    out.push_str(&output::paint("hint:", output::CYAN, colour));
    out.push(' ');
    out.push_str(&output::printable(hint(error)));
    out.push('\n');
    out
}

/// The JSON form; what is not known is left out.
#[derive(Serialize)]
struct Told<'a> {
    kind: &'a str,
    message: &'a str,
    hint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

#[derive(Serialize)]
struct ToldError<'a> {
    error: Told<'a>,
}

/// `{"error":{…}}` and a newline.
pub(crate) fn json(error: &Error) -> String {
    let told = ToldError {
        error: Told {
            kind: error.kind().name(),
            message: error.message(),
            hint: hint(error),
            path: error.path().map(|path| path.to_string_lossy().into_owned()),
            seq: error.seq().map(plasmite_core::Seq::get),
            offset: error.offset(),
        },
    };
    // Strings and numbers always have a JSON form.
    let mut line = serde_json::to_string(&told).unwrap_or_default();
    line.push('\n');
    line
}

/// A pool whose facts can't be had: `{"name":…,"path":…,"error":{…}}` and a newline.
pub(crate) fn damaged_json(name: &str, path: &Path, error: &Error) -> String {
    let told = json(error);
    let told = told.strip_prefix('{').unwrap_or(&told);
    let (name, path) = (Value::from(name), Value::from(path.to_string_lossy()));
    format!("{{\"name\":{name},\"path\":{path},{told}")
}

/// A copy of `error` with another message and hint.
pub(crate) fn reworded(error: &Error, message: String, hint: Option<String>) -> Error {
    let mut new = Error::new(error.kind(), message);
    if let Some(hint) = hint {
        new = new.with_hint(hint);
    }
    if let Some(path) = error.path() {
        new = new.with_path(path);
    }
    if let Some(seq) = error.seq() {
        new = new.with_seq(seq);
    }
    if let Some(offset) = error.offset() {
        new = new.with_offset(offset);
    }
    new
}

/// A panic is a bug, and is told as any other error is.
pub(crate) fn tell_panics_as_internal() {
    thread_local!(static TELLING: RefCell<bool> = const { RefCell::new(false) });
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        // A panic of the telling itself must not start it again.
        if TELLING.with(|telling| telling.replace(true)) {
            return;
        }
        let message = info.to_string().replace('\n', " ");
        report(
            &Error::new(ErrorKind::Internal, message)
                .with_hint("this is a bug of Plasmite; please report it with what you did"),
        );
        TELLING.with(|telling| telling.replace(false));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_leaves_out_what_is_not_known() {
        let error = Error::usage("bad").with_hint("good");
        let told = "{\"error\":{\"kind\":\"Usage\",\"message\":\"bad\",\"hint\":\"good\"}}\n";
        assert_eq!(json(&error), told);
    }

    #[test]
    fn text_names_the_path_once() {
        for (message, told) in
            [("no pool", "no pool (/p/a)"), ("no pool at /p/a", "no pool at /p/a")]
        {
            let error = Error::new(ErrorKind::NotFound, message).with_path(Path::new("/p/a"));
            let told = format!("error: {told}\nhint: {}\n", general_hint(&error));
            assert_eq!(text(&error, false), told);
        }
    }

    #[test]
    fn text_shows_no_control_characters_to_the_terminal() {
        let error = Error::usage("bad \u{1b}[2J name").with_hint("no\nlines");
        assert_eq!(text(&error, false), "error: bad \\u001b[2J name\nhint: no\\nlines\n");
    }
}
