//! Random operations by plain file calls against models that are plainly right.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use plasmite_core::{Durability, Message, Seq};

use crate::fixture::{Fixture, append, read};

/// `O_NONBLOCK` of all machines that the mount is built for.
const NONBLOCK: i32 = 0o4000;

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    /// One of `0..sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What the pool should hold.
struct Expected {
    text: String,
    tags: Vec<String>,
}

impl Expected {
    /// What it takes in the pool besides its header.
    fn payload(&self) -> u64 {
        (self.text.len() + self.tags.iter().map(|tag| tag.len() + 1).sum::<usize>()) as u64
    }
}

struct Model {
    /// The retained messages; the newest, of the number `newest`, is the last.
    retained: VecDeque<Expected>,
    newest: u64,
}

impl Model {
    fn oldest(&self) -> u64 {
        self.newest + 1 - self.retained.len() as u64
    }

    /// Lets go what the listing does not show any more, which may be the oldest messages only.
    fn check_listing(&mut self, docs: &Path) {
        let mut seqs: Vec<u64> = fs::read_dir(docs)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        seqs.sort_unstable();
        while self.retained.len() > seqs.len() {
            self.retained.pop_front();
        }
        assert!(seqs.iter().copied().eq(self.oldest()..=self.newest), "{seqs:?}");
    }

    fn check_log(&self, log: &Path) {
        let text = read(log);
        assert_eq!(text.len() as u64, fs::metadata(log).unwrap().len());
        self.check_lines(&text);
    }

    fn check_tail(&self, tail: &Path) {
        let mut file = File::options().read(true).custom_flags(NONBLOCK).open(tail).unwrap();
        let mut text = Vec::new();
        let error = file.read_to_end(&mut text).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        self.check_lines(std::str::from_utf8(&text).unwrap());
    }

    /// Nothing was let go without need, and what is there has its room.
    fn check_room(&self, info: &Path) {
        let info: serde_json::Value = serde_json::from_str(&read(info)).unwrap();
        let frame = |m: &Expected| (36 + m.payload()).next_multiple_of(8);
        let used: u64 = self.retained.iter().map(frame).sum();
        assert_eq!(info["used_bytes"], used);
        assert!(used <= info["ring_bytes"].as_u64().unwrap());
        assert_eq!(info["messages"], self.retained.len());
    }

    fn check_lines(&self, text: &str) {
        assert_eq!(text.lines().count(), self.retained.len());
        for (seq, (line, expected)) in (self.oldest()..).zip(text.lines().zip(&self.retained)) {
            check_envelope(line, seq, expected);
        }
    }

    fn check_message(&self, docs: &Path, seq: u64) {
        let (envelope, data) = (docs.join(seq.to_string()), docs.join(format!("{seq}.json")));
        let expected = seq.checked_sub(self.oldest()).and_then(|n| self.retained.get(n as usize));
        match expected {
            Some(expected) => {
                check_envelope(read(envelope).trim_end(), seq, expected);
                assert_eq!(read(data), format!("{}\n", expected.text));
            }
            None => {
                for path in [envelope, data] {
                    let error = fs::read(path).unwrap_err();
                    assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{seq}");
                }
            }
        }
    }
}

fn check_envelope(line: &str, seq: u64, expected: &Expected) {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(value["seq"], seq);
    assert_eq!(value["meta"]["tags"], serde_json::Value::from(expected.tags.clone()));
    assert!(line.ends_with(&format!("{}}}", expected.text)), "{line}");
}

/// The ways to write a message, of which the last one has it on disk when it returns.
const WAYS: u64 = 5;

/// Writes a message in one of them; in which directory is the caller's.
fn write(dir: &Path, way: u64, text: &str) -> std::io::Result<()> {
    match way {
        0 => fs::write(dir.join("a.json"), text),
        1 => File::options()
            .append(true)
            .create(true)
            .open(dir.join("in"))?
            .write_all(format!("{text}\n").as_bytes()),
        2 => {
            let draft = dir.join(".draft");
            let written = fs::write(&draft, text);
            written.and_then(|()| fs::rename(&draft, dir.join("b.json"))).inspect_err(|_| {
                fs::remove_file(&draft).unwrap();
            })
        }
        3 => {
            let mut file = File::create(dir.join("pieces.jsonl"))?;
            text.as_bytes().chunks(700).try_for_each(|piece| file.write_all(piece))
        }
        _ => {
            let mut file = File::create(dir.join("synced.jsonl"))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        }
    }
}

