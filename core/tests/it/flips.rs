//! Every single bit of a small pool, flipped: nobody panics, hangs or gets a wrong message; the doctor names it; what is intact is saved.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plasmite_core::doctor::{self, Report};
use plasmite_core::{Durability, ErrorKind, Message, OpenOptions, Pool, Seq};

use crate::support::{Watchdog, document};

const SIZE: usize = 8192;

/// What was in the pool before the flip.
struct Before {
    bytes: Vec<u8>,
    oldest: u64,
    newest: u64,
    /// By their seq, from `oldest` on.
    messages: Vec<String>,
    /// Bytes that something depends on.
    live: Vec<bool>,
    /// Bytes of which no value is impossible in a pool whose writers may have died.
    any_value: Vec<bool>,
}

impl Before {
    fn new(dir: &Path, count: u64) -> Self {
        let path = dir.join("before.plasmite");
        let pool = Pool::create(&path, SIZE as u64).unwrap();
        for n in 1..=count {
            let text = document(1, n, 60 + (n as usize * 37) % 190);
            let tags = &["odd", "all"][n as usize % 2..];
            pool.append(text.as_bytes(), tags, Durability::Fast).unwrap();
        }
        let bounds = pool.bounds().unwrap();
        let (oldest, newest) = (bounds.oldest.get(), bounds.newest.get());
        let messages =
            (oldest..=newest).map(|s| pool.get(Seq::new(s)).unwrap().to_json()).collect();
        drop(pool);
        let bytes = fs::read(&path).unwrap();
        let mut before = Self {
            live: vec![false; SIZE],
            any_value: vec![false; SIZE],
            bytes,
            oldest,
            newest,
            messages,
        };
        before.mark();
        before
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn mark(&mut self) {
        let (slots, ring, ring_bytes) = (self.word(32), self.word(40) as usize, self.word(48));
        // The static part; COMMITTED_SEQ and OLDEST_SEQ; STATE; the tip that counts.
        let tip = if self.word(640) == self.newest { 640..680 } else { 704..744 };
        for range in [0..92, 576..592, 596..600, tip] {
            self.live[range].fill(true);
        }
        for seq in self.oldest..=self.newest {
            let slot = 4096 + (seq % slots) as usize * 4;
            self.live[slot..slot + 4].fill(true);
            let units = u32::from_le_bytes(self.bytes[slot..slot + 4].try_into().unwrap());
            let at = |offset: u64| ring + ((u64::from(units) * 8 + offset) % ring_bytes) as usize;
            let len = (0..4).rev().fold(0, |n, i| n << 8 | u64::from(self.bytes[at(32 + i)]));
            (0..36 + len).for_each(|offset| self.live[at(offset)] = true);
        }
        // Locks may name any place there is; what is durable is at most what is there; any boot may have been the last.
        let words: [Range<usize>; 4] = [512..520, 768..776, 776..808, 832..848];
        words.into_iter().for_each(|range| self.any_value[range].fill(true));
    }

    /// A message that is read must be the one that was written with this seq.
    fn check(&self, message: &Message, what: &str) {
        let seq = message.seq().get();
        let place = seq.checked_sub(self.oldest).map(|i| i as usize);
        // Evicted ones may still be whole; their data tells.
        match place.and_then(|i| self.messages.get(i)) {
            Some(was) => assert_eq!(message.to_json(), *was, "{what}"),
            None => {
                assert!(message.data().contains(&format!("\"n\":{seq},")), "{what}: {message:?}")
            }
        }
    }
}

struct Flipped<'a> {
    before: &'a Before,
    path: PathBuf,
    out: PathBuf,
    what: String,
}

