//! The messages that a step must give.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{same, shown};
use crate::envelope::Message;
use crate::manifest::{Text, from_value};

/// One message; what is not named is not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedMessage {
    seq: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Value>,
    /// The data byte for byte.
    text: Option<Text>,
    tags: Option<Vec<String>>,
}

/// Several messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedMessages {
    messages: Option<Vec<WantedMessage>>,
    #[serde(default)]
    messages_unordered: bool,
    count: Option<usize>,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    /// Each seq is the one before it and one.
    #[serde(default)]
    consecutive: bool,
    /// No time is before the time of an earlier message.
    #[serde(default)]
    times_in_order: bool,
    /// Of messages with the same value of this key in their data, `n` counts 1, 2, 3, …
    numbered_by: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn data_of(message: &Message) -> Result<Value, String> {
    serde_json::from_str(&message.text)
        .map_err(|e| format!("the data of message {} is no JSON: {e}", message.seq))
}

impl WantedMessage {
    pub(super) fn check(&self, message: &Message) -> Result<(), String> {
        if let Some(seq) = &self.seq {
            same("seq", &message.seq, seq)?;
        }
        if let Some(tags) = &self.tags {
            same("tags", &message.tags, tags)?;
        }
        if let Some(data) = &self.data
            && data_of(message)? != *data
        {
            return Err(format!("data is {}, expected {data}", shown(&message.text)));
        }
        match &self.text {
            Some(Text(text)) if message.text.as_bytes() != text => {
                let wanted = String::from_utf8_lossy(text);
                Err(format!(
                    "the data's text is {}, expected {}",
                    shown(&message.text),
                    shown(&wanted)
                ))
            }
            _ => Ok(()),
        }
    }
}

impl WantedMessages {
    pub(super) fn parse(expect: Value) -> Result<Self, String> {
        let wanted: Self = from_value(expect)?;
        if wanted.messages_unordered && wanted.messages.is_none() {
            return Err("`messages_unordered` without `messages`".into());
        }
        Ok(wanted)
    }

    pub(super) fn check(&self, got: &[Message]) -> Result<(), String> {
        if let Some(count) = &self.count {
            same("count", &got.len(), count)?;
        }
        if let Some(seq) = self.first_seq {
            same("first_seq", &got.first().map(|m| m.seq), &Some(seq))?;
        }
        if let Some(seq) = self.last_seq {
            same("last_seq", &got.last().map(|m| m.seq), &Some(seq))?;
        }
        for pair in got.windows(2) {
            if self.consecutive && pair[1].seq != pair[0].seq + 1 {
                return Err(format!("message {} follows message {}", pair[1].seq, pair[0].seq));
            }
            // All times have the same form, so that their texts compare as they do.
            if self.times_in_order && pair[1].time < pair[0].time {
                return Err(format!("the time goes backwards at message {}", pair[1].seq));
            }
        }
        if let Some(key) = &self.numbered_by {
            check_numbers(got, key)?;
        }
        match &self.messages {
            Some(wanted) => check_each(wanted, got, self.messages_unordered),
            None => Ok(()),
        }
    }
}

fn check_numbers(got: &[Message], key: &str) -> Result<(), String> {
    let mut last: HashMap<String, u64> = HashMap::new();
    for message in got {
        let data = data_of(message)?;
        let of = data.get(key).ok_or_else(|| format!("message {} has no {key:?}", message.seq))?;
        let next = last.entry(of.to_string()).or_default();
        *next += 1;
        same(&format!("n of message {}, {key}={of}", message.seq), &data["n"], &(*next).into())?;
    }
    Ok(())
}

fn check_each(wanted: &[WantedMessage], got: &[Message], unordered: bool) -> Result<(), String> {
    if wanted.len() != got.len() {
        let seqs: Vec<u64> = got.iter().map(|m| m.seq).collect();
        return Err(format!("{} messages {seqs:?}, expected {}", got.len(), wanted.len()));
    }
    let mut left: Vec<&Message> = got.iter().collect();
    for (i, wanted) in wanted.iter().enumerate() {
        let among = if unordered { left.len() } else { 1 };
        let found = left.iter().take(among).position(|message| wanted.check(message).is_ok());
        match found {
            Some(at) => left.remove(at),
            None if unordered => return Err(format!("message {i} is missing: {wanted:?}")),
            None => {
                let why = wanted.check(left[0]).err().unwrap_or_default();
                return Err(format!("message {i}: {why}"));
            }
        };
    }
    Ok(())
}
