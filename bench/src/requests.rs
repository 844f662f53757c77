//! How many FUSE requests a mount gets for what a program does, by the log of the FUSE library.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};
use plasmite_fusefs::{Mount, MountOptions, listen_to_interrupts};

const ROUNDS: u64 = 50;

/// The requests since the last look, by kind.
static SEEN: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

struct Count;

impl Log for Count {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() == Level::Debug && record.target() == "fuser::request" {
            let text = record.args().to_string();
            if let Some(kind) = kind_of(&text) {
                *SEEN.lock().unwrap().entry(kind.to_owned()).or_default() += 1;
            }
        }
    }

    fn flush(&self) {}
}

/// The kind of the request of which a line of the log tells: `FUSE(NUMBER) ino NUMBER KIND … thread=NAME`. None for other lines. Of a
/// request that the library does not know, as STATX, which the kernel tries once, there is no kind.
fn kind_of(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("FUSE(")?.split_once(") ino ")?.1.split_whitespace();
    words.nth(1).map(|kind| if kind.starts_with("thread=") { "UNKNOWN" } else { kind })
}

/// What a program does once.
type Doing<'a> = &'a mut dyn FnMut(u64);

/// Requests for one operation.
pub(crate) struct Requests {
    /// What is done, and the kinds of the requests.
    pub(crate) name: String,
    pub(crate) each: f64,
    /// As many as the kernel can't do without.
    pub(crate) aim: f64,
}

/// Counts the requests of the operations that rows measure.
pub(crate) fn count(dir: &Path) -> Vec<Requests> {
    listen_to_interrupts(Box::new(Count), LevelFilter::Debug).unwrap();
    let mountpoint = dir.join("counted");
    let mount = Mount::start(MountOptions::new(dir.join("counted.pools"), &mountpoint)).unwrap();
    let docs = mountpoint.join("docs");
    fs::create_dir(&docs).unwrap();
    let mut line = File::create(docs.join("in")).unwrap();
    (0..500).for_each(|_| line.write_all(b"{\"a\":1}\n").unwrap());
    let mut text = [0; 256];
    let mut log = File::open(docs.join("log")).unwrap();
    let mut found = Vec::new();
    let mut note = |what: &str, aim: f64, doing: Doing<'_>| {
        found.push(measure(what, aim, doing));
    };
    note("write on an open descriptor", 1.0, &mut |_| line.write_all(b"{\"a\":1}\n").unwrap());
    note("create, write, close", 5.0, &mut |n| {
        File::create(docs.join(format!("{n}-a.json"))).unwrap().write_all(b"{\"a\":1}").unwrap();
    });
    note("open, write, close of one name, appending", 4.0, &mut |_| {
        let mut file = File::options().append(true).open(docs.join("in")).unwrap();
        file.write_all(b"{\"a\":1}\n").unwrap();
    });
    // Before it truncates, the kernel looks for security.capability; nothing but ENOSYS for all attributes would stop it.
    note("open, write, close of one name, truncating", 5.0, &mut |_| {
        File::create(docs.join("in")).unwrap().write_all(b"{\"a\":1}\n").unwrap();
    });
    note("first open, read, close of a message", 4.0, &mut |n| {
        let mut file = File::open(docs.join((n + 1).to_string())).unwrap();
        assert!(file.read(&mut text).unwrap() > 0);
    });
    note("another open, read, close of a message", 2.0, &mut |n| {
        let mut file = File::open(docs.join((n + 1).to_string())).unwrap();
        assert!(file.read(&mut text).unwrap() > 0);
    });
    note("first stat of a message", 1.0, &mut |n| {
        fs::metadata(docs.join((n + 201).to_string())).unwrap();
    });
    note("another stat of a message", 0.0, &mut |n| {
        fs::metadata(docs.join((n + 201).to_string())).unwrap();
    });
    note("open, read, close of a stream", 3.0, &mut |_| {
        let mut tail = File::open(docs.join("tail")).unwrap();
        assert!(tail.read(&mut text).unwrap() > 0);
    });
    note("read of an open log", 1.0, &mut |_| {
        log.rewind().unwrap();
        assert!(log.read(&mut text).unwrap() > 0);
    });
    drop((line, log));
    mount.unmounter().unmount().unwrap();
    mount.wait().unwrap();
    found
}

fn measure(what: &str, aim: f64, doing: Doing<'_>) -> Requests {
    // What comes after the answer, as RELEASE does, has arrived by then.
    let settle = || std::thread::sleep(Duration::from_millis(200));
    settle();
    SEEN.lock().unwrap().clear();
    (0..ROUNDS).for_each(doing);
    settle();
    let seen = SEEN.lock().unwrap();
    // To a tenth: the kernel asks once more for what it was told a while ago.
    let each = |n: u64| (10.0 * n as f64 / ROUNDS as f64).round() / 10.0;
    let counted = || seen.iter().filter(|(kind, _)| !kind.ends_with("FORGET"));
    let kinds: Vec<_> = counted()
        .filter_map(|(kind, n)| match each(*n) {
            0.0 => None,
            1.0 => Some(kind.clone()),
            each => Some(format!("{kind} × {each}")),
        })
        .collect();
    let name = format!("requests of {what}: {}", kinds.join(" "));
    Requests { name, each: each(counted().map(|(_, n)| n).sum()), aim }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_request_is_told_from_the_name_of_a_thread() {
        let lookup = "FUSE( 12) ino 0x0000000000000001 LOOKUP name \"a\" thread=fuser-0";
        assert_eq!(kind_of(lookup), Some("LOOKUP"));
        assert_eq!(kind_of("FUSE( 14) ino 0x0000000000000001 thread=fuser-0"), Some("UNKNOWN"));
        assert_eq!(kind_of("capability FUSE_DO_READDIRPLUS (a) enabled"), None);
    }

    #[test]
    fn no_request_is_made_that_a_flag_or_a_time_to_live_could_save() {
        // What the kernel was told to remember for a second it may ask again on a machine that is slow.
        const SLOW: f64 = 0.3;
        let dir = tempfile::tempdir().unwrap();
        for counted in count(dir.path()) {
            assert!(counted.each < counted.aim + SLOW, "{}: {}", counted.name, counted.each);
        }
    }
}
