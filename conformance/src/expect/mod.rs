//! What steps must give.

mod error;
mod messages;

use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use error::WantedError;
use messages::{WantedMessage, WantedMessages};

use crate::kind::Kind;
use crate::manifest::from_value;
use crate::outcome::{Failure, Got, Tally};

/// What a step must give.
#[derive(Debug)]
pub(crate) enum Expect {
    Error(WantedError),
    /// Success, with this; what is not named is not looked at.
    Success(Wanted),
}

/// What a success must give.
#[derive(Debug)]
pub(crate) enum Wanted {
    Created,
    Deleted,
    Appended(Appended),
    Message(WantedMessage),
    Messages(WantedMessages),
    Names(Vec<String>),
    Info(Map<String, Value>),
    Race(Tally),
    Anything,
}

/// Where appended messages must be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Appended {
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    seq: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Created {
    created: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deleted {
    deleted: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RaceResult {
    succeeded: u64,
    #[serde(default)]
    failed: std::collections::BTreeMap<Kind, u64>,
}

/// The facts of a pool.
const FACTS: [&str; 15] = [
    "path",
    "size_bytes",
    "ring_bytes",
    "used_bytes",
    "max_message_bytes",
    "max_messages",
    "format_version",
    "messages",
    "oldest_seq",
    "newest_seq",
    "next_seq",
    "durable_seq",
    "created",
    "oldest_time",
    "newest_time",
];

impl Expect {
    /// What `expect` of a step with this op says.
    pub(crate) fn parse(op: &str, expect: Map<String, Value>) -> Result<Self, String> {
        if let Some(error) = expect.get("error") {
            if expect.len() > 1 {
                return Err("`error` excludes everything else in `expect`".into());
            }
            return WantedError::parse(error.clone()).map(Self::Error);
        }
        Wanted::parse(op, expect).map(Self::Success)
    }

    /// Whether a step gave what it must.
    pub(crate) fn check(&self, result: &Result<Got, Failure>) -> Result<(), String> {
        match (self, result) {
            (_, Err(Failure::Broken(what))) => Err(what.clone()),
            (Self::Error(wanted), Err(Failure::Refused(refusal))) => wanted.check(refusal),
            (Self::Error(wanted), Ok(_)) => Err(format!("succeeded, expected {wanted}")),
            (Self::Success(_), Err(Failure::Refused(refusal))) => Err(format!("failed: {refusal}")),
            (Self::Success(wanted), Ok(got)) => wanted.check(got),
        }
    }
}

impl Wanted {
    fn parse(op: &str, expect: Map<String, Value>) -> Result<Self, String> {
        if op == "pool_info" {
            return match expect.keys().find(|key| !FACTS.contains(&key.as_str())) {
                Some(key) => Err(format!("unknown field `{key}`: no fact of a pool")),
                None => Ok(Self::Info(expect)),
            };
        }
        if expect.is_empty() && !matches!(op, "get" | "tail" | "read_tail") {
            return Ok(Self::Anything);
        }
        let expect = Value::Object(expect);
        let is_true = |name: &str, value: bool| {
            if value { Ok(()) } else { Err(format!("{name} can only be true")) }
        };
        Ok(match op {
            "create_pool" => {
                let Created { created } = from_value(expect)?;
                is_true("created", created)?;
                Self::Created
            }
            "delete_pool" => {
                let Deleted { deleted } = from_value(expect)?;
                is_true("deleted", deleted)?;
                Self::Deleted
            }
            "append" => {
                let One { seq } = from_value(expect)?;
                Self::Appended(Appended { first_seq: Some(seq), last_seq: Some(seq), count: None })
            }
            "append_many" | "append_stream" => Self::Appended(from_value(expect)?),
            "get" => Self::Message(from_value(expect)?),
            "tail" | "read_tail" => Self::Messages(WantedMessages::parse(expect)?),
            "list_pools" => {
                let Names { names } = from_value(expect)?;
                Self::Names(names)
            }
            "race" => {
                let RaceResult { succeeded, failed } = from_value(expect)?;
                Self::Race(Tally { succeeded, failed })
            }
            _ => return Err(format!("op={op} gives nothing to expect but an error")),
        })
    }

    fn check(&self, got: &Got) -> Result<(), String> {
        match (self, got) {
            (Self::Anything, _) | (Self::Created, Got::Created) | (Self::Deleted, Got::Deleted) => {
                Ok(())
            }
            (Self::Appended(wanted), Got::Appended(first, last)) => wanted.check(*first, *last),
            (Self::Message(wanted), Got::Message(message)) => wanted.check(message),
            (Self::Messages(wanted), Got::Messages(messages)) => wanted.check(messages),
            (Self::Names(wanted), Got::Names(names)) => same("names", names, wanted),
            (Self::Info(wanted), Got::Info(facts)) => wanted.iter().try_for_each(|(key, value)| {
                same(key, facts.get(key).unwrap_or(&Value::Null), value)
            }),
            (Self::Race(wanted), Got::Race(tally)) => same("the outcome", tally, wanted),
            _ => Err(format!("gave {got:?}")),
        }
    }
}

impl Appended {
    fn check(&self, first: u64, last: u64) -> Result<(), String> {
        let wanted = |name, got, wanted: Option<u64>| {
            wanted.map_or(Ok(()), |wanted| same(name, &got, &wanted))
        };
        wanted("first_seq", first, self.first_seq)?;
        wanted("last_seq", last, self.last_seq)?;
        wanted("count", (last + 1).saturating_sub(first), self.count)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what} is {got:?}, expected {wanted:?}")) }
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    const SHOWN: usize = 200;
    let start: String = text.chars().take(SHOWN).collect();
    if start.len() == text.len() { start } else { format!("{start}… ({} bytes)", text.len()) }
}
