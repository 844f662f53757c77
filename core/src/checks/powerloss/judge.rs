//! Opens an image and judges what is there.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;

use super::disk::Trace;
use super::recorder::Recorder;
use crate::checks::{Random, document, scratch_dir};
use crate::format::header::{
    BOOT_ID_AT, PARTICIPANTS_AT, SYNC_LOCK_AT, WAITERS_AT, WRITER_LOCK_AT,
};
use crate::sys::observed::observe;
use crate::{Bounds, Durability, OpenOptions, Pool, Seq, Timestamp};

/// Bytes that the kernel writes at once.
pub(super) const PAGE: usize = 4096;
/// More images than this after one recovery are chosen from at random.
const MOST_AFTER_RECOVERY: u64 = 400;

/// What each message says; of those that may be there.
pub(super) type Contents = BTreeMap<u64, String>;

/// Messages `oldest..=promised` must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) oldest: u64,
    pub(super) promised: u64,
}

/// What is known of an image.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) contents: &'a Contents,
    /// [`digest_of_contents`].
    pub(super) contents_digest: u64,
    pub(super) demands: &'a [Demand],
    /// The newest message that was begun.
    pub(super) begun: u64,
    /// The history that led here, for who reads a failure.
    pub(super) history: &'a dyn std::fmt::Debug,
}

impl std::fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} after {:?}, {} begun", self.demands, self.history, self.begun)
    }
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) histories: u64,
    /// Different images after a first power loss.
    pub(super) images: u64,
    /// Images met before, with the same demands.
    pub(super) repeated: u64,
    /// Different images after a second power loss, during recovery.
    pub(super) second: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.histories += more.histories;
        self.images += more.images;
        self.repeated += more.repeated;
        self.second += more.second;
    }
}

/// Judges images, each once.
pub(super) struct Judge {
    dir: tempfile::TempDir,
    seen: HashSet<u64>,
    random: Random,
    pub(super) figures: Figures,
    /// Of how many images one is followed into a second power loss.
    pub(super) second_of: u64,
}

