//! Every short history, and long ones at random.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::disk::{SECTOR, Segment, Trace};
use super::histories::{Choose, Op, Start, play};
use super::judge::{Figures, Judge, PAGE, after_restart, options};
use crate::Durability::{Fast, Flush};
use crate::checks::{Random, scratch_dir};
use crate::{Durability, Pool, Seq};

/// Every image when there are few enough, else so many at random.
struct UpTo {
    unit_bytes: usize,
    most: u64,
    random: Random,
}

impl Choose for UpTo {
    fn images(&mut self, trace: &Trace, see: &mut dyn FnMut(&Segment, &[u8], usize)) {
        for segment in trace.segments(self.unit_bytes) {
            if segment.count() <= self.most {
                segment.every_image(|image, moment| see(&segment, image, moment));
            } else {
                for _ in 0..self.most {
                    let (image, moment) = segment.any_image(&mut self.random);
                    see(&segment, &image, moment);
                }
            }
        }
    }
}

/// Of pages that are torn into sectors: the images in which all but two sectors are of one moment.
struct NearlyWhole;

impl Choose for NearlyWhole {
    fn images(&mut self, trace: &Trace, see: &mut dyn FnMut(&Segment, &[u8], usize)) {
        for segment in trace.segments(SECTOR) {
            segment.nearly_whole_images(|image, moment| see(&segment, image, moment));
        }
    }
}

fn every_page() -> UpTo {
    UpTo { unit_bytes: PAGE, most: u64::MAX, random: Random::new(1) }
}

/// The smallest pool: the header page, and one with index and ring.
const SMALLEST: u64 = 8192;
/// A pool with a page of index in which there is nothing of the ring, so that a flush leaves it behind.
const INDEX_APART: u64 = 81_920;

fn unused() -> Start {
    Start::after("a new pool", SMALLEST, &[])
}

fn turned() -> Start {
    let ops: Vec<_> = [Op::Fast(300), Op::Fast(0), Op::Flush(200), Op::Fast(700)].repeat(6);
    Start::after("a ring that has turned", SMALLEST, &ops)
}

fn turned_without_flush() -> Start {
    Start::after("a ring that has turned and was never flushed", SMALLEST, &[Op::Fast(410); 20])
}

fn about_to_turn() -> Start {
    let mut ops = vec![Op::Flush(0)];
    ops.extend([Op::Fast(500); 6]);
    Start::after("a flushed ring that is nearly full", SMALLEST, &ops)
}

fn out_of_slots() -> Start {
    let mut ops = vec![Op::Fast(0); 70];
    ops.insert(65, Op::Flush(0));
    Start::after("a ring that has more room than slots", SMALLEST, &ops)
}

/// Calls `see` for every history of 1 to `len` operations out of `alphabet`.
fn every_history(alphabet: &[Op], len: u32, mut see: impl FnMut(&[Op])) {
    let n = alphabet.len();
    for len in 1..=len {
        for mut number in 0..n.pow(len) {
            let mut ops = Vec::new();
            for _ in 0..len {
                ops.push(alphabet[number % n]);
                number /= n;
            }
            see(&ops);
        }
    }
}

const OPS: [Op; 8] = [
    Op::Fast(0),
    Op::Fast(900),
    Op::Flush(0),
    Op::Flush(900),
    Op::FlushBeside(40),
    Op::Sync,
    Op::LossOfAll,
    Op::LossOfNothing,
];

fn all_histories(start: Start, alphabet: &[Op], len: u32, second_of: u64) -> Figures {
    let mut judge = Judge::new(second_of);
    every_history(alphabet, len, |ops| play(&start, ops, &mut every_page(), &mut judge));
    eprintln!("{}: {:?}", start.name, judge.figures);
    judge.figures
}

#[test]
fn every_history_of_three_operations_on_a_new_pool_survives_a_power_loss_at_any_moment() {
    all_histories(unused(), &OPS, 3, 64);
}

