//! Power loss: images that a disk could hold are built from what memory held since the last sync.

use std::fs;

use plasmite_core::{Durability, Pool, Seq};

use crate::support::{Dir, NO_TAGS, check_document, document, put};

const SECTOR: usize = 512;
const BOOT_ID: std::ops::Range<usize> = 832..848;
const DURABLE: std::ops::Range<usize> = 784..792;
const PERSISTED: std::ops::Range<usize> = 792..800;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % n
    }
}

/// The header page, which a flush leaves behind.
const HEADER_BYTES: usize = 4096;

/// What the disk may hold of each sector: any version since the last sync.
struct Disk {
    versions: Vec<Vec<u8>>,
    /// The first that there may be of what is not the header.
    flushed: usize,
}

impl Disk {
    /// After an append that asked for a sync.
    fn flush(&mut self, after: &[u8]) {
        self.versions.push(after.to_vec());
        self.flushed = self.versions.len() - 1;
    }

    /// After an append before which `persisted` moved, for the sake of an eviction, or during which: the disk holds what memory held
    /// before, with the `durable` that the sync found, which is the `persisted` it left.
    fn sync(&mut self, before: &[u8], after: &[u8]) {
        let mut synced = before.to_vec();
        synced[DURABLE].copy_from_slice(&after[PERSISTED]);
        self.versions = vec![synced];
        self.flushed = 0;
    }

    fn image(&self, random: &mut Random, tearing: usize) -> Vec<u8> {
        let mut image = Vec::new();
        let mut version = random.below(self.versions.len());
        for at in (0..self.versions[0].len()).step_by(SECTOR) {
            if random.below(tearing) == 0 {
                version = random.below(self.versions.len());
            }
            if at >= HEADER_BYTES && version < self.flushed {
                version = self.flushed + random.below(self.versions.len() - self.flushed);
            }
            let end = (at + SECTOR).min(self.versions[0].len());
            image.extend_from_slice(&self.versions[version][at..end]);
        }
        // The machine was started again.
        image[BOOT_ID].fill(0xaa);
        image
    }
}

/// Opens an image and checks it: every promised message that was not evicted is there, and what is there is whole.
fn check(dir: &Dir, image: &[u8], promised: u64, oldest: u64, newest: u64) {
    let path = dir.path("image");
    fs::write(&path, image).unwrap();
    let reader = Pool::open_read_only(&path).unwrap();
    let seen = reader.bounds().unwrap();
    for seq in seen.oldest.get()..=seen.newest.get() {
        check_document(reader.get(Seq::new(seq)).unwrap().data());
    }
    let pool = Pool::open(&path).unwrap();
    let bounds = pool.bounds().unwrap();
    assert!(bounds.newest.get() <= newest, "{bounds:?} of {newest}");
    if promised >= oldest {
        assert!(
            bounds.oldest.get() <= oldest && bounds.newest.get() >= promised,
            "{bounds:?} must hold {oldest}..={promised}"
        );
        assert!(seen.oldest.get() <= oldest && seen.newest.get() >= promised, "{seen:?}");
    }
    for seq in bounds.oldest.get()..=bounds.newest.get() {
        let (_, n) = check_document(pool.get(Seq::new(seq)).unwrap().data());
        assert_eq!(n, seq);
    }
    let range = pool.log_range().unwrap();
    assert!(range.start <= range.end);
    // And it goes on, around the ring.
    for _ in 0..30 {
        let next = pool.bounds().unwrap().newest.get() + 1;
        let receipt =
            pool.append(document(2, next, 300).as_bytes(), NO_TAGS, Durability::Fast).unwrap();
        assert_eq!(receipt.seq.get(), next);
    }
    let bounds = pool.bounds().unwrap();
    for seq in bounds.oldest.get()..=bounds.newest.get() {
        check_document(pool.get(Seq::new(seq)).unwrap().data());
    }
    assert_eq!(Pool::open_read_only(&path).unwrap().bounds().unwrap(), bounds);
}

fn power_losses(flush_every: u64, rounds: u64, max_len: usize, seed: u64) {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    let file = dir.path("p");
    let mut random = Random(seed);
    let mut promised = 0;
    let start = fs::read(&file).unwrap();
    let mut disk = Disk { versions: vec![start], flushed: 0 };
    for n in 1..=rounds {
        let text = document(1, n, random.below(max_len));
        let before = fs::read(&file).unwrap();
        let is_flushed = n % flush_every == 0;
        let durability = if is_flushed { Durability::Flush } else { Durability::Fast };
        pool.append(text.as_bytes(), NO_TAGS, durability).unwrap();
        let after = fs::read(&file).unwrap();
        if before[PERSISTED] != after[PERSISTED] {
            disk.sync(&before, &after);
        }
        if is_flushed {
            promised = n;
            disk.flush(&after);
        } else {
            disk.versions.push(after);
        }
        let bounds = pool.bounds().unwrap();
        for tearing in [1, 2, 5, 20] {
            let image = disk.image(&mut random, tearing);
            check(&dir, &image, promised, bounds.oldest.get(), n);
        }
    }
}

#[test]
fn promised_messages_survive_a_power_loss_on_a_ring_with_room() {
    power_losses(3, 40, 60, 42);
}

#[test]
fn promised_messages_survive_a_power_loss_while_the_ring_turns() {
    power_losses(4, 200, 900, 4711);
}

#[test]
fn promised_messages_survive_a_power_loss_on_a_ring_of_two_messages() {
    power_losses(2, 100, 2500, 99);
}

#[test]
fn without_any_flush_a_power_loss_leaves_a_clean_run() {
    power_losses(u64::MAX, 120, 700, 7);
}

#[test]
fn a_sync_every_now_and_then_survives_many_turns_of_the_ring() {
    power_losses(61, 300, 700, 1234);
}

#[test]
fn a_copy_of_a_pool_in_use_opens_as_after_a_power_loss() {
    let dir = Dir::new();
    let pool = dir.pool("p", 65536);
    (1..=100).for_each(|n| {
        put(&pool, &document(1, n, 200));
    });
    let holder = crate::crash::stopped_in_the_lock(&dir.path("p"));
    let mut copy = fs::read(dir.path("p")).unwrap();
    // As on another machine, or after a restart of this one.
    copy[BOOT_ID].fill(0xaa);
    fs::write(dir.path("copy"), copy).unwrap();
    holder.go_on();
    let copy = Pool::open(&dir.path("copy")).unwrap();
    // The copied lock names a holder that has no lock on the copy.
    assert_eq!(put(&copy, "{}").seq.get(), 102);
}
