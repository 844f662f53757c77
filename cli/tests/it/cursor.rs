//! `follow --cursor-file`: a script goes on where it stopped.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Ran, Sandbox, json_lines};

fn feed_numbers(sandbox: &Sandbox, numbers: std::ops::RangeInclusive<u64>) {
    let input: String = numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect();
    sandbox.run_with(&["feed", "docs"], input.as_bytes()).ok();
}

/// One run that ends when nothing more is there.
fn run(sandbox: &Sandbox, more: &[&str]) -> Ran {
    let base = ["follow", "docs", "--data-only", "--timeout", "0s", "--cursor-file", "cur"];
    sandbox.run(&[&base[..], more].concat())
}

/// The numbers of one such run.
#[track_caller]
fn numbers(sandbox: &Sandbox, more: &[&str]) -> Vec<u64> {
    let ran = run(sandbox, more);
    assert_eq!((ran.code, ran.err.as_str()), (Some(124), ""), "{ran:?}");
    json_lines(&ran.out).iter().map(|data| data["n"].as_u64().unwrap()).collect()
}

#[test]
fn each_run_goes_on_where_the_last_one_stopped() {
    let sandbox = Sandbox::with_docs();
    feed_numbers(&sandbox, 1..=3);
    assert!(numbers(&sandbox, &[]).is_empty(), "the first run begins at the live edge");
    feed_numbers(&sandbox, 4..=6);
    assert_eq!(numbers(&sandbox, &[]), [4, 5, 6]);
    assert!(numbers(&sandbox, &["--tail", "5"]).is_empty(), "--tail is for the first run");
    feed_numbers(&sandbox, 7..=9);
    assert_eq!(numbers(&sandbox, &["--tag", "other"]), [0; 0], "not wanted is dealt with");
    assert!(numbers(&sandbox, &[]).is_empty());
    fs::remove_file(sandbox.path("cur")).unwrap();
    assert_eq!(numbers(&sandbox, &["--tail", "2"]), [8, 9]);
}

#[test]
fn one_at_a_time_delivers_each_once() {
    let sandbox = Sandbox::with_docs();
    feed_numbers(&sandbox, 1..=4);
    for n in 1..=4 {
        let ran = run(&sandbox, &["--since", "1h", "--one"]);
        assert_eq!(ran.ok(), format!("{{\"n\":{n}}}\n"));
    }
    assert_eq!(run(&sandbox, &["--one"]).code, Some(124));
}

#[test]
fn a_reader_killed_at_any_moment_skips_nothing() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "8M"]).ok();
    let args = ["follow", "docs", "--since", "1h", "--data-only", "--cursor-file", "cur"];
    let mut seen = Vec::new();
    let mut last = 0;
    for round in 0..20_u64 {
        feed_numbers(&sandbox, last + 1..=last + 500);
        last += 500;
        let reader = sandbox.spawn(&args);
        for _ in 0..=(round * 37 % 300) {
            seen.push(reader.line());
        }
        reader.signal(Signal::KILL);
        seen.extend(reader.rest());
    }
    let ran = sandbox.run(&[&args[..], &["--timeout", "0s"]].concat());
    seen.extend(ran.out.lines().map(str::to_owned));
    // A run that was killed in a write may have left half a line.
    let mut next = 1;
    for n in seen.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let n = n["n"].as_u64().unwrap();
        assert!(n <= next, "{next} was skipped");
        next = next.max(n + 1);
    }
    assert_eq!(next, last + 1);
}

#[test]
fn messages_that_no_reader_took_from_the_pipe_before_it_closed_come_again() {
    let sandbox = Sandbox::with_docs();
    feed_numbers(&sandbox, 1..=3);
    let script = "plasmite follow docs --tail 9 --cursor-file cur > /dev/full";
    let error = sandbox.finish(sandbox.shell(script), b"").fails(8);
    assert_eq!(error["kind"], "Io");
    assert_eq!(numbers(&sandbox, &[]), [1, 2, 3]);
}

#[test]
fn a_cursor_file_has_one_reader_at_a_time() {
    let sandbox = Sandbox::with_docs();
    let reader = sandbox.follower("docs", &["--cursor-file", "cur"]);
    let ran = run(&sandbox, &[]);
    assert_eq!(ran.fails(5)["kind"], "Busy");
    feed_numbers(&sandbox, 1..=1);
    reader.line();
    // With files of their own, readers do not care for each other.
    feed_numbers(&sandbox, 2..=2);
    let other = ["follow", "docs", "--tail", "9", "--timeout", "0s", "--cursor-file", "other"];
    assert_eq!(sandbox.run(&other).out.lines().count(), 2);
}