#[test]
fn every_history_of_three_operations_on_a_ring_that_turns_survives_a_power_loss_at_any_moment() {
    all_histories(turned(), &OPS, 3, 64);
}

#[test]
fn every_history_of_two_operations_that_overwrite_promised_messages_survives_a_power_loss() {
    let most = [OPS.as_slice(), &[Op::Fast(3000), Op::Flush(3000), Op::Batch(40, Fast)]].concat();
    for start in [turned_without_flush(), about_to_turn(), out_of_slots()] {
        all_histories(start, &most, 2, 32);
    }
}

#[test]
fn every_single_operation_survives_a_power_loss_that_tears_pages_at_any_sector() {
    let most = [OPS.as_slice(), &[Op::Batch(40, Flush)]].concat();
    for start in [unused(), turned(), turned_without_flush(), about_to_turn(), out_of_slots()] {
        let mut judge = Judge::new(16);
        let mut sectors = UpTo { unit_bytes: SECTOR, most: 6000, random: Random::new(3) };
        every_history(&most, 1, |ops| play(&start, ops, &mut sectors, &mut judge));
        eprintln!("{}, by sectors: {:?}", start.name, judge.figures);
    }
}

#[test]
fn what_was_promised_beside_other_writers_survives_until_it_is_evicted() {
    let large = Start::after("one large message", SMALLEST, &[Op::Fast(1800)]);
    let mut judge = Judge::new(200);
    let ops = [Op::FlushBeside(0), Op::Fast(1800), Op::Fast(0), Op::LossOfNothing];
    every_history(&ops, 2, |ops| play(&large, ops, &mut NearlyWhole, &mut judge));
    eprintln!("{}, nearly whole: {:?}", large.name, judge.figures);
}

#[test]
fn what_is_promised_of_a_ring_that_was_never_flushed_is_found_whatever_others_append_meanwhile() {
    let mut judge = Judge::new(500);
    let start = Start::after("a full ring without a flush", SMALLEST, &[Op::Fast(380); 20]);
    // So that the messages beside it lie across the ends of sectors in many ways.
    for len in (0..280).step_by(24) {
        play(&start, &[Op::FlushBeside(len)], &mut NearlyWhole, &mut judge);
    }
    eprintln!("{:?}", judge.figures);
}

#[test]
fn what_is_first_promised_of_a_new_pool_is_found_whatever_others_append_meanwhile() {
    let mut judge = Judge::new(500);
    // So that the messages beside it lie across the end of a sector that has nothing of the index.
    for len in (600..720).step_by(12) {
        play(&unused(), &[Op::FlushBeside(len)], &mut NearlyWhole, &mut judge);
    }
    eprintln!("{:?}", judge.figures);
}

#[test]
fn what_is_promised_is_found_though_its_part_of_the_index_stayed_behind() {
    // The index has 128 messages in a sector: the last of the first one is promised, and of those after it one may be torn, and the next
    // one whole and in the index.
    let mut before = vec![Op::Fast(0); 124];
    before.extend([Op::Flush(0); 2]);
    let start = Start::after("a sector of index nearly full", INDEX_APART, &before);
    let mut judge = Judge::new(500);
    play(&start, &[Op::Flush(0), Op::Fast(900), Op::Fast(0)], &mut NearlyWhole, &mut judge);
    eprintln!("{:?}", judge.figures);
    assert!(judge.figures.images > 100);
}

