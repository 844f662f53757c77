//! Files that are cut, deleted, replaced or made read-only under running commands, and pools that turn over under them.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Proc, Sandbox};

/// A command that reads, one that writes and one that does both, at work on `docs`.
struct Running {
    reader: Proc,
    writer: Proc,
    both: Proc,
}

impl Running {
    fn start(sandbox: &Sandbox) -> Self {
        sandbox.feed("docs", "{\"begin\":true}", &[]);
        let both = sandbox.spawn(&["duplex", "docs", "--me", "ann", "--tail", "1"]);
        both.json();
        let reader = sandbox.follower("docs", &[]);
        let writer = sandbox.spawn(&["feed", "docs"]);
        let mut running = Self { reader, writer, both };
        running.exchange();
        running
    }

    /// What is written is read, by those who read.
    fn exchange(&mut self) {
        self.writer.write("{\"said\":1}\n");
        let seq = self.writer.json()["seq"].clone();
        assert_eq!(self.reader.json()["seq"], seq);
        assert_eq!(self.both.json()["seq"], seq);
    }

    /// Each ends by itself, with this exit code and error: none by a signal.
    fn end(mut self, code: i32, kind: &str) {
        // Who writes finds out with a write; it may have ended before.
        for writer in [&mut self.writer, &mut self.both] {
            let mut stdin = writer.stdin.take().unwrap();
            while std::io::Write::write_all(&mut stdin, b"{\"more\":1}\n").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        }
        for (name, mut ended) in
            [("feed", self.writer), ("duplex", self.both), ("follow", self.reader)]
        {
            let (exit, err) = ended.end();
            assert_eq!(exit, Some(code), "{name}: {err}");
            let error: Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
            assert_eq!(error["error"]["kind"], kind, "{name}: {err}");
        }
    }
}

#[test]
fn a_file_cut_under_running_commands_ends_them_with_corrupt() {
    for len in [0, 5000] {
        let sandbox = Sandbox::with_docs();
        let running = Running::start(&sandbox);
        let file = File::options().write(true).open(sandbox.pool_file("docs")).unwrap();
        file.set_len(len).unwrap();
        running.end(7, "Corrupt");
    }
}

#[test]
fn a_file_deleted_under_running_commands_ends_them_with_not_found() {
    let deletions: [fn(&Sandbox); 2] = [
        |sandbox| fs::remove_file(sandbox.pool_file("docs")).unwrap(),
        |sandbox| drop(sandbox.run(&["pool", "delete", "docs"]).ok()),
    ];
    for delete in deletions {
        let sandbox = Sandbox::with_docs();
        let running = Running::start(&sandbox);
        delete(&sandbox);
        running.end(3, "NotFound");
    }
}

#[test]
fn a_file_replaced_under_running_commands_ends_them_and_is_not_written_to() {
    let sandbox = Sandbox::with_docs();
    let running = Running::start(&sandbox);
    sandbox.run(&["pool", "create", "new"]).ok();
    sandbox.feed("new", "{\"new\":1}", &[]);
    fs::rename(sandbox.pool_file("new"), sandbox.pool_file("docs")).unwrap();
    running.end(3, "NotFound");
    let there = sandbox.run(&["fetch", "docs", "..", "--data-only"]).ok();
    assert_eq!(there, "{\"new\":1}\n");
}

#[test]
fn a_file_made_read_only_stays_open_to_those_who_had_it_open() {
    let sandbox = Sandbox::with_docs();
    let mut running = Running::start(&sandbox);
    let file = sandbox.pool_file("docs");
    fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
    running.exchange();
    if !rustix::process::geteuid().is_root() {
        let error = sandbox.run(&["feed", "docs", "{}"]).fails(6);
        assert_eq!(error["kind"], "Permission");
    }
    sandbox.run(&["fetch", "docs", "1"]).ok();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
}

/// Document `n`, every byte of which can be told from `n`.
fn document(n: u64) -> String {
    let word = format!("{n}.");
    format!("{{\"n\":{n},\"pad\":\"{}\"}}", word.repeat((n as usize * 7919) % 90))
}

#[test]
fn commands_that_read_a_tiny_ring_beside_feeds_at_full_speed_print_every_byte_right() {
    const COUNT: u64 = 60_000;
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "8K"]).ok();
    let follow = sandbox.follower("docs", &["--jsonl"]);
    let data_only = sandbox.follower("docs", &["--data-only"]);
    let mut feed = sandbox.spawn(&["feed", "docs"]);
    let mut input = feed.stdin.take().unwrap();
    let feeder = thread::spawn(move || {
        for n in 1..=COUNT {
            std::io::Write::write_all(&mut input, format!("{}\n", document(n)).as_bytes()).unwrap();
        }
    });
    // Who looks at it meanwhile gets whole messages too, or is told that they are gone.
    let mut looked = 0;
    while !feeder.is_finished() {
        let ran = sandbox.run(&["fetch", "docs", "..", "--data-only"]);
        assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
        for line in ran.out.lines() {
            let n = serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap();
            assert_eq!(line, document(n));
            looked += 1;
        }
    }
    feeder.join().unwrap();
    assert_eq!(feed.rest().len() as u64, COUNT);
    assert_eq!(feed.end(), (Some(0), String::new()));
    let last = json!(COUNT);
    let mut before = 0;
    let mut read = 0;
    loop {
        let line = follow.line();
        let message: Value = serde_json::from_str(&line).unwrap();
        let n = message["seq"].as_u64().unwrap();
        assert!(n > before, "{n} after {before}");
        assert!(line.ends_with(&format!(",\"data\":{}}}", document(n))), "{line}");
        (before, read) = (n, read + 1);
        if message["seq"] == last {
            break;
        }
    }
    loop {
        let line = data_only.line();
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line, document(message["n"].as_u64().unwrap()));
        if message["n"] == last {
            break;
        }
    }
    eprintln!("{read} followed, {looked} fetched of {COUNT}");
}
