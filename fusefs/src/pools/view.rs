//! What a directory shows of a pool: all of it, or what passes a filter.

use std::ffi::OsStr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plasmite_core::{Message, Pool, Seq, Timestamp};

use super::{PoolDir, TextNodes};
use crate::errno::{Errno, Reply};
use crate::ino::{DirId, Fixed, Ino};
use crate::names::{Meaning, meaning, meaning_among_tags};
use crate::sync::lock;
use crate::views::Matches;

/// Which messages a directory shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Those with all of these tags.
    pub(crate) tags: Arc<[String]>,
    /// Those that are not older than any of these.
    since: Vec<Since>,
}

/// A point in time, as the name of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// So long ago, whenever one looks.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl Since {
    /// Reads `10m`, or an RFC 3339 time.
    fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            "w" => 7 * 24 * 60 * 60,
            _ => return Timestamp::parse(text).ok().map(Self::At),
        };
        let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
        Some(Self::Ago(Duration::from_secs(seconds)))
    }

    fn time(self) -> Timestamp {
        match self {
            Self::Ago(duration) => Timestamp::now().earlier_by(duration),
            Self::At(time) => time,
        }
    }
}

impl Filter {
    /// This filter, narrowed by the name of a directory in `Fixed::Tags`, `Fixed::Since` or (a tag, too) a view itself.
    fn narrowed(&self, by: Fixed, name: &str) -> Option<Self> {
        let mut filter = self.clone();
        match by {
            Fixed::Since => filter.since.push(Since::parse(name)?),
            _ if filter.tags.iter().any(|tag| tag == name) => {}
            _ => filter.tags = filter.tags.iter().cloned().chain([name.to_owned()]).collect(),
        }
        Some(filter)
    }
}

/// A directory of the mount that shows a pool, which it dereferences to: the pool's own, or one in its `tags` or `since`.
pub(crate) struct View {
    /// Its number in this mount.
    pub(crate) id: DirId,
    /// What it shows.
    pub(crate) filter: Filter,
    /// The messages with the filter's tags; None when it asks for none.
    pub(crate) matches: Option<Arc<Matches>>,
    /// The inodes of its `log` and `errors`.
    pub(crate) texts: Mutex<TextNodes>,
    home: Arc<PoolDir>,
    /// Its path from the pool's own directory on.
    within: PathBuf,
    pub(super) lookups: AtomicU64,
}

impl Deref for View {
    type Target = PoolDir;

    fn deref(&self) -> &PoolDir {
        &self.home
    }
}

impl View {
    /// A pool's own directory.
    pub(super) fn whole(id: DirId, home: PoolDir) -> Self {
        Self::new(id, Arc::new(home), Filter::default(), PathBuf::new())
    }

    /// The directory `name` in this one, or in its `tags` or `since`. ENOENT when that is no name of one.
    pub(super) fn narrowed(&self, id: DirId, by: Fixed, name: &OsStr) -> Reply<Self> {
        let text = name.to_str().ok_or(Errno::ENOENT)?;
        let filter = self.filter.narrowed(by, text).ok_or(Errno::ENOENT)?;
        let holder = match by {
            Fixed::Tags => self.within.join("tags"),
            Fixed::Since => self.within.join("since"),
            _ => self.within.clone(),
        };
        Ok(Self::new(id, Arc::clone(&self.home), filter, holder.join(text)))
    }

    fn new(id: DirId, home: Arc<PoolDir>, filter: Filter, within: PathBuf) -> Self {
        let matches =
            (!filter.tags.is_empty()).then(|| Arc::new(Matches::new(Arc::clone(&filter.tags))));
        let (texts, lookups) = (Mutex::default(), AtomicU64::new(0));
        Self { id, filter, matches, texts, home, within, lookups }
    }

    /// The pool's directory itself, without a filter.
    pub(crate) fn is_whole(&self) -> bool {
        self.within.as_os_str().is_empty()
    }

    /// Messages go by their tags here.
    pub(crate) fn is_tagged(&self) -> bool {
        self.matches.is_some()
    }

    /// The pool that it shows.
    pub(super) fn home(&self) -> &PoolDir {
        &self.home
    }

    /// Its path in the mount now.
    pub(crate) fn mount_path(&self) -> PathBuf {
        Path::new(&self.name()).join(&self.within)
    }

    /// What a name means in it.
    pub(crate) fn meaning(&self, name: &OsStr) -> Meaning {
        if self.is_tagged() { meaning_among_tags(name) } else { meaning(name) }
    }

    /// The number of one of the things that it has once.
    pub(crate) fn ino(&self, what: Fixed) -> Ino {
        Ino::Fixed(self.id, what)
    }

    /// True for the messages that it shows.
    pub(crate) fn shows(&self, message: &Message) -> bool {
        message.has_tags(&self.filter.tags)
            && self.filter.since.iter().all(|since| message.time() >= since.time())
    }

    /// Where a `log` that is opened now begins, in the text behind it.
    pub(crate) fn log_start(&self, pool: &Pool) -> Reply<u64> {
        let start = self.start(pool)?;
        Ok(match &self.matches {
            None => pool.log_start(start)?,
            Some(matches) => matches.from(pool, start)?.1,
        })
    }

    /// The oldest message that is not too old for it, whatever its tags.
    pub(crate) fn start(&self, pool: &Pool) -> Reply<Seq> {
        let mut start = pool.bounds()?.oldest;
        for since in &self.filter.since {
            start = start.max(pool.seq_at(since.time())?);
        }
        Ok(start)
    }

    /// The oldest and newest message that it shows.
    pub(crate) fn ends(&self, pool: &Pool) -> Reply<Option<(Seq, Seq)>> {
        let start = self.start(pool)?;
        let ends = match &self.matches {
            None => {
                let newest = pool.bounds()?.newest;
                (start <= newest).then_some((start, newest))
            }
            Some(matches) => {
                let (first, _) = matches.from(pool, start)?;
                first.zip(matches.latest(pool)?)
            }
        };
        Ok(ends)
    }

    /// The kernel was given the directory's inode once more.
    pub(crate) fn looked_up(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives memory back, if nobody needs it right now.
    pub(super) fn tidy(&self) {
        let mut texts = lock(&self.texts);
        if let Some(matches) = self.matches.as_ref().filter(|_| !texts.any_open())
            && matches.tidy()
        {
            texts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_durations_or_rfc_3339() {
        let ago = |seconds| Some(Since::Ago(Duration::from_secs(seconds)));
        for (text, since) in [
            ("90s", ago(90)),
            ("10m", ago(600)),
            ("2h", ago(7200)),
            ("1d", ago(86400)),
            ("1w", ago(604_800)),
            ("0s", ago(0)),
            ("m", None),
            ("10", None),
            ("10x", None),
            ("-1m", None),
            ("99999999999999999999s", None),
            ("18446744073709551615w", None),
            ("yesterday", None),
            ("1970-01-01T00:00:01Z", Some(Since::At(Timestamp::from_nanos(1_000_000_000)))),
        ] {
            assert_eq!(Since::parse(text), since, "{text}");
        }
        assert_eq!(Since::Ago(Duration::MAX).time(), Timestamp::from_nanos(0));
    }

    #[test]
    fn a_tag_that_is_asked_for_already_narrows_nothing() {
        let filter = Filter::default().narrowed(Fixed::Tags, "a").expect("a tag");
        let twice = filter.narrowed(Fixed::Dir, "b").and_then(|f| f.narrowed(Fixed::Tags, "a"));
        assert_eq!(*twice.expect("tags").tags, ["a", "b"].map(str::to_owned));
    }
}
