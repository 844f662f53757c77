//! The facts of a pool.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::Pool;
use super::live::Tip;
use super::read::Read;
use crate::error::Result;
use crate::format::header::FORMAT_VERSION;
use crate::types::{Bounds, Seq, Timestamp};

/// The facts of a pool, as of about one moment.
#[derive(Clone, Debug)]
pub struct Info {
    /// The path it was opened by.
    pub path: PathBuf,
    /// The file's size.
    pub size_bytes: u64,
    /// Bytes of the ring, in which messages lie.
    pub ring_bytes: u64,
    /// Bytes of the ring that retained messages take.
    pub used_bytes: u64,
    /// The largest payload of one message: its data, and for each tag its length and one.
    pub max_message_bytes: u64,
    /// The most messages it can retain.
    pub max_messages: u64,
    /// The version of the file's format.
    pub format_version: u32,
    /// What is retained.
    pub bounds: Bounds,
    /// The newest message that is known to survive a power loss.
    pub durable: Seq,
    /// When the pool was created.
    pub created: Timestamp,
    /// The time of the oldest retained message.
    pub oldest_time: Option<Timestamp>,
    /// The time of the newest retained message.
    pub newest_time: Option<Timestamp>,
}

impl Pool {
    /// The facts of the pool.
    ///
    /// # Errors
    /// NotFound when the pool was deleted, Corrupt when it is damaged.
    pub fn info(&self) -> Result<Info> {
        self.check_alive()?;
        let geometry = self.geometry();
        let bounds = self.current_bounds()?;
        let time_of = |seq| -> Result<Option<Timestamp>> {
            Ok(match self.read_header(seq)? {
                Read::Whole(header) => Some(header.time),
                Read::Gone => None,
            })
        };
        Ok(Info {
            path: self.path().to_owned(),
            size_bytes: geometry.size_bytes,
            ring_bytes: geometry.ring_bytes,
            used_bytes: self.used_bytes(bounds)?,
            max_message_bytes: geometry.max_payload(),
            max_messages: geometry.slots,
            format_version: FORMAT_VERSION,
            bounds,
            durable: Seq::new(self.map().durable().load(Ordering::Acquire)),
            created: self.0.header.created,
            oldest_time: time_of(bounds.oldest)?,
            newest_time: time_of(bounds.newest)?,
        })
    }

    fn used_bytes(&self, bounds: Bounds) -> Result<u64> {
        if bounds.is_empty() {
            return Ok(0);
        }
        let tail = match self.frozen() {
            Some(recovered) => Some(recovered.tip.tail),
            None => Tip::read(self.map(), bounds.newest).map(|tip| tip.tail),
        };
        let start = self.start_of(bounds.oldest)?;
        // No tip: two messages were committed since `bounds` was read, and any figure is as good as the last.
        let tail = tail.unwrap_or(start).min(self.geometry().ring_bytes - 1);
        Ok(self.ring().distance(start, tail))
    }
}

impl Info {
    /// The facts as one JSON object, without a newline.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Facts<'a> {
            path: std::borrow::Cow<'a, str>,
            size_bytes: u64,
            ring_bytes: u64,
            used_bytes: u64,
            max_message_bytes: u64,
            max_messages: u64,
            format_version: u32,
            messages: u64,
            oldest_seq: Option<u64>,
            newest_seq: Option<u64>,
            next_seq: u64,
            durable_seq: u64,
            created: String,
            oldest_time: Option<String>,
            newest_time: Option<String>,
        }
        let seq = |seq: Seq| (!self.bounds.is_empty()).then_some(seq.get());
        let time = |time: Option<Timestamp>| time.map(|t| t.to_string());
        let facts = Facts {
            path: self.path.to_string_lossy(),
            size_bytes: self.size_bytes,
            ring_bytes: self.ring_bytes,
            used_bytes: self.used_bytes,
            max_message_bytes: self.max_message_bytes,
            max_messages: self.max_messages,
            format_version: self.format_version,
            messages: self.bounds.count(),
            oldest_seq: seq(self.bounds.oldest),
            newest_seq: seq(self.bounds.newest),
            next_seq: self.bounds.newest.next().get(),
            durable_seq: self.durable.get(),
            created: self.created.to_string(),
            oldest_time: time(self.oldest_time),
            newest_time: time(self.newest_time),
        };
        // Numbers and strings always have a JSON form.
        serde_json::to_string(&facts).unwrap_or_default()
    }
}
