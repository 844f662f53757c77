//! What a step gave.

use std::collections::BTreeMap;

use rustix::io::Errno;
use serde_json::{Map, Value};

use crate::envelope::Message;
use crate::kind::Kind;

/// What a step that succeeded gave.
#[derive(Debug)]
pub(crate) enum Got {
    Created,
    Deleted,
    /// The first and the last seq.
    Appended(u64, u64),
    Message(Message),
    Messages(Vec<Message>),
    Names(Vec<String>),
    Info(Map<String, Value>),
    Race(Tally),
    Done,
}

/// What became of several processes that did the same at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) failed: BTreeMap<Kind, u64>,
}

/// Why a step gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was refused with one of the errors of the contract.
    Refused(Refusal),
    /// The surface did what none may do, such as an exit code that is not its error's.
    Broken(String),
}

/// An error as a surface shows it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// With all that the contract gives an error.
    Told { kind: Kind, text: String, path: bool, seq: bool, offset: bool },
    /// As file calls have it; with the reason that a pool's `errors` tells for a write.
    Errno(Errno, Option<String>),
}

impl Failure {
    /// A file call failed.
    pub(crate) fn of_io(doing: &str, error: &std::io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(errno) => Self::Refused(Refusal::Errno(errno, None)),
            None => Self::Broken(format!("cannot {doing}: {error}")),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Refused(Refusal::Errno(errno, None))
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Broken(what)
    }
}

impl Refusal {
    /// The kinds that it may be.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        match self {
            Self::Told { kind: told, .. } => *told == kind,
            Self::Errno(errno, _) => kind.errnos().contains(errno),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told { kind, text, .. } => write!(f, "{kind:?}: {text}"),
            Self::Errno(errno, reason) => {
                let reason = reason.as_deref().unwrap_or("no reason told");
                write!(f, "errno {}: {errno}, {reason}", errno.raw_os_error())
            }
        }
    }
}