#[test]
fn a_directory_of_a_pool_is_the_newest_part_of_a_list() {
    for (seed, size) in [(0x9e37_79b9, 8192), (0xbf58_476d, 20_000), (0x94d0_49bb, 64_000)] {
        let mut f = Fixture::sized(size);
        let (docs, max) = (f.docs(), f.pool().max_message_bytes());
        let mut dice = Dice(seed);
        let mut model = Model { retained: VecDeque::new(), newest: 0 };
        let mut refused = 0;
        for n in 0..400 {
            match dice.roll(13) {
                0..7 => {
                    let longest = if dice.roll(8) == 0 { 9000 } else { 900 };
                    let len = dice.roll(longest);
                    let text = format!("{{\"n\":{n},\"f\":\"{}\"}}", "x".repeat(len as usize));
                    let tags = ["a", "b"][..dice.roll(3) as usize].to_vec();
                    let dir = tags.iter().fold(docs.clone(), |dir, tag| dir.join("tags").join(tag));
                    let way = dice.roll(WAYS);
                    let written = write(&dir, way, &text);
                    let tags = tags.iter().map(ToString::to_string).collect();
                    let message = Expected { text, tags };
                    match written {
                        Ok(()) => {
                            assert!(message.payload() <= max, "{}", message.payload());
                            model.retained.push_back(message);
                            model.newest += 1;
                            let durable = f.pool().info().unwrap().durable.get();
                            assert!(way < WAYS - 1 || durable == model.newest, "{durable}");
                        }
                        Err(error) => {
                            assert_eq!(error.raw_os_error(), Some(27), "{error}: not EFBIG");
                            assert!(message.payload() > max, "{}", message.payload());
                            refused += 1;
                        }
                    }
                    model.check_listing(&docs);
                }
                7..9 => {
                    let seq = (model.newest + 1).saturating_sub(dice.roll(60)).max(1);
                    model.check_message(&docs, seq);
                }
                9 => model.check_log(&docs.join("log")),
                10 => model.check_tail(&docs.join("tail")),
                11 => model.check_room(&docs.join("info.json")),
                _ => {
                    if dice.roll(4) == 0 {
                        f.remount();
                    }
                }
            }
        }
        assert!(model.oldest() > 1, "the ring did not turn over");
        assert!(refused > 0 || max > 9000, "nothing was too large");
    }
}

/// A file, open several times, and what it should hold.
struct Read3 {
    files: [File; 3],
    content: Vec<u8>,
}

impl Read3 {
    fn open(path: &Path) -> Self {
        let open = || File::open(path).unwrap();
        Self { files: [open(), open(), open()], content: fs::read(path).unwrap() }
    }

    /// Reads somewhere, in one of the ways there are.
    fn read(&mut self, dice: &mut Dice) {
        let len = self.content.len() as u64;
        let (offset, wanted) = (dice.roll(len + 50), dice.roll(len.min(70_000) + 50) as usize);
        let start = offset.min(len) as usize;
        let expected = &self.content[start..(start + wanted).min(len as usize)];
        let file = &mut self.files[dice.roll(3) as usize];
        let mut bytes = vec![0; wanted];
        let n = match dice.roll(3) {
            0 => file.read_at(&mut bytes, offset).unwrap(),
            1 => {
                file.seek(SeekFrom::Start(offset)).unwrap();
                file.read(&mut bytes).unwrap()
            }
            _ => {
                let back = SeekFrom::End(offset as i64 - len as i64);
                assert_eq!(file.seek(back).unwrap(), offset);
                let (first, second) = bytes.split_at_mut(wanted / 3);
                let mut parts = [IoSliceMut::new(first), IoSliceMut::new(second)];
                file.read_vectored(&mut parts).unwrap()
            }
        };
        assert!(bytes[..n] == *expected, "{wanted} bytes at {offset} of {len}: {n} came");
    }
}

