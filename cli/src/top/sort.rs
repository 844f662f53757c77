//! The order of the pools.

use std::cmp::Ordering;

use clap::ValueEnum;
use plasmite_core::Timestamp;

use super::watch::Watched;

/// What the pools are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortKey {
    /// Name
    Name,
    /// Messages a second, most first
    Messages,
    /// Bytes a second, most first
    Bytes,
    /// Fill of the ring, fullest first
    Fill,
    /// Age of the oldest message, oldest first
    Oldest,
    /// Readers asleep, most first
    Readers,
    /// Writers, most first
    Writers,
}

/// A key and a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) key: SortKey,
    pub(crate) reversed: bool,
}

impl Order {
    pub(crate) fn by(key: SortKey) -> Self {
        Self { key, reversed: false }
    }

    /// The order after this key was chosen: choosing it again reverses.
    pub(crate) fn chosen(self, key: SortKey) -> Self {
        if self.key == key { Self { reversed: !self.reversed, ..self } } else { Self::by(key) }
    }

    /// What is not known comes last, in both directions; what is equal, by name.
    pub(crate) fn compare(self, a: &Watched, b: &Watched) -> Ordering {
        let by_name = || a.name.cmp(&b.name);
        if self.key == SortKey::Name {
            return if self.reversed { by_name().reverse() } else { by_name() };
        }
        let order = match (self.measure(a), self.measure(b)) {
            (Some(a), Some(b)) if self.reversed => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        order.then_with(by_name)
    }

    fn measure(self, pool: &Watched) -> Option<f64> {
        let facts = pool.facts.as_ref().ok()?;
        match self.key {
            SortKey::Name => None,
            SortKey::Messages => Some(pool.latest().messages),
            SortKey::Bytes => Some(pool.latest().bytes),
            SortKey::Fill => Some(facts.fill()),
            SortKey::Oldest => facts.info.oldest_time.map(|time| -nanos(time)),
            SortKey::Readers => facts.readers().map(f64::from),
            SortKey::Writers => facts.writers().map(f64::from),
        }
    }
}

fn nanos(time: Timestamp) -> f64 {
    time.as_nanos() as f64
}

impl SortKey {
    pub(crate) const ALL: [Self; 7] = [
        Self::Name,
        Self::Messages,
        Self::Bytes,
        Self::Fill,
        Self::Oldest,
        Self::Readers,
        Self::Writers,
    ];

    /// The heading of its column, whose first letter chooses it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Messages => "MSG/S",
            Self::Bytes => "BYTES/S",
            Self::Fill => "FILL",
            Self::Oldest => "OLDEST",
            Self::Readers => "READERS",
            Self::Writers => "WRITERS",
        }
    }

    pub(crate) fn of_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.title().starts_with(letter.to_ascii_uppercase()))
    }
}

#[cfg(test)]
mod tests {
    use plasmite_core::{Client, Durability};

    use super::*;
    use crate::top::watch::Watch;

    fn names(watch: &Watch, order: Order) -> Vec<&str> {
        let mut pools: Vec<_> = watch.pools().collect();
        pools.sort_by(|a, b| order.compare(a, b));
        pools.into_iter().map(|pool| pool.name.as_str()).collect()
    }

    #[test]
    fn what_is_not_known_comes_last_in_both_directions() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path());
        for (name, count) in [("a", 0), ("b", 1), ("c", 100)] {
            let pool = client.create(name, 64 << 10).unwrap();
            for _ in 0..count {
                pool.append::<&str>(b"{}", &[], Durability::Fast).unwrap();
            }
        }
        std::fs::write(dir.path().join("aa.plasmite"), "damaged").unwrap();
        let mut watch = Watch::new(client);
        watch.look();
        let fill = Order::by(SortKey::Fill);
        assert_eq!(names(&watch, fill), ["c", "b", "a", "aa"]);
        assert_eq!(names(&watch, fill.chosen(SortKey::Fill)), ["a", "b", "c", "aa"]);
        let oldest = Order::by(SortKey::Oldest);
        assert_eq!(names(&watch, oldest), ["b", "c", "a", "aa"]);
        let name = fill.chosen(SortKey::Name);
        assert_eq!(names(&watch, name), ["a", "aa", "b", "c"]);
        assert_eq!(names(&watch, name.chosen(SortKey::Name)), ["c", "b", "aa", "a"]);
    }

    #[test]
    fn each_key_has_a_letter_of_its_own() {
        for key in SortKey::ALL {
            assert_eq!(SortKey::of_letter(key.title().chars().next().unwrap()), Some(key));
        }
        assert_eq!(SortKey::of_letter('q'), None);
    }
}
