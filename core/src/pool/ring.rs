//! Places in the ring: a frame starts at a multiple of the unit and may run over the end to the beginning.

use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::format::frame::{self, FrameHeader};
use crate::format::geometry::Geometry;
use crate::sys::map::Map;
use crate::sys::text::TextWords;
use crate::types::Seq;

/// The mapping of a pool and its layout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring<'a> {
    pub(super) map: &'a Map,
    pub(super) geometry: &'a Geometry,
}

impl Ring<'_> {
    /// Where the index says that message `seq` starts.
    #[inline]
    pub(super) fn start_of(&self, seq: Seq) -> Result<u64> {
        let units = self.map.slot(self.geometry, seq).load(Ordering::Relaxed);
        let start = u64::from(units) * self.geometry.unit;
        if start < self.geometry.ring_bytes {
            Ok(start)
        } else {
            Err(Error::corrupt(format!("the index puts message {seq} outside the ring"))
                .with_seq(seq)
                .with_offset(self.geometry.slots_offset + seq.get() % self.geometry.slots * 4))
        }
    }

    /// Notes in the index where message `seq` starts.
    pub(super) fn set_start(&self, seq: Seq, start: u64) {
        self.map.slot(self.geometry, seq).store(self.geometry.units(start), Ordering::Relaxed);
    }

    /// Bytes from `from` on to `to`, around the end. Two equal places are a whole ring apart.
    pub(super) fn distance(&self, from: u64, to: u64) -> u64 {
        if to > from { to - from } else { to + self.geometry.ring_bytes - from }
    }

    /// The place `bytes` behind `start`.
    pub(super) fn advance(&self, start: u64, bytes: u64) -> u64 {
        let at = start + bytes;
        if at >= self.geometry.ring_bytes { at - self.geometry.ring_bytes } else { at }
    }

    /// The file offset of a place.
    pub(super) fn file_offset(&self, start: u64) -> u64 {
        self.geometry.ring_offset + start
    }

    /// Copies words out of the ring, around its end. At most a ring full.
    #[inline]
    pub(super) fn read(&self, start: u64, out: &mut [u64]) {
        let before_end = ((self.geometry.ring_bytes - start) / 8) as usize;
        let (head, rest) = out.split_at_mut(before_end.min(out.len()));
        self.map.read_words(self.file_offset(start), head);
        self.map.read_words(self.file_offset(0), rest);
    }

    /// Stores a few words in the ring, around its end.
    #[inline]
    pub(super) fn store(&self, start: u64, words: &[u64]) {
        let before_end = ((self.geometry.ring_bytes - start) / 8) as usize;
        match words.split_at_checked(before_end) {
            Some((head, rest)) => {
                self.map.store_words(self.file_offset(start), head);
                self.map.store_words(self.file_offset(0), rest);
            }
            None => self.map.store_words(self.file_offset(start), words),
        }
    }

    /// Copies bytes into the ring, around its end; what is left of the last word becomes zero. At most a ring full.
    #[inline]
    pub(super) fn write(&self, start: u64, bytes: &[u8]) {
        let before_end = (self.geometry.ring_bytes - start) as usize;
        let at = self.file_offset(start);
        match bytes.split_at_checked(before_end) {
            Some((head, rest)) => {
                self.map.write_bytes(at, head);
                self.map.write_bytes(self.file_offset(0), rest);
            }
            None => self.map.write_bytes(at, bytes),
        }
    }

    /// The header of the frame at `start`, unverified; None when it can't be one.
    pub(super) fn header_at(&self, start: u64) -> Option<FrameHeader> {
        let mut words = [0; frame::HEADER_WORDS];
        self.read(start, &mut words);
        self.header_of(&words)
    }

    /// Copies the frame at `start` into `out` and takes its header apart, unverified; None when its length can't be.
    pub(super) fn read_frame(&self, start: u64, out: &mut TextWords) -> Option<FrameHeader> {
        let words = out.change();
        let mut first = [0; frame::FIRST_WORDS];
        self.read(start, &mut first);
        let header = self.header_of(&first)?;
        let count = frame::words_for(header.payload_len.into()) as usize;
        self.fetch_ahead(start, count as u64 * 8);
        words.resize(count, 0);
        match words.first_chunk_mut() {
            None => words.copy_from_slice(&first[..count]),
            Some(begin) => {
                *begin = first;
                self.read_text(self.advance(start, size_of_val(&first) as u64), out, first.len());
            }
        }
        Some(header)
    }

    /// Copies the words of a text from word `from` on out of the ring, around its end. At most a ring full.
    fn read_text(&self, start: u64, out: &mut TextWords, from: usize) {
        let end = out.words().len();
        let before_end = ((self.geometry.ring_bytes - start) / 8) as usize;
        let middle = from.saturating_add(before_end).min(end);
        self.map.read_text(self.file_offset(start), out, from..middle);
        if middle < end {
            self.map.read_text(self.file_offset(0), out, middle..end);
        }
    }

    fn header_of(&self, words: &[u64]) -> Option<FrameHeader> {
        let header = frame::decode(words.first_chunk()?)?;
        (u64::from(header.payload_len) <= self.geometry.max_payload()).then_some(header)
    }
}

/// Where messages start of which the index says something else.
#[derive(Clone, Debug, Default)]
pub(super) struct Starts(Vec<(Seq, u64)>);

impl Starts {
    /// Adds a message newer than all that were added, unless the index knows it.
    pub(super) fn add(&mut self, ring: Ring<'_>, seq: Seq, start: u64) {
        if !ring.start_of(seq).is_ok_and(|known| known == start) {
            self.0.push((seq, start));
        }
    }

    /// Forgets the messages before `oldest`.
    pub(super) fn forget_before(&mut self, oldest: Seq) {
        self.0.retain(|(seq, _)| *seq >= oldest);
    }

    /// Where message `seq` starts: if it is not one of these, where the index says.
    pub(super) fn start_of(&self, ring: Ring<'_>, seq: Seq) -> Result<u64> {
        match self.0.binary_search_by_key(&seq, |(seq, _)| *seq) {
            Ok(found) => self.0.get(found).map_or_else(|| ring.start_of(seq), |(_, s)| Ok(*s)),
            Err(_) => ring.start_of(seq),
        }
    }

    /// Notes in the index where these messages start.
    pub(super) fn store(&self, ring: Ring<'_>) {
        self.0.iter().for_each(|(seq, start)| ring.set_start(*seq, *start));
    }
}
