//! Sizes, durations, times and tags as they are written on the command line.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use plasmite_core::Timestamp;

/// The longest tag in bytes.
const MAX_TAG_BYTES: usize = 255;

/// A size in bytes: `4096`, `64K`, `1M`, `2G` (powers of 1024).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let factor: u64 = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KIB" => 1 << 10,
        "M" | "MIB" => 1 << 20,
        "G" | "GIB" => 1 << 30,
        "T" | "TIB" => 1 << 40,
        _ => return Err(not_a_size()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(not_a_size());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(|| "more bytes than a file can have".to_owned())
}

fn not_a_size() -> String {
    "write a size as 4096, 64K, 1M or 2G (powers of 1024)".to_owned()
}

/// A length of time: `100ms`, `5s`, `10m`, `2h`, `1d`, or several together (`1h 30m`).
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let not_a_duration = || "write a duration as 100ms, 5s, 10m, 2h or 1d".to_owned();
    // ISO 8601 forms and "5s ago" would be read too, but mean nothing here.
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains("ago") {
        return Err(not_a_duration());
    }
    let span: Span = text.parse().map_err(|_| not_a_duration())?;
    let signed =
        span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| not_a_duration())?;
    Duration::try_from(signed).map_err(|_| not_a_duration())
}

/// A length of time from one look to the next.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(86_400);
    match duration(text)? {
        interval if interval < SHORTEST => Err(format!("the shortest interval is {SHORTEST:?}")),
        interval if interval > LONGEST => Err("the longest interval is 1d".to_owned()),
        interval => Ok(interval),
    }
}

/// A point in time: RFC 3339, or how long ago.
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = duration(text) {
        return Ok(Timestamp::now().earlier_by(ago));
    }
    Timestamp::parse(text).map_err(|_| {
        "write it as a duration ago (10m, 2h, 1d) or as 2026-03-01T12:00:00Z".to_owned()
    })
}

/// How many: a whole number.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a whole number, such as 0 or 10".to_owned())
}

/// A speed: how many times as fast as it was.
pub(crate) fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed.is_finite() => Ok(speed),
        _ => Err("write a speed above 0, such as 1, 0.5 or 10".to_owned()),
    }
}

/// A tag, within the limits of the engine.
pub(crate) fn tag(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("a tag can't be empty".to_owned()),
        n if n > MAX_TAG_BYTES => {
            Err(format!("a tag may have {MAX_TAG_BYTES} bytes, this one has {n}"))
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64K"), Ok(64 << 10));
        assert_eq!(size("1m"), Ok(1 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("1T"), Ok(1 << 40));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "K", "1.5M", "-1", "+1", "64 K", "64MB", "1e6", "0x10", "６４K", "12é"]
        {
            assert!(size(text).is_err(), "{text:?}");
        }
        assert!(size("18446744073709551616").is_err());
        assert!(size("99999999999T").is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86400)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "-5s", "5s ago", "PT5S", "1y", "1mo", "s", "99999999999999d", "5 x"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn intervals_have_limits() {
        assert_eq!(interval("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(interval("1d"), Ok(Duration::from_secs(86_400)));
        for text in ["0s", "49ms", "2d", "1"] {
            assert!(interval(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn since_is_a_time_or_a_duration_ago() {
        let before = Timestamp::now();
        let ago = since("10m").unwrap();
        assert!(ago < before && ago >= before.earlier_by(Duration::from_secs(601)));
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Timestamp::from_nanos(1_000_000_000)));
        assert_eq!(since("1970-01-01T01:00:01+01:00"), Ok(Timestamp::from_nanos(1_000_000_000)));
        for text in ["", "yesterday", "2026-03-01", "10", "1969-12-31T23:59:59Z"] {
            assert!(since(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn speeds_are_above_zero() {
        assert_eq!(speed("0.5"), Ok(0.5));
        assert_eq!(speed("10"), Ok(10.0));
        for text in ["", "0", "-1", "inf", "NaN", "fast", "1e999", "1e-999"] {
            assert!(speed(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn tags_have_1_to_255_bytes() {
        assert!(tag("").is_err());
        assert!(tag(&"é".repeat(128)).is_err());
        assert_eq!(tag(&"a".repeat(255)), Ok("a".repeat(255)));
    }
}