impl Judge {
    pub(super) fn new(second_of: u64) -> Self {
        let (seen, figures) = (HashSet::new(), Figures::default());
        Self { dir: scratch_dir(), seen, random: Random::new(second_of), figures, second_of }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Judges the image, and what a power loss during its recovery may leave.
    pub(super) fn judge(&mut self, image: &[u8], case: Case<'_>) {
        let image = after_restart(image);
        if !self.is_new(&image, case) {
            self.figures.repeated += 1;
            return;
        }
        self.figures.images += 1;
        let (events, recovered) = self.open(&image, case, self.figures.images.is_multiple_of(8));
        if !self.figures.images.is_multiple_of(self.second_of) {
            return;
        }
        let trace = Trace { base: image, events };
        let segments = trace.segments(PAGE);
        for (i, segment) in segments.iter().enumerate() {
            // Once it is open, what it holds is promised.
            let kept = Demand { oldest: recovered.oldest.get(), promised: recovered.newest.get() };
            let mut demands = case.demands.to_vec();
            if i + 1 == segments.len() && i > 0 {
                demands.push(kept);
            }
            let case = Case { demands: &demands, ..case };
            let second = |judge: &mut Self, image: &[u8]| {
                let image = after_restart(image);
                if judge.is_new(&image, case) {
                    judge.figures.second += 1;
                    judge.open(&image, case, false);
                }
            };
            if segment.count() <= MOST_AFTER_RECOVERY {
                segment.every_image(|image, _| second(self, image));
            } else {
                let mut random = self.random.clone();
                for _ in 0..MOST_AFTER_RECOVERY / 4 {
                    second(self, &segment.any_image(&mut random).0);
                }
                self.random = random;
            }
        }
    }

    fn is_new(&mut self, image: &[u8], case: Case<'_>) -> bool {
        let mut digest = case.begun ^ case.contents_digest;
        for demand in case.demands {
            digest = mix(mix(digest, demand.oldest), demand.promised);
        }
        self.seen.insert(digest_of(&relevant(image), digest))
    }

    /// Opens the image, now and then for reading only before; gives back what recovery stored and what it kept.
    fn open(&self, image: &[u8], case: Case<'_>, go_on: bool) -> (Vec<super::disk::Event>, Bounds) {
        let path = self.path("image");
        let file =
            fs::File::options().write(true).create(true).truncate(false).open(&path).unwrap();
        file.set_len(image.len() as u64).unwrap();
        file.write_all_at(image, 0).unwrap();
        drop(file);
        if self.seen.len().is_multiple_of(4) {
            let reader = Pool::open_read_only(&path).unwrap_or_else(|e| panic!("{e} {case:?}"));
            check(&reader, case);
        }
        let recorder = Rc::new(Recorder::default());
        let observing = observe(recorder.clone());
        let pool = options().open(&path).unwrap_or_else(|e| panic!("{e} {case:?}"));
        drop(observing);
        let bounds = check(&pool, case);
        if go_on {
            goes_on(&pool, bounds.newest, case);
        }
        (recorder.take(), bounds)
    }
}

fn mix(digest: u64, word: u64) -> u64 {
    (digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

/// A number by which different bytes are told apart, but for one chance in 2⁶⁴ or so.
fn digest_of(bytes: &[u8], start: u64) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let digest = words.iter().fold(start, |digest, word| mix(digest, u64::from_le_bytes(*word)));
    rest.iter().fold(digest, |digest, byte| mix(digest, u64::from(*byte)))
}

/// The same of what messages say.
pub(super) fn digest_of_contents(contents: &Contents) -> u64 {
    contents.iter().fold(1, |digest, (seq, text)| digest_of(text.as_bytes(), mix(digest, *seq)))
}

/// A clock that stands still: images are the same in every run.
pub(super) fn options() -> OpenOptions {
    OpenOptions::new().clock(|| Timestamp::from_nanos(1_700_000_000_000_000_000))
}

/// The image as another boot of the machine finds it.
pub(super) fn after_restart(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image[BOOT_ID_AT as usize..][..16].fill(0xaa);
    image
}

/// The image without the words that recovery overwrites unseen: locks, sleepers, places.
fn relevant(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    for (at, bytes) in [(WRITER_LOCK_AT, 8), (SYNC_LOCK_AT, 8), (WAITERS_AT, 4)] {
        image[at as usize..][..bytes].fill(0);
    }
    image[PARTICIPANTS_AT as usize..PAGE].fill(0);
    image
}

/// A clean run of whole messages, every one what was appended, with all that was promised.
fn check(pool: &Pool, case: Case<'_>) -> Bounds {
    let bounds = pool.bounds().unwrap_or_else(|e| panic!("{e} {case:?}"));
    let (oldest, newest) = (bounds.oldest.get(), bounds.newest.get());
    assert!(newest <= case.begun, "{bounds:?}: more than was begun: {case:?}");
    for demand in case.demands.iter().filter(|d| d.promised >= d.oldest) {
        let there = oldest <= demand.oldest && newest >= demand.promised;
        assert!(there, "{bounds:?} without {demand:?}: {case:?}");
    }
    let mut log = 0;
    let mut time = Timestamp::default();
    for seq in oldest..=newest {
        let message = pool.get(Seq::new(seq)).unwrap_or_else(|e| panic!("{e} {case:?}"));
        let expected = case.contents.get(&seq).map(String::as_str);
        assert_eq!(Some(message.data()), expected, "message {seq}: {case:?}");
        assert!(message.time() >= time, "message {seq} goes back in time: {case:?}");
        time = message.time();
        log += message.to_json().len() as u64 + 1;
    }
    let range = pool.log_range().unwrap_or_else(|e| panic!("{e} {case:?}"));
    assert_eq!((range.end - range.start, range.bounds), (log, bounds), "the log: {case:?}");
    bounds
}

/// The pool takes messages again, around its ring.
fn goes_on(pool: &Pool, newest: Seq, case: Case<'_>) {
    for n in newest.get() + 1..newest.get() + 8 {
        let text = document(99, n, 900);
        let durability = if n % 2 == 0 { Durability::Flush } else { Durability::Fast };
        let receipt = pool.append::<&str>(text.as_bytes(), &[], durability);
        let receipt = receipt.unwrap_or_else(|e| panic!("{e} {case:?}"));
        assert_eq!(receipt.seq.get(), n, "{case:?}");
        let oldest = pool.bounds().unwrap().oldest.get();
        for seq in oldest..=n {
            let message = pool.get(Seq::new(seq)).unwrap_or_else(|e| panic!("{e} {case:?}"));
            if seq > newest.get() {
                assert_eq!(message.data(), document(99, seq, 900), "{case:?}");
            } else {
                assert_eq!(message.data(), case.contents[&seq], "{case:?}");
            }
        }
    }
}
