//! What an examination found, and its JSON form.

use std::path::PathBuf;

use serde::Serialize;

use crate::types::{Bounds, Seq};

/// So many findings are listed one by one; more are counted.
const MAX_LISTED: usize = 1000;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is not what Plasmite wrote.
    Damage,
    /// Worth knowing, and no damage.
    Remark,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is damage.
    pub severity: Severity,
    /// The part of the pool it is about, one of: `size`, `header`, `bounds`, `tip`, `lock`, `state`, `durability`, `index`, `frame`,
    /// `link`, `order`, `tags`, `text`, `json`, `recovery`, `sync`, `reserved`, `permissions`, `space`, `leftover`.
    pub part: &'static str,
    /// What was found, with which values.
    pub message: String,
    /// The message it is about.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "number")]
    pub seq: Option<Seq>,
    /// Where in the file it is, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

fn number<S: serde::Serializer>(seq: &Option<Seq>, to: S) -> Result<S::Ok, S::Error> {
    seq.map(Seq::get).serialize(to)
}

impl Finding {
    pub(super) fn damage(part: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Damage, part, message, seq: None, offset: None }
    }

    pub(super) fn remark(part: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Remark, ..Self::damage(part, message) }
    }

    pub(super) fn of(mut self, seq: Seq) -> Self {
        self.seq = Some(seq);
        self
    }

    pub(super) fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

/// What [`check`](super::check()) found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The pool's file.
    pub path: PathBuf,
    /// The file's size.
    pub size_bytes: u64,
    /// Bytes of the ring, in which messages lie; 0 when the header does not tell.
    pub ring_bytes: u64,
    /// Bytes of the ring that the messages found whole take.
    pub used_bytes: u64,
    /// What the pool says it retains; None when it can't be told.
    pub bounds: Option<Bounds>,
    /// How many messages were found whole.
    pub intact: u64,
    /// What was found, in the order of the file's parts. Of very many, the first.
    pub findings: Vec<Finding>,
    /// How many more damages were found than are listed.
    pub unlisted: u64,
}

impl Report {
    pub(super) fn new(path: PathBuf, size_bytes: u64) -> Self {
        Self {
            path,
            size_bytes,
            ring_bytes: 0,
            used_bytes: 0,
            bounds: None,
            intact: 0,
            findings: Vec::new(),
            unlisted: 0,
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if self.findings.len() < MAX_LISTED {
            self.findings.push(finding);
        } else if finding.severity == Severity::Damage {
            self.unlisted += 1;
        }
    }

    /// True when any damage was found.
    pub fn is_damaged(&self) -> bool {
        self.unlisted > 0 || self.findings.iter().any(|f| f.severity == Severity::Damage)
    }

    /// The report as one JSON object, without a newline.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Told<'a> {
            path: std::borrow::Cow<'a, str>,
            status: &'a str,
            size_bytes: u64,
            ring_bytes: u64,
            used_bytes: u64,
            free_bytes: u64,
            oldest_seq: Option<u64>,
            newest_seq: Option<u64>,
            intact: u64,
            findings: &'a [Finding],
            unlisted: u64,
        }
        let seq = |pick: fn(Bounds) -> Seq| {
            self.bounds.filter(|b| !b.is_empty()).map(|bounds| pick(bounds).get())
        };
        let told = Told {
            path: self.path.to_string_lossy(),
            status: if self.is_damaged() { "damaged" } else { "healthy" },
            size_bytes: self.size_bytes,
            ring_bytes: self.ring_bytes,
            used_bytes: self.used_bytes,
            free_bytes: self.ring_bytes.saturating_sub(self.used_bytes),
            oldest_seq: seq(|b| b.oldest),
            newest_seq: seq(|b| b.newest),
            intact: self.intact,
            findings: &self.findings,
            unlisted: self.unlisted,
        };
        // Numbers and strings always have a JSON form.
        serde_json::to_string(&told).unwrap_or_default()
    }
}
