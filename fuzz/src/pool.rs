//! Pool files that something else has written, or has changed with right checksums: opened, read, followed, appended to, recovered, examined, salvaged
//! and resized.
//!
//! The first byte of an input says how its file is made; see [`file_of`].

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plasmite_core::{Durability, Error, OpenOptions, Pool, Seq, Timestamp, doctor};

/// The rest of the input is the file itself, instead of changes of a pool.
const RAW: u8 = 1;
/// The checksum of the static header is made right again.
const HEADER_CRC: u8 = 2;
/// So are those of the frames, each of which names the one before it.
const FRAME_CRCS: u8 = 4;
/// As after a power loss.
const OTHER_BOOT: u8 = 8;
/// The ring of the pool that is changed has not turned.
const FEW: u8 = 16;
/// The file is resized too.
const RESIZE: u8 = 32;

const SIZE: usize = 8192;
const BOOT_ID: std::ops::Range<usize> = 832..848;
const WRITER_LOCK: std::ops::Range<usize> = 512..516;

struct Base {
    dir: tempfile::TempDir,
    turned: Vec<u8>,
    few: Vec<u8>,
}

thread_local! {
    static BASE: OnceCell<Base> = const { OnceCell::new() };
}

fn base() -> Base {
    let memory = std::env::var_os("TMPDIR").map_or("/dev/shm".into(), PathBuf::from);
    let dir = if memory.is_dir() { tempfile::tempdir_in(&memory) } else { tempfile::tempdir() };
    let dir = dir.unwrap();
    let pool_of = |name: &str, count: u64| {
        let path = dir.path().join(name);
        let options = OpenOptions::new().clock(|| Timestamp::from_nanos(1_700_000_000_000_000_000));
        drop(Pool::create(&path, SIZE as u64).unwrap());
        let pool = options.open(&path).unwrap();
        for n in 1..=count {
            let text = format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(n as usize * 37 % 150));
            pool.append(text.as_bytes(), &["a", "é"][..n as usize % 3], Durability::Fast).unwrap();
        }
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        bytes
    };
    let (turned, few) = (pool_of("turned", 60), pool_of("few", 5));
    Base { dir, turned, few }
}