#[test]
fn what_is_no_cursor_is_refused_and_left_alone() {
    let sandbox = Sandbox::with_docs();
    let cursor = sandbox.path("cur");
    let wrong_time = r#"{"plasmite_cursor":1,"seq":1,"time":"noon","pool_id":"00","pool":"/x"}"#;
    for garbage in [
        &b"my precious notes\n"[..],
        b"{}",
        b"\0\0\0\0",
        b"\xff\xfe",
        b"{\"plasmite_cursor\":1,\"seq\":-1}",
        wrong_time.as_bytes(),
        &[b' '; 20_000],
    ] {
        fs::write(&cursor, garbage).unwrap();
        let error = run(&sandbox, &[]).fails(2);
        assert!(error["message"].as_str().unwrap().contains("no cursor file"), "{error}");
        assert_eq!(fs::read(&cursor).unwrap(), garbage);
    }
    fs::write(&cursor, r#"{"plasmite_cursor":2,"seq":1,"time":null,"pool_id":"00","pool":"/x"}"#)
        .unwrap();
    let error = run(&sandbox, &[]).fails(2);
    assert!(error["message"].as_str().unwrap().contains("form 2"), "{error}");
    fs::write(&cursor, "").unwrap();
    assert!(numbers(&sandbox, &[]).is_empty(), "an empty file, as mktemp makes it, is a new one");
    for (path, code) in [("/dev/null", 2), ("/nowhere/cur", 3), (".", 8)] {
        let base = ["follow", "docs", "--timeout", "0s", "--cursor-file"];
        let error = sandbox.run(&[&base[..], &[path]].concat()).fails(code);
        assert!(error["hint"].is_string() && error["path"].is_string(), "{error}");
    }
}

#[test]
fn a_cursor_of_another_pool_is_refused() {
    let sandbox = Sandbox::with_docs();
    sandbox.run(&["pool", "create", "events"]).ok();
    numbers(&sandbox, &[]);
    let args = ["follow", "events", "--timeout", "0s", "--cursor-file", "cur"];
    let error = sandbox.run(&args).fails(2);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("docs.plasmite") && message.contains("events"), "{error}");
}

#[test]
fn a_pool_that_moved_is_the_same_pool() {
    let sandbox = Sandbox::with_docs();
    feed_numbers(&sandbox, 1..=2);
    assert_eq!(numbers(&sandbox, &["--tail", "1"]), [2]);
    fs::rename(sandbox.pool_file("docs"), sandbox.pool_file("notes")).unwrap();
    sandbox.feed("notes", "{\"n\":3}", &[]);
    let args = ["follow", "notes", "--data-only", "--timeout", "0s", "--cursor-file", "cur"];
    assert_eq!(sandbox.run(&args).out, "{\"n\":3}\n");
}

#[test]
fn of_a_pool_that_was_created_again_everything_is_delivered() {
    let sandbox = Sandbox::with_docs();
    feed_numbers(&sandbox, 1..=9);
    assert_eq!(numbers(&sandbox, &["--tail", "1"]), [9]);
    sandbox.run(&["pool", "delete", "docs"]).ok();
    sandbox.run(&["pool", "create", "docs"]).ok();
    feed_numbers(&sandbox, 1..=3);
    let error = run(&sandbox, &["--error-on-gap"]).fails(9);
    assert_eq!(error["kind"], "RetentionGap");
    let ran = run(&sandbox, &[]);
    assert_eq!(ran.out, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    assert_eq!(json_lines(&ran.err)[0]["notice"]["kind"], "Recreated", "{ran:?}");
    assert!(numbers(&sandbox, &[]).is_empty());
}

#[test]
fn messages_overwritten_between_runs_are_told() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    numbers(&sandbox, &[]);
    feed_numbers(&sandbox, 1..=20_000);
    let error = run(&sandbox, &["--error-on-gap"]).fails(9);
    assert_eq!(error["seq"], 1);
    let ran = run(&sandbox, &[]);
    let first = json_lines(&ran.out)[0]["n"].as_u64().unwrap();
    let notice = &json_lines(&ran.err)[0]["notice"];
    assert_eq!((&notice["kind"], &notice["dropped"]), (&"Dropped".into(), &(first - 1).into()));
}

#[test]
fn messages_that_a_power_loss_took_back_do_not_make_it_skip_their_successors() {
    let sandbox = Sandbox::with_docs();
    feed_numbers(&sandbox, 1..=5);
    // The pool as the disk had it before messages 6 to 8.
    let file = sandbox.pool_file("docs");
    let before = sandbox.path("before");
    fs::copy(&file, &before).unwrap();
    feed_numbers(&sandbox, 6..=8);
    assert_eq!(numbers(&sandbox, &["--tail", "1"]), [8]);
    restore(&before, &file);
    feed_numbers(&sandbox, 106..=110);
    assert_eq!(numbers(&sandbox, &[]), [106, 107, 108, 109, 110]);
    restore(&before, &file);
    assert!(numbers(&sandbox, &[]).is_empty());
    feed_numbers(&sandbox, 206..=206);
    assert_eq!(numbers(&sandbox, &[]), [206]);
}

fn restore(from: &PathBuf, to: &PathBuf) {
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

#[test]
fn a_slow_pipe_gets_each_message_and_the_cursor_keeps_up() {
    let sandbox = Sandbox::with_docs();
    let reader = sandbox.follower("docs", &["--data-only", "--cursor-file", "cur"]);
    for n in 1..=3 {
        feed_numbers(&sandbox, n..=n);
        assert_eq!(reader.line(), format!("{{\"n\":{n}}}"));
    }
    reader.wait_until(|_| {
        let text = fs::read_to_string(sandbox.path("cur")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["seq"] == 3
    });
    drop(reader);
    std::thread::sleep(Duration::from_millis(1));
    assert!(numbers(&sandbox, &[]).is_empty());
}
