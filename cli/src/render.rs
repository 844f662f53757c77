//! A message on stdout: as JSON for programs, as short text for people.

use std::fmt::Write as _;

use plasmite_core::{Message, Timestamp};

use crate::output::{self, CYAN, DIM};

/// How messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The envelope, one JSON object a line.
    Envelope,
    /// What the writer gave, one JSON object a line.
    Data,
    /// Number, time, tags and data for people, coloured or not.
    Text { colour: bool },
}

impl Form {
    /// What the options and the kind of stdout ask for.
    pub(crate) fn choose(data_only: bool, jsonl: bool) -> Self {
        if data_only {
            Self::Data
        } else if jsonl || !output::stdout_is_terminal() {
            Self::Envelope
        } else {
            Self::Text { colour: output::stdout_colour() }
        }
    }

    /// Appends the message's line to `out`.
    pub(crate) fn write_line(self, message: &Message, out: &mut String) {
        match self {
            Self::Envelope => message.write_line(out),
            Self::Data => {
                out.push_str(message.data());
                out.push('\n');
            }
            Self::Text { colour } => write_text(message, colour, out),
        }
    }
}

fn write_text(message: &Message, colour: bool, out: &mut String) {
    let (dim, cyan) = if colour { (DIM, CYAN) } else { Default::default() };
    // Writing into a String can't fail.
    let _ =
        write!(out, "{cyan}{}{cyan:#} {dim}{}{dim:#}", message.seq(), time_text(message.time()));
    for tag in message.tags() {
        let _ = write!(out, " {cyan}#");
        output::push_printable(out, tag);
        let _ = write!(out, "{cyan:#}");
    }
    out.push(' ');
    output::push_printable(out, message.data());
    out.push('\n');
}

/// A time for people: to the millisecond.
pub(crate) fn time_text(time: Timestamp) -> String {
    let full = time.to_string();
    match full.get(..23) {
        Some(short) => format!("{short}Z"),
        None => full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_millisecond() {
        assert_eq!(time_text(Timestamp::from_nanos(1_234_567_890)), "1970-01-01T00:00:01.234Z");
    }
}