/// A history of many operations, with power losses among them.
fn long_history(random: &mut Random) -> (u64, Vec<Op>) {
    let size = [SMALLEST, SMALLEST + 1000, 12_288, 20_000, 40_960, INDEX_APART][random.below(6)];
    let longest = [100, 1000, size as usize / 4, size as usize / 2 - 400][random.below(4)];
    let flushes = [1, 4, 20][random.below(3)];
    let losses = [1, 10, 30][random.below(3)];
    let ops = (0..5 + random.below(40)).map(|_| {
        let len = random.below(longest);
        match random.below(100) {
            n if n < flushes => Op::Sync,
            n if n < flushes + losses => Op::Loss(random.next()),
            n if n < 60 => Op::Fast(len),
            n if n < 70 => {
                Op::Batch(len / 2, if random.below(flushes) == 0 { Flush } else { Fast })
            }
            _ if random.below(20) < flushes && random.below(2) == 0 => Op::FlushBeside(len),
            _ if random.below(20) < flushes => Op::Flush(len),
            _ => Op::Fast(len),
        }
    });
    (size, ops.collect())
}

/// Plays long histories until `done`; gives back how much that was.
fn long_histories(seed: u64, mut done: impl FnMut(u64) -> bool) -> Figures {
    let mut random = Random::new(seed);
    let mut total = Figures::default();
    while !done(total.histories) {
        let mut judge = Judge::new(4);
        for _ in 0..20 {
            let (size, ops) = long_history(&mut random);
            let unit_bytes = [SECTOR, SECTOR, PAGE][random.below(3)];
            let mut choose = UpTo { unit_bytes, most: 12, random: random.clone() };
            let start = Start::after("a new pool", size, &[]);
            play(&start, &ops, &mut choose, &mut judge);
        }
        total += judge.figures;
    }
    total
}

#[test]
fn long_histories_with_several_power_losses_lose_nothing_that_was_promised() {
    eprintln!("{:?}", long_histories(1, |histories| histories >= 200));
}

/// The same for PLASMITE_POWERLOSS_SECONDS, with other histories each time: `cargo xtask powerloss`.
#[test]
#[ignore = "takes as long as it is told to"]
fn long_histories_for_as_long_as_asked() {
    let number = |key| std::env::var(key).ok().and_then(|text| text.parse().ok());
    let seconds = number("PLASMITE_POWERLOSS_SECONDS").unwrap_or(60);
    let seed = number("PLASMITE_POWERLOSS_SEED")
        .unwrap_or_else(|| crate::Timestamp::now().as_nanos() / 1000);
    eprintln!("PLASMITE_POWERLOSS_SEED={seed}");
    let end = Instant::now() + Duration::from_secs(seconds);
    let figures = long_histories(seed, |_| Instant::now() >= end);
    eprintln!("{figures:?}");
}

#[test]
fn a_deletion_that_a_power_loss_undid_leaves_the_pool_as_it_was() {
    let dir = scratch_dir();
    let path = dir.path().join("p.plasmite");
    let pool = Pool::create(&path, SMALLEST).unwrap();
    pool.append::<&str>(b"{}", &[], Durability::Flush).unwrap();
    Pool::delete(&path).unwrap();
    // The header's page reached the disk, the directory's did not.
    let left = fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(pool.file())));
    fs::write(&path, after_restart(&left.unwrap())).unwrap();
    let reader = Pool::open_read_only(&path).unwrap();
    assert_eq!(reader.get(Seq::FIRST).unwrap().data(), "{}");
    let pool = options().open(&path).unwrap();
    assert_eq!(pool.get(Seq::FIRST).unwrap().data(), "{}");
    assert_eq!(reader.bounds().unwrap(), pool.bounds().unwrap());
    Pool::delete(&path).unwrap();
    assert_eq!(reader.bounds().unwrap_err().kind(), crate::ErrorKind::NotFound);
}

fn put_fast(pool: &Pool, text: &str) {
    pool.append::<&str>(text.as_bytes(), &[], Durability::Fast).unwrap();
}

