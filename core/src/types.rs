//! The words of the engine as types: sequence numbers, times, durabilities.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::sys::clock;

/// The largest sequence number: 2⁵⁶ − 1, the width of the field in a frame.
pub const MAX_SEQ: Seq = Seq((1 << 56) - 1);

/// The number of a message in its pool: from 1, without holes, never reused. (What a power loss takes, which `flush` had not
/// promised, takes its numbers along.)
///
/// [`Seq::ZERO`] is no message's number; it stands for "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// Before the first message.
    pub const ZERO: Self = Self(0);
    /// The first message of a pool.
    pub const FIRST: Self = Self(1);

    /// The sequence number `value`.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after this one (saturating).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before this one (saturating at zero).
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, up to the year 2554.
///
/// Displayed as RFC 3339 in UTC with nine fraction digits, always 30 characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time `nanos` nanoseconds after 1970-01-01T00:00:00Z.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The system's clock now.
    pub fn now() -> Self {
        Self(clock::realtime_nanos())
    }

    /// This time less `duration`, not before 1970.
    #[must_use]
    pub fn earlier_by(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The text that is displayed. Every message read as an envelope goes through here, so it is done by hand.
    pub(crate) fn rfc3339(self) -> [u8; 30] {
        const DAY: u64 = 86_400;
        let seconds = self.0 / 1_000_000_000;
        let (days, of_day) = (seconds / DAY, seconds % DAY);
        // Years from March on, so that a leap day is the last of its year. The 400 years that begin on 0000-03-01 have
        // 146,097 days, and 1970-01-01 is day 719,468 of the calendar. No time we hold is before 1970.
        let day = days + 719_468;
        let (era, of_era) = (day / 146_097, day % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day_of_month = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        put_digits(&mut text[..4], year);
        put_digits(&mut text[5..7], month);
        put_digits(&mut text[8..10], day_of_month);
        put_digits(&mut text[11..13], of_day / 3600);
        put_digits(&mut text[14..16], of_day / 60 % 60);
        put_digits(&mut text[17..19], of_day % 60);
        put_digits(&mut text[20..29], self.0 % 1_000_000_000);
        text
    }

    /// Reads an RFC 3339 time such as `2026-03-01T12:00:00Z`.
    ///
    /// # Errors
    /// Usage when the text is no RFC 3339 time, or lies outside 1970–2554.
    pub fn parse(text: &str) -> Result<Self> {
        let stamp: jiff::Timestamp = text.parse().map_err(|e| {
            Error::usage(format!("time={text:?} is not an RFC 3339 time: {e}"))
                .with_hint("write it as 2026-03-01T12:00:00Z")
        })?;
        u64::try_from(stamp.as_nanosecond())
            .map(Self)
            .map_err(|_| Error::usage(format!("time={text:?} is outside the years 1970 to 2554")))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let nanos = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_nanos(time.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.rfc3339();
        // Digits and punctuation are UTF-8.
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// The numbers from 00 to 99, two digits each.
pub(crate) const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut n = 0;
    while n < 100 {
        pairs[2 * n] = b'0' + (n / 10) as u8;
        pairs[2 * n + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
};

/// Writes `value` in decimal so that it fills `place`, zeros first.
#[inline]
fn put_digits(place: &mut [u8], mut value: u64) {
    let (first, pairs) = place.as_rchunks_mut::<2>();
    for pair in pairs.iter_mut().rev() {
        let at = 2 * (value % 100) as usize;
        pair.copy_from_slice(&PAIRS[at..at + 2]);
        value /= 100;
    }
    if let [digit] = first {
        *digit = b'0' + (value % 10) as u8;
    }
}

/// What an append survives once it has returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Durability {
    /// The death of any process.
    #[default]
    Fast = 0,
    /// Power loss too: the message is on the disk. Concurrent flushing writers share syncs.
    Flush = 1,
}

/// Which messages a pool still holds: `oldest..=newest`, nothing when `oldest > newest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest retained message, or the next one to come when none is retained.
    pub oldest: Seq,
    /// The newest committed message; [`Seq::ZERO`] in a pool that never held one.
    pub newest: Seq,
}

impl Bounds {
    /// How many messages are retained.
    pub fn count(self) -> u64 {
        self.newest.get().saturating_add(1).saturating_sub(self.oldest.get())
    }

    /// True when no message is retained.
    pub fn is_empty(self) -> bool {
        self.count() == 0
    }

    /// True when `seq` is retained.
    pub fn contains(self, seq: Seq) -> bool {
        self.oldest <= seq && seq <= self.newest
    }
}

/// What an append returns: the number and the time the message was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message's number.
    pub seq: Seq,
    /// The message's time.
    pub time: Timestamp,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_jiff(nanos: u64) -> String {
        let printer = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(9));
        printer.timestamp_to_string(&jiff::Timestamp::from_nanosecond(nanos.into()).unwrap())
    }

    #[test]
    fn every_day_and_the_ends_of_the_range_are_displayed_as_jiff_does() {
        const DAY: u64 = 86_400_000_000_000;
        for nanos in (0..u64::MAX / DAY).map(|day| day * DAY).chain([1, DAY - 1, u64::MAX]) {
            assert_eq!(Timestamp::from_nanos(nanos).to_string(), by_jiff(nanos));
        }
    }

    #[test]
    fn bounds_out_of_a_hostile_header_can_be_counted() {
        for (oldest, newest) in [(0, u64::MAX), (u64::MAX, 0), (1, u64::MAX)] {
            let bounds = Bounds { oldest: Seq::new(oldest), newest: Seq::new(newest) };
            assert_eq!(bounds.count() == 0, oldest > newest);
        }
    }

    proptest! {
        #[test]
        fn any_time_is_displayed_as_jiff_does(nanos: u64) {
            prop_assert_eq!(Timestamp::from_nanos(nanos).to_string(), by_jiff(nanos));
        }
    }
}