/// SEMANTICS: log is a true file
#[test]
fn reads_at_random_places_give_what_is_there() {
    let f = Fixture::sized(256 << 10);
    let pool = f.pool();
    let docs = f.docs();
    let mut dice = Dice(0x1234_5678_9abc);
    let tagged = docs.join("tags/a/x.json");
    for n in 0..400 {
        let text = format!("{{\"n\":{n},\"f\":\"{}\"}}", "y".repeat(dice.roll(400) as usize));
        if dice.roll(4) == 0 {
            fs::write(&tagged, text).unwrap();
        } else {
            append(&pool, &text);
        }
    }
    append(&pool, &format!("{{\"large\":\"{}\"}}", "z".repeat(40_000)));
    let names = ["log", "tags/a/log", "since/1h/log", "401", "401.json", "7", "7.json"];
    let mut files = names.map(|name| Read3::open(&docs.join(name)));
    for round in 0..3000 {
        files[dice.roll(names.len() as u64) as usize].read(&mut dice);
        if round % 100 == 0 {
            // What is appended is at the end of the logs that are open.
            append(&pool, &format!("{{\"later\":{round}}}"));
            for which in [0, 2] {
                files[which].content = fs::read(docs.join(names[which])).unwrap();
            }
        }
    }
}

/// An open log, and all that was appended to it since it was opened.
struct Log {
    file: File,
    text: Vec<u8>,
    /// Where the line of each message begins.
    lines: Vec<(Seq, usize)>,
}

impl Log {
    fn open(path: &Path) -> Self {
        Self { file: File::open(path).unwrap(), text: Vec::new(), lines: Vec::new() }
    }

    fn push(&mut self, message: &Message) {
        self.lines.push((message.seq(), self.text.len()));
        self.text.extend_from_slice(message.to_json().as_bytes());
        self.text.push(b'\n');
    }

    /// Reads somewhere in what is retained.
    fn read(&self, oldest: Seq, dice: &mut Dice) {
        let len = self.text.len();
        assert_eq!(self.file.metadata().unwrap().len(), len as u64);
        let first = self.lines.iter().find(|(seq, _)| *seq >= oldest);
        let start = first.map_or(len, |(_, start)| *start);
        let offset = start + dice.roll((len - start) as u64 + 50) as usize;
        let mut bytes = vec![0; dice.roll(30_000) as usize + 1];
        let n = self.file.read_at(&mut bytes, offset as u64).unwrap();
        let expected = &self.text[offset.min(len)..(offset + bytes.len()).min(len)];
        assert!(bytes[..n] == *expected, "{} bytes at {offset} of {len}: {n} came", bytes.len());
    }
}

/// SEMANTICS: An open log outlives its oldest messages
#[test]
fn reads_at_random_places_of_a_log_that_turns_over_give_what_is_retained() {
    let f = Fixture::sized(64 << 10);
    let pool = f.pool();
    let mut dice = Dice(0x0bad_cafe_1234);
    let mut logs = ["log", "tags/a/log", "since/1h/log"].map(|log| Log::open(&f.docs().join(log)));
    for n in 0..4000 {
        let tags: &[&str] = if dice.roll(3) == 0 { &["a"] } else { &[] };
        let text = format!("{{\"n\":{n},\"f\":\"{}\"}}", "y".repeat(dice.roll(300) as usize));
        let receipt = pool.append(text.as_bytes(), tags, Durability::Fast).unwrap();
        let message = pool.get(receipt.seq).unwrap();
        for (log, shown) in logs.iter_mut().zip([true, !tags.is_empty(), true]) {
            if shown {
                log.push(&message);
            }
        }
        let log = &logs[dice.roll(3) as usize];
        log.read(pool.bounds().unwrap().oldest, &mut dice);
    }
    assert!(pool.bounds().unwrap().oldest.get() > 3000, "it did not turn over");
}