/// A life in which message 2 reached the disk whole, message 1 not, and of the header what it was before them, or between the two. The
/// next one's pool, which has neither.
fn recovered_without_the_first(path: &Path, header_between: bool) -> Pool {
    let pool = Pool::create(path, SMALLEST).unwrap();
    let mut image = fs::read(path).unwrap();
    put_fast(&pool, &crate::checks::document(1, 1, 1500));
    if header_between {
        image = fs::read(path).unwrap();
    }
    put_fast(&pool, r#"{"life":1}"#);
    drop(pool);
    image.splice(PAGE.., fs::read(path).unwrap()[PAGE..].iter().copied());
    image[PAGE + SECTOR..PAGE + 2 * SECTOR].fill(0);
    fs::write(path, after_restart(&image)).unwrap();
    let pool = options().open(path).unwrap();
    assert!(pool.bounds().unwrap().is_empty());
    pool
}

/// Of what was done since `image`, the first `bytes` of the file reach the disk, and nothing is found.
fn nothing_is_found(path: &Path, mut image: Vec<u8>, bytes: usize) {
    image.splice(..bytes, fs::read(path).unwrap()[..bytes].iter().copied());
    fs::write(path, after_restart(&image)).unwrap();
    for pool in [Pool::open_read_only(path).unwrap(), options().open(path).unwrap()] {
        assert!(pool.bounds().unwrap().is_empty(), "{:?}", pool.get(Seq::new(2)));
    }
}

#[test]
fn a_message_that_one_recovery_gave_up_does_not_come_back_at_the_next() {
    let dir = scratch_dir();
    let path = dir.path().join("p.plasmite");
    let pool = recovered_without_the_first(&path, true);
    let image = fs::read(&path).unwrap();
    // Message 2 again; this time only the header reaches the disk.
    put_fast(&pool, r#"{"life":2}"#);
    assert_eq!(pool.bounds().unwrap().newest.get(), 2);
    drop(pool);
    nothing_is_found(&path, image, PAGE);
}

#[test]
fn a_message_that_was_given_up_does_not_come_back_in_the_place_of_the_next_one_of_its_number() {
    let dir = scratch_dir();
    let path = dir.path().join("p.plasmite");
    let pool = recovered_without_the_first(&path, false);
    let image = fs::read(&path).unwrap();
    // Both again, at the same places; this time header and index reach the disk.
    put_fast(&pool, &crate::checks::document(2, 1, 1500));
    put_fast(&pool, r#"{"life":2}"#);
    drop(pool);
    nothing_is_found(&path, image, PAGE + SECTOR);
}

#[test]
fn what_is_promised_is_found_behind_more_whole_messages_than_there_are_slots() {
    let dir = scratch_dir();
    let path = dir.path().join("p.plasmite");
    let pool = Pool::create(&path, INDEX_APART).unwrap();
    let put = |durability| pool.append::<&str>(b"{}", &[], durability).unwrap().seq.get();
    let slots = pool.info().unwrap().max_messages;
    (0..4 * slots).for_each(|_| {
        put(Durability::Fast);
    });
    // Evicted for want of slots, messages stay whole in the ring; and so does the index of one that was synced.
    let first = put(Durability::Flush);
    let mut image = fs::read(&path).unwrap();
    // The header of the flush's first sync, of two.
    image[crate::format::header::PERSISTED_SEQ_AT as usize..][..8].fill(0);
    let left_behind = 2 * PAGE;
    for promised in first + 1..first + slots / 2 {
        assert_eq!(put(Durability::Flush), promised);
        if promised % 50 == 0 || promised == first + 1 {
            image.splice(left_behind.., fs::read(&path).unwrap()[left_behind..].iter().copied());
            let path = dir.path().join("image");
            fs::write(&path, after_restart(&image)).unwrap();
            let oldest = pool.bounds().unwrap().oldest.get();
            for pool in [Pool::open_read_only(&path).unwrap(), options().open(&path).unwrap()] {
                let found = pool.bounds().unwrap();
                assert!(
                    found.oldest.get() <= oldest && found.newest.get() == promised,
                    "{found:?}"
                );
                (found.oldest.get()..=promised).for_each(|seq| {
                    pool.get(Seq::new(seq)).unwrap();
                });
            }
        }
    }
}
