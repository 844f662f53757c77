//! What goes to stdout and stderr, and how it looks on a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;

use clap::builder::styling::{AnsiColor, Effects, Style};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::errors::{Failure, SUCCESS};

pub(crate) const RED: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();
pub(crate) const DIM: Style = Style::new().effects(Effects::DIMMED);
pub(crate) const BOLD: Style = Style::new().effects(Effects::BOLD);

/// Blocks of this size go to stdout while there is more to write.
pub(crate) const BLOCK_BYTES: usize = 128 * 1024;

/// What a pipe is widened to: enough, and little of what one user may have in pipes (64 MiB).
const PIPE_BYTES: usize = 256 << 10;

/// True when stdout is a terminal: people read it.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// True when what goes to stdout may be coloured.
pub(crate) fn stdout_colour() -> bool {
    stdout_is_terminal() && colour_wanted()
}

/// True when what goes to stderr may be coloured.
pub(crate) fn stderr_colour() -> bool {
    io::stderr().is_terminal() && colour_wanted()
}

/// No colour when `NO_COLOR` is set to anything, or the terminal is a dumb one.
fn colour_wanted() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}

/// `text`, styled when `colour`.
pub(crate) fn paint(text: &str, style: Style, colour: bool) -> String {
    if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// The text without characters that a terminal would act on: they are shown as JSON escapes.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_printable(&mut out, text);
    out
}

/// Appends [`printable`] text.
pub(crate) fn push_printable(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing into a String can't fail; control characters end at U+009F.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Writes everything to stdout at once, also when someone made it non-blocking.
pub(crate) fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    write_to(io::stdout().as_fd(), bytes).map_err(|error| Failure::stdout(&error))
}

/// Writes everything, also when someone made it non-blocking.
pub(crate) fn write_to(sink: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(sink, bytes) {
            Ok(n) => bytes = &bytes[n.min(bytes.len())..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(sink, PollFlags::OUT)];
                // Whatever poll says, the next write tells what is the matter.
                let _ = rustix::event::poll(&mut fds, None);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Lines on their way to stdout, in large blocks.
#[derive(Default)]
pub(crate) struct Printer {
    pub(crate) out: String,
    is_wide: bool,
}

impl Printer {
    /// Writes when a block is full.
    pub(crate) fn print_blocks(&mut self) -> Result<(), Failure> {
        if self.out.len() < BLOCK_BYTES {
            return Ok(());
        }
        self.widen();
        self.print()
    }

    /// Makes room for blocks in stdout's pipe: whoever fills it to the brim sleeps, and is woken, with each block.
    pub(crate) fn widen(&mut self) {
        if !std::mem::replace(&mut self.is_wide, true) {
            widen_pipe(io::stdout().as_fd());
        }
    }

    /// Writes everything.
    pub(crate) fn print(&mut self) -> Result<(), Failure> {
        let written = write_stdout(self.out.as_bytes());
        self.out.clear();
        // One huge message must not keep its memory for good.
        self.out.shrink_to(4 * BLOCK_BYTES);
        written
    }
}

/// Lets a pipe hold as much as we read or write at once, so that both ends are woken less often. Nothing is lost where that
/// is not allowed, or where it is no pipe.
pub(crate) fn widen_pipe(fd: BorrowedFd<'_>) {
    let held = rustix::pipe::fcntl_getpipe_size(fd);
    if held.is_ok_and(|held| held < PIPE_BYTES) {
        let _ = rustix::pipe::fcntl_setpipe_size(fd, PIPE_BYTES);
    }
}

/// Something of numbers and strings as one line of JSON.
pub(crate) fn json_line(value: &impl serde::Serialize) -> String {
    // These always have a JSON form.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// Writes one line of talk to stderr.
pub(crate) fn talk(line: &str) {
    // Nobody is listening when that fails.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Tells something that is no error on stderr: text on a terminal, otherwise `{"notice":{…}}` on a line.
pub(crate) fn notice(kind: &str, message: &str, facts: &[(&str, u64)]) {
    if io::stderr().is_terminal() {
        talk(&format!("{} {}", paint("note:", CYAN, stderr_colour()), printable(message)));
        return;
    }
    let mut told = serde_json::json!({"kind": kind, "message": message});
    for &(name, value) in facts {
        told[name] = value.into();
    }
    talk(&serde_json::json!({ "notice": told }).to_string());
}

/// While a program waits for messages it writes nothing, so that nothing tells it that the reader of its stdout has
/// gone: `follow | head -1` would stay until the next message. A thread asleep in poll() notices, and ends the process.
pub(crate) fn end_when_stdout_closes() {
    if !stdout_can_close() {
        return;
    }
    // Without the thread it is only noticed later.
    let _ = thread::Builder::new().name("stdout".to_owned()).spawn(|| {
        let stdout = io::stdout();
        loop {
            let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
            match rustix::event::poll(&mut fds, None) {
                Err(Errno::INTR) => {}
                Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                    std::process::exit(i32::from(SUCCESS));
                }
                _ => return,
            }
        }
    });
}

/// True when stdout is a pipe or a socket, whose other end may go away.
fn stdout_can_close() -> bool {
    use rustix::fs::FileType;
    rustix::fs::fstat(io::stdout()).is_ok_and(|stat| {
        matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket)
    })
}

/// A count with the words for one and for any other number.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `1 message`, `2 messages`.
pub(crate) fn messages(count: u64) -> String {
    counted(count, "message", "messages")
}

/// A number of bytes for people: `64 MiB`, `1.5 KiB`.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = format!("{value:.1}");
    format!("{} {}", digits.strip_suffix(".0").unwrap_or(&digits), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_powers_of_1024() {
        assert_eq!(bytes_text(0), "0 B");
        assert_eq!(bytes_text(1023), "1023 B");
        assert_eq!(bytes_text(1024), "1 KiB");
        assert_eq!(bytes_text(1536), "1.5 KiB");
        assert_eq!(bytes_text(64 << 20), "64 MiB");
        assert_eq!(bytes_text(u64::MAX), "16384 PiB");
    }

    #[test]
    fn c1_controls_are_not_shown_to_the_terminal() {
        assert_eq!(printable("a\u{9b}2Jé\u{7f}"), "a\\u009b2Jé\\u007f");
    }
}
