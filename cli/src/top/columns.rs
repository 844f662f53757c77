//! Figures of pools as short text.

use std::time::Duration;

use plasmite_core::Timestamp;

use super::sort::SortKey;
use super::watch::{Facts, Rates, Watched};

/// The characters that figures are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signs {
    /// From nothing to the most.
    pub(crate) bars: [char; 8],
    pub(crate) unknown: char,
    pub(crate) rule: char,
    pub(crate) cut: char,
    pub(crate) arrows: &'static str,
}

/// For terminals that show UTF-8.
pub(crate) const UTF8: Signs = Signs {
    bars: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    unknown: '–',
    rule: '─',
    cut: '…',
    arrows: "↑↓",
};

/// For the others.
pub(crate) const ASCII: Signs = Signs {
    bars: ['_', '.', ':', '-', '=', '+', '*', '#'],
    unknown: '-',
    rule: '-',
    cut: '>',
    arrows: "up/down",
};

/// What the locale of the process allows: of its variables the first that is set decides.
pub(crate) fn signs_of(variables: impl Fn(&str) -> Option<String>) -> Signs {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variables);
    let locale = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") { UTF8 } else { ASCII }
}

/// The figure of one column. `now` is when ages are told as of.
pub(crate) fn figure(
    pool: &Watched,
    facts: &Facts,
    key: SortKey,
    now: Timestamp,
) -> Option<String> {
    // Before the second look there are no rates.
    let rate = |of: fn(&Rates) -> f64| pool.history.back().map(of);
    match key {
        SortKey::Name => Some(pool.name.clone()),
        SortKey::Messages => rate(|rates| rates.messages).map(count_text),
        SortKey::Bytes => rate(|rates| rates.bytes).map(bytes_text),
        SortKey::Fill => Some(percent_text(facts.fill())),
        SortKey::Oldest => facts.info.oldest_time.map(|time| age_text(age(time, now))),
        SortKey::Readers => facts.readers().map(|n| n.to_string()),
        SortKey::Writers => facts.writers().map(|n| n.to_string()),
    }
}

pub(crate) fn age(time: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(now.as_nanos().saturating_sub(time.as_nanos()))
}

/// `0`, `0.4`, `17`, `1.2k`, `34M`: at most four characters below a thousand billions.
pub(crate) fn count_text(value: f64) -> String {
    scaled(value, 1000.0, ["", "k", "M", "G", "T"])
}

/// The same with powers of 1024: `0`, `512`, `1.2K`, `34M`; up to five characters.
pub(crate) fn bytes_text(value: f64) -> String {
    scaled(value, 1024.0, ["", "K", "M", "G", "T"])
}

fn scaled(value: f64, step: f64, units: [&str; 5]) -> String {
    let mut value = value.max(0.0);
    let mut units = units.into_iter();
    let mut unit = units.next().unwrap_or_default();
    // Rounded: 999.7 is a thousand.
    while value.round() >= step {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / step, next);
    }
    let tenths = (value * 10.0).round();
    if tenths == 0.0 {
        // Something is more than nothing.
        return if value > 0.0 { "<0.1".to_owned() } else { "0".to_owned() };
    }
    if tenths < 100.0 && tenths % 10.0 != 0.0 {
        format!("{:.1}{unit}", tenths / 10.0)
    } else {
        format!("{:.0}{unit}", value)
    }
}

/// Whole percent; full only when it is, and empty only when it is.
fn percent_text(part: f64) -> String {
    let percent = part * 100.0;
    if percent > 0.0 && percent < 1.0 {
        "<1%".to_owned()
    } else {
        format!("{:.0}%", percent.floor())
    }
}

/// `0s` to `59s`, then minutes, hours, days and years, rounded down.
pub(crate) fn age_text(age: Duration) -> String {
    match age.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s @ 86_400..31_536_000 => format!("{}d", s / 86_400),
        s => format!("{}y", s / 31_536_000),
    }
}

/// The last `width` values as bars, right-aligned: the tallest is the most of them, the lowest is nothing.
pub(crate) fn sparkline(
    values: impl DoubleEndedIterator<Item = f64> + ExactSizeIterator,
    width: usize,
    signs: &Signs,
) -> String {
    let skip = values.len().saturating_sub(width);
    let values: Vec<f64> = values.skip(skip).collect();
    let most = values.iter().copied().fold(0.0, f64::max);
    let top = signs.bars.len() - 1;
    let bar = |value: f64| match value {
        v if v > 0.0 => signs.bars[((v / most * top as f64).ceil() as usize).clamp(1, top)],
        _ => signs.bars[0],
    };
    let blank = std::iter::repeat_n(' ', width - values.len());
    blank.chain(values.iter().map(|&value| bar(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.04, "<0.1"),
            (0.44, "0.4"),
            (1.0, "1"),
            (9.96, "10"),
            (17.2, "17"),
            (999.4, "999"),
            (999.7, "1k"),
            (1234.0, "1.2k"),
            (99_600.0, "100k"),
            (999_900.0, "1M"),
            (34e6, "34M"),
            (9.9e12, "9.9T"),
            (-1.0, "0"),
        ] {
            assert_eq!(count_text(value), text, "{value}");
        }
        assert_eq!(bytes_text(1023.0), "1023");
        assert_eq!(bytes_text(1536.0), "1.5K");
        assert_eq!(bytes_text(1023.9 * 1024.0), "1M");
        assert_eq!(bytes_text(f64::MAX).chars().last(), Some('T'));
    }

    #[test]
    fn percents_are_rounded_down_but_something_is_not_nothing() {
        assert_eq!(percent_text(0.0), "0%");
        assert_eq!(percent_text(0.001), "<1%");
        assert_eq!(percent_text(0.999), "99%");
        assert_eq!(percent_text(1.0), "100%");
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (86_400, "1d")]
        {
            assert_eq!(age_text(Duration::from_secs(seconds)), text);
        }
        assert_eq!(age_text(Duration::MAX), format!("{}y", u64::MAX / 31_536_000));
    }

    #[test]
    fn sparklines_show_the_latest_and_nothing_as_the_lowest_bar() {
        let line = |values: &[f64], width| sparkline(values.iter().copied(), width, &UTF8);
        assert_eq!(line(&[], 3), "   ");
        assert_eq!(line(&[0.0, 0.0], 3), " ▁▁");
        assert_eq!(line(&[9.0, 0.0, 1.0, 100.0, 50.0], 4), "▁▂█▅");
        assert_eq!(line(&[1.0], 0), "");
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides() {
        let with = |pairs: &'static [(&str, &str)]| {
            signs_of(move |name| {
                let found = pairs.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(with(&[("LANG", "de_DE.UTF-8")]), UTF8);
        assert_eq!(with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), ASCII);
        assert_eq!(with(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]), UTF8);
        assert_eq!(with(&[]), ASCII);
    }
}