impl Flipped<'_> {
    fn open(&self, read_only: bool) -> Option<Pool> {
        let options = OpenOptions::new().patience(Duration::from_millis(1)).read_only(read_only);
        let start = Instant::now();
        let opened = loop {
            match options.open(&self.path) {
                // A child that another test is starting has this process' locks until its exec.
                Err(e)
                    if e.kind() == ErrorKind::Busy && start.elapsed() < Duration::from_secs(20) => {
                }
                opened => break opened,
            }
        };
        match opened {
            Ok(pool) => Some(pool),
            Err(e) => {
                let right = matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Usage);
                assert!(right, "{}: {e:?}", self.what);
                None
            }
        }
    }

    fn read(&self) {
        let Some(pool) = self.open(true) else { return };
        let seqs = self.before.oldest.saturating_sub(3)..=self.before.newest + 3;
        for message in seqs.filter_map(|seq| pool.get(Seq::new(seq)).ok()) {
            self.before.check(&message, &self.what);
        }
        let _ = pool.info();
        let _ = pool.log_range().and_then(|range| pool.log_seek(range.start));
        let Ok(mut tail) = pool.tail(Default::default()) else { return };
        for _ in 0..SIZE {
            match tail.try_next() {
                Ok(Some(message)) => self.before.check(&message, &self.what),
                _ => break,
            }
        }
    }

    fn examine(&self, at: usize) {
        let report = doctor::check(&self.path).unwrap_or_else(|e| panic!("{}: {e:?}", self.what));
        let found = !report.findings.is_empty();
        if self.before.live[at] {
            assert!(found, "{}: not noticed", self.what);
        } else if !self.before.any_value[at] {
            assert!(!report.is_damaged(), "{}: {}", self.what, report.to_json());
        }
        self.damage_is_where_it_is(&report, at);
    }

    /// Damage of a frame or a slot is told of the message that it is in.
    fn damage_is_where_it_is(&self, report: &Report, at: usize) {
        if at >= 4096 && self.before.live[at] {
            let finding = &report.findings[0];
            let seq = finding.seq.unwrap_or_else(|| panic!("{}: {finding:?}", self.what));
            let range = self.before.oldest..=self.before.newest;
            assert!(range.contains(&seq.get()) && finding.offset.is_some(), "{}", self.what);
            // What looks like the place of another frame may be that.
            assert!(report.intact + 1 >= self.before.messages.len() as u64, "{}", self.what);
        }
    }

    fn salvage(&self) {
        let saved = doctor::salvage(&self.path, &self.out)
            .unwrap_or_else(|e| panic!("{}: {e:?}", self.what));
        let pool = Pool::open_read_only(&self.out).unwrap();
        let seqs = saved.bounds.oldest.get()..=saved.bounds.newest.get();
        let data: Vec<String> =
            seqs.map(|seq| pool.get(Seq::new(seq)).unwrap().data().to_owned()).collect();
        fs::remove_file(&self.out).unwrap();
        // One flip damages one message at most; all others are there, in their order.
        let mut found = data.iter().peekable();
        let mut missing = 0;
        while found.peek().is_some_and(|d| {
            !self.before.messages[0].contains(*d) && !self.before.messages[1].contains(*d)
        }) {
            found.next();
        }
        for was in &self.before.messages {
            match found.peek() {
                Some(data) if was.contains(*data) => drop(found.next()),
                _ => missing += 1,
            }
        }
        assert!(missing <= 1, "{}: {missing} are missing: {saved:?}", self.what);
        assert!(found.next().is_none(), "{}: {saved:?}", self.what);
    }

    fn append(&self) {
        let Some(pool) = self.open(false) else { return };
        for n in 0..3 {
            let text = document(2, n, 400);
            if let Ok(receipt) = pool.append(text.as_bytes(), &["new"], Durability::Fast) {
                let message =
                    pool.get(receipt.seq).unwrap_or_else(|e| panic!("{}: {e}", self.what));
                assert_eq!(message.data(), text, "{}", self.what);
            }
        }
        let Ok(bounds) = pool.bounds() else { return };
        for seq in (bounds.oldest.get()..=bounds.newest.get()).take(SIZE) {
            match pool.get(Seq::new(seq)) {
                Ok(message) if message.data().starts_with("{\"w\":1,") => {
                    self.before.check(&message, &self.what);
                }
                Ok(message) => assert!(message.data().starts_with("{\"w\":2,"), "{}", self.what),
                Err(_) => {}
            }
        }
    }
}

fn flip_all(count: u64, stride: usize) {
    let _watchdog = Watchdog::start(1800);
    // In memory: each salvage syncs a file.
    let memory = Path::new("/dev/shm");
    let tmp = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let tmp = tmp.unwrap();
    let before = Before::new(tmp.path(), count);
    let path = tmp.path().join("p.plasmite");
    fs::write(&path, &before.bytes).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for bit in (0..SIZE * 8).step_by(stride) {
        let (at, bit) = (bit / 8, bit % 8);
        let what = format!("byte {at} bit {bit}");
        let out = tmp.path().join("out.plasmite");
        let flipped = Flipped { before: &before, path: path.clone(), out, what };
        file.write_all_at(&[before.bytes[at] ^ 1 << bit], at as u64).unwrap();
        flipped.examine(at);
        flipped.salvage();
        flipped.read();
        flipped.append();
        file.write_all_at(&before.bytes, 0).unwrap();
    }
}

#[test]
fn every_bit_of_a_pool_whose_ring_has_turned() {
    flip_all(60, 1);
}

#[test]
fn bits_of_a_pool_whose_ring_has_room() {
    flip_all(6, 7);
}
