//! What the mount logs, a line for each event, on stderr or in a file. Never anything of a message.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use log::{LevelFilter, Log, Metadata, Record};
use plasmite_core::{Error, ErrorKind, Timestamp};

use crate::args::LogLevel;
use crate::output::printable;

/// Where the lines go.
struct Logger {
    level: LevelFilter,
    file: Option<File>,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::Off,
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
        }
    }
}

/// From now on what is logged goes to `file`, or to stderr.
pub(crate) fn start(file: Option<&Path>, level: LogLevel) -> Result<(), Error> {
    let open = |path| {
        File::options().append(true).create(true).mode(0o664).open(path).map_err(|error| {
            Error::io("open the log file", path, &error)
                .with_hint("name a file in a directory that is there and can be written to")
        })
    };
    let file = file.map(open).transpose()?;
    let level = level.into();
    plasmite_fusefs::listen_to_interrupts(Box::new(Logger { level, file }), level)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot log: {e}")))
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The FUSE library warns of what is in order here, a reply to a reader that has gone for one.
        let ours = metadata.target().starts_with("plasmite");
        metadata.level() <= self.level && (ours || self.level >= LevelFilter::Debug)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(Timestamp::now(), record);
        // One call a line, so that lines of several processes in one file stay whole. There is nowhere to tell that it failed.
        let _ = match &self.file {
            Some(file) => (&mut &*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}

fn line(now: Timestamp, record: &Record<'_>) -> String {
    format!("{now} {:5} {}\n", record.level(), printable(&record.args().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    fn logger(level: LevelFilter) -> Logger {
        Logger { level, file: None }
    }

    fn metadata(level: Level, target: &str) -> Metadata<'_> {
        Metadata::builder().level(level).target(target).build()
    }

    #[test]
    fn a_line_has_time_level_and_text_and_no_more_lines() {
        let now = Timestamp::from_nanos(1_000_000_000);
        let line = line(
            now,
            &Record::builder()
                .args(format_args!("a\nb {}", '\u{1b}'))
                .level(Level::Warn)
                .target("plasmite")
                .build(),
        );
        assert_eq!(line, "1970-01-01T00:00:01.000000000Z WARN  a\\nb \\u001b\n");
    }

    #[test]
    fn the_library_is_heard_at_debug_only() {
        assert!(!logger(LevelFilter::Warn).enabled(&metadata(Level::Error, "fuser::reply")));
        assert!(logger(LevelFilter::Debug).enabled(&metadata(Level::Debug, "fuser::request")));
        assert!(
            logger(LevelFilter::Warn).enabled(&metadata(Level::Warn, "plasmite_fusefs::mount"))
        );
        assert!(!logger(LevelFilter::Warn).enabled(&metadata(Level::Info, "plasmite")));
        assert!(!logger(LevelFilter::Off).enabled(&metadata(Level::Error, "plasmite")));
    }
}
