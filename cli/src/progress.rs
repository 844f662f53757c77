//! A bar on stderr for what takes long, for people only.

use std::io::{self, IsTerminal as _};
use std::os::fd::BorrowedFd;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::fs::FileType;

/// Less than this is over before a bar could be read.
const WORTH_A_BAR_BYTES: u64 = 8 << 20;

const BYTES: &str = "{bar:30} {percent:>3}% of {total_bytes}, {bytes_per_sec}, {eta} left";
const MESSAGES: &str = "{bar:30} {percent:>3}% of {len} messages, {per_sec}, {eta} left";

/// How far the work is. Drop it and the bar is gone.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// For the bytes of an input: Some when it is a large file and people watch.
    pub(crate) fn of_input(input: BorrowedFd<'_>) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let stat = rustix::fs::fstat(input).ok()?;
        let size = u64::try_from(stat.st_size).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        (is_file && size >= WORTH_A_BAR_BYTES).then(|| Self::new(size, BYTES))
    }

    /// For messages of so many bytes in all: Some when people watch and it takes a while.
    pub(crate) fn of_messages(count: u64, bytes: u64) -> Option<Self> {
        (io::stderr().is_terminal() && bytes >= WORTH_A_BAR_BYTES)
            .then(|| Self::new(count, MESSAGES))
    }

    fn new(length: u64, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        // The template is one of those above.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// So much more is done.
    pub(crate) fn add(&self, amount: u64) {
        self.0.inc(amount);
    }

    /// Runs `tell` with the bar out of the way.
    pub(crate) fn aside<T>(bar: Option<&Self>, tell: impl FnOnce() -> T) -> T {
        match bar {
            Some(bar) => bar.0.suspend(tell),
            None => tell(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