/// Makes a file of an input: changes are a place (2 bytes), a length (1 byte, 1 to 16) and so many bytes.
fn file_of(base: &Base, data: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (how, mut rest) = data.split_first()?;
    if how & RAW != 0 {
        let mut file = rest.to_vec();
        if how & HEADER_CRC != 0 {
            file.resize(SIZE.max(file.len()), 0);
            repair_header(&mut file);
        }
        return Some((*how, file));
    }
    let mut file = if how & FEW != 0 { base.few.clone() } else { base.turned.clone() };
    let original = file.clone();
    while let Some((head, after)) = rest.split_first_chunk::<3>() {
        let at = usize::from(u16::from_le_bytes([head[0], head[1]])) % SIZE;
        let len = (usize::from(head[2]) % 16 + 1).min(after.len()).min(SIZE - at);
        file[at..at + len].copy_from_slice(&after[..len]);
        rest = &after[len..];
    }
    if how & HEADER_CRC != 0 {
        repair_header(&mut file);
    }
    if how & FRAME_CRCS != 0 {
        repair_frames(&original, &mut file);
    }
    Some((*how, file))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

fn repair_header(file: &mut [u8]) {
    let crc = crc32c(&file[..88]);
    file[88..92].copy_from_slice(&crc.to_le_bytes());
}

/// Each frame of the original, where it lies, with the lengths that it has now.
fn repair_frames(original: &[u8], file: &mut [u8]) {
    let (slots, ring, ring_bytes) =
        (u64_at(original, 32), u64_at(original, 40) as usize, u64_at(original, 48) as usize);
    let mut link = None;
    for seq in u64_at(original, 584)..=u64_at(original, 576) {
        let slot = 4096 + (seq % slots) as usize * 4;
        let start = u32_at(original, slot) as usize * 8;
        let at = |offset: usize| ring + (start + offset) % ring_bytes;
        let put = |file: &mut [u8], offset: usize, value: u32| {
            for (i, byte) in value.to_le_bytes().into_iter().enumerate() {
                file[at(offset + i)] = byte;
            }
        };
        let get = |file: &[u8], range: std::ops::Range<usize>| -> Vec<u8> {
            range.map(|offset| file[at(offset)]).collect()
        };
        let len = (u32_at(&get(file, 32..36), 0) as usize).min(ring_bytes - 36);
        if let Some(link) = link {
            put(file, 4, link);
        }
        let payload = get(file, 36..36 + len);
        put(file, 0, crc32c(&payload));
        let crc = crc32c(&get(file, 0..36));
        put(file, 0, crc);
        link = Some(crc);
    }
    // The tip of the newest one.
    let tip = if u64_at(original, 640) == u64_at(original, 576) { 640 } else { 704 };
    if let Some(link) = link {
        file[tip + 32..tip + 36].copy_from_slice(&link.to_le_bytes());
    }
}

/// CRC32C, as RFC 3720 has it.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

pub fn run(data: &[u8]) {
    BASE.with(|cell| {
        let base = cell.get_or_init(base);
        let Some((how, mut file)) = file_of(base, data) else { return };
        // A lock that a living process holds is waited for, which is not what is looked for here.
        if let Some(lock) = file.get_mut(WRITER_LOCK) {
            lock.fill(0);
        }
        if let Some(boot) = file.get_mut(BOOT_ID) {
            if how & OTHER_BOOT != 0 {
                boot.fill(0xaa);
            } else {
                boot.copy_from_slice(&base.few[BOOT_ID]);
            }
        }
        let path = base.dir.path().join("p.plasmite");
        fs::write(&path, &file).unwrap();
        examine(&path, &base.dir.path().join("out.plasmite"));
        assert_eq!(fs::read(&path).unwrap(), file, "who only reads has written");
        if let Ok(pool) = open(&path, false) {
            append(&pool);
        }
        let _ = doctor::check(&path);
        if how & RESIZE != 0 {
            resize(&path);
        }
        let _ = fs::remove_file(&path);
    });
}

fn open(path: &Path, read_only: bool) -> Result<Pool, Error> {
    OpenOptions::new().read_only(read_only).patience(Duration::ZERO).open(path)
}

fn examine(path: &Path, out: &Path) {
    let report = doctor::check(path);
    if let Ok(pool) = open(path, true) {
        read(&pool);
    }
    if let Ok(report) = &report {
        assert!(serde_json::from_str::<serde_json::Value>(&report.to_json()).is_ok());
    }
    if let Ok(saved) = doctor::salvage(path, out) {
        let report = doctor::check(out).unwrap();
        assert!(!report.is_damaged(), "{}", report.to_json());
        assert_eq!(report.intact, saved.bounds.count());
        fs::remove_file(out).unwrap();
    }
}

fn read(pool: &Pool) {
    let _ = pool.info().map(|info| info.to_json());
    let _ = pool.seq_at(Timestamp::from_nanos(1_700_000_000_000_000_000));
    let _ = pool.log_range().and_then(|range| pool.log_seek(range.start));
    let Ok(bounds) = pool.bounds() else { return };
    let seqs = bounds.oldest.get().saturating_sub(2)..=bounds.newest.get().saturating_add(2);
    for message in seqs.take(300).filter_map(|seq| pool.get(Seq::new(seq)).ok()) {
        assert_eq!(message.to_json().len() + 1, message.line_len() as usize);
    }
    let Ok(mut tail) = pool.tail(Default::default()) else { return };
    for _ in 0..300 {
        match tail.try_next() {
            Ok(Some(_)) => {}
            _ => break,
        }
    }
}

fn append(pool: &Pool) {
    read(pool);
    for len in [1, 700, 5000] {
        let text = format!("{{\"new\":\"{}\"}}", "y".repeat(len));
        if let Ok(receipt) = pool.append(text.as_bytes(), &["new"], Durability::Fast) {
            // A forged index may lead elsewhere, but never to a text that is no message.
            if let Ok(message) = pool.get(receipt.seq) {
                assert_eq!(message.data(), text);
            }
        }
    }
    read(pool);
}

fn resize(path: &Path) {
    for size in [12_000, 8192] {
        if Pool::resize(path, size).is_ok() {
            let report = doctor::check(path).unwrap();
            let whole = report.findings.iter().all(|f| f.part != "frame" && f.part != "index");
            assert!(whole, "{}", report.to_json());
        }
    }
}
