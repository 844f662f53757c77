//! The error that a step must fail with.

use std::fmt;

use rustix::io::Errno;
use serde::Deserialize;
use serde_json::Value;

use crate::kind::{Kind, errno_named};
use crate::manifest::from_value;
use crate::outcome::Refusal;

/// An error that is wanted.
#[derive(Debug)]
pub(crate) struct WantedError {
    kind: Kind,
    message_contains: Vec<String>,
    has_path: Option<bool>,
    has_seq: Option<bool>,
    has_offset: Option<bool>,
    errno: Option<(String, Errno)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    kind: Kind,
    message_contains: Option<Texts>,
    has_path: Option<bool>,
    has_seq: Option<bool>,
    has_offset: Option<bool>,
    errno: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl WantedError {
    pub(super) fn parse(error: Value) -> Result<Self, String> {
        let raw: Raw = from_value(error).map_err(|e| format!("expect.error: {e}"))?;
        let errno = match raw.errno {
            None => None,
            Some(name) => match errno_named(&name) {
                Some(errno) => Some((name, errno)),
                None => return Err(format!("expect.error: errno={name:?} is not known")),
            },
        };
        Ok(Self {
            kind: raw.kind,
            message_contains: match raw.message_contains {
                None => Vec::new(),
                Some(Texts::One(text)) => vec![text],
                Some(Texts::Many(texts)) => texts,
            },
            has_path: raw.has_path,
            has_seq: raw.has_seq,
            has_offset: raw.has_offset,
            errno,
        })
    }

    /// Whether the error is the one that is wanted, as far as the surface shows it.
    pub(super) fn check(&self, refusal: &Refusal) -> Result<(), String> {
        match (refusal, &self.errno) {
            (Refusal::Errno(errno, _), Some((_, wanted))) if errno == wanted => {}
            (Refusal::Errno(..), Some((name, _))) => {
                return Err(format!("the error is {refusal}, expected {name}"));
            }
            _ if refusal.is(self.kind) => {}
            _ => return Err(format!("the error is {refusal}, expected {self}")),
        }
        let text = match refusal {
            Refusal::Told { text, .. } | Refusal::Errno(_, Some(text)) => text,
            Refusal::Errno(_, None) => return Ok(()),
        };
        for wanted in &self.message_contains {
            if !text.contains(wanted.as_str()) {
                return Err(format!("the error does not say {wanted:?}: {refusal}"));
            }
        }
        let Refusal::Told { path, seq, offset, .. } = refusal else { return Ok(()) };
        let facts = [
            ("path", path, self.has_path),
            ("seq", seq, self.has_seq),
            ("offset", offset, self.has_offset),
        ];
        for (name, has, wanted) in facts {
            if wanted.is_some_and(|wanted| wanted != *has) {
                return Err(format!("has_{name} is {has}, expected {}: {refusal}", !has));
            }
        }
        Ok(())
    }
}

impl fmt::Display for WantedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the error {:?}", self.kind)
    }
}
