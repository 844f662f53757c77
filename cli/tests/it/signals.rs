//! Ctrl-C, and death in the middle of work.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Proc, Sandbox, json_lines, waits_for_messages};

/// The command with the default reaction to SIGINT, which a test runner in the background may have switched off.
fn interruptible(sandbox: &Sandbox, args: &[&str]) -> Proc {
    sandbox.start(sandbox.wrapped(&["env", "--default-signal=INT"], args))
}

#[test]
fn interrupted_follow_ends_with_130() {
    let sandbox = Sandbox::with_docs();
    let mut follower = interruptible(&sandbox, &["follow", "docs", "--timeout", "1h"]);
    follower.wait_until(|pid| waits_for_messages(pid, "docs"));
    sandbox.feed("docs", "{}", &[]);
    follower.line();
    follower.signal(Signal::INT);
    assert_eq!(follower.end(), (Some(130), String::new()));
}

#[test]
fn interrupted_feed_ends_with_130_and_keeps_what_it_acknowledged() {
    let sandbox = Sandbox::with_docs();
    let mut feeder = interruptible(&sandbox, &["feed", "docs"]);
    feeder.write("{\"n\":1}\n{\"n\":");
    feeder.line();
    feeder.signal(Signal::INT);
    assert_eq!(feeder.end(), (Some(130), String::new()));
    assert_eq!(sandbox.run(&["fetch", "docs", "1", "--data-only"]).ok(), "{\"n\":1}\n");
    sandbox.run(&["fetch", "docs", "2"]).fails(3);
}

#[test]
fn a_killed_feeder_loses_nothing_it_acknowledged() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64M"]).ok();
    for round in 0..5 {
        let mut feeder = sandbox.spawn(&["feed", "docs"]);
        let mut stdin = feeder.stdin.take().unwrap();
        let writer = thread::spawn(move || {
            use std::io::Write as _;
            for n in 0_u64.. {
                if stdin.write_all(format!("{{\"round\":{round},\"n\":{n}}}\n").as_bytes()).is_err()
                {
                    return;
                }
            }
        });
        let mut receipts = vec![feeder.line()];
        thread::sleep(Duration::from_millis(70 * round));
        feeder.signal(Signal::KILL);
        feeder.status();
        writer.join().unwrap();
        // The last line may have been cut by the kill; the others are whole.
        receipts.extend(feeder.rest());
        if receipts.last().is_some_and(|line| !line.ends_with("}}")) {
            receipts.pop();
        }
        let seqs: Vec<u64> = json_lines(&receipts.join("\n"))
            .iter()
            .map(|receipt| receipt["seq"].as_u64().unwrap())
            .collect();
        let all = sandbox.run(&["follow", "docs", "--tail", "100000000", "--timeout", "0s"]);
        assert_eq!(all.code, Some(124));
        let kept: BTreeMap<u64, serde_json::Value> = json_lines(&all.out)
            .into_iter()
            .map(|mut message| (message["seq"].as_u64().unwrap(), message["data"].take()))
            .collect();
        for (n, seq) in seqs.iter().enumerate() {
            assert_eq!(kept[seq], serde_json::json!({"round": round, "n": n}));
        }
        // Others go on.
        sandbox.feed("docs", "{}", &[]);
    }
}
