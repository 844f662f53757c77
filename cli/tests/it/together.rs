//! Several commands on one pool.

use std::thread;

use crate::support::{Sandbox, json_lines};

#[test]
fn two_followers_see_everything_of_two_feeders_in_one_order() {
    const EACH: u64 = 3000;
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64M"]).ok();
    let followers = [sandbox.follower("docs", &[]), sandbox.follower("docs", &["--jsonl"])];
    thread::scope(|scope| {
        for writer in ["a", "b"] {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let input: String =
                    (0..EACH).map(|n| format!("{{\"by\":\"{writer}\",\"n\":{n}}}\n")).collect();
                let ran = sandbox.run_with(&["feed", "docs", "--tag", writer], input.as_bytes());
                assert_eq!(ran.json_lines().len() as u64, EACH);
            });
        }
    });
    let seen: Vec<Vec<String>> =
        followers.iter().map(|follower| (0..2 * EACH).map(|_| follower.line()).collect()).collect();
    assert!(seen[0] == seen[1], "both saw the same");
    let messages = json_lines(&seen[0].join("\n"));
    assert!(messages.iter().zip(1_u64..).all(|(message, seq)| message["seq"] == seq));
    for writer in ["a", "b"] {
        let own: Vec<u64> = messages
            .iter()
            .filter(|message| message["data"]["by"] == writer)
            .map(|message| message["data"]["n"].as_u64().unwrap())
            .collect();
        assert!(own.iter().copied().eq(0..EACH), "{writer} kept its order");
    }
}

#[test]
fn create_and_feed_race_without_a_half_made_pool() {
    let sandbox = Sandbox::new();
    let sandbox = &sandbox;
    for round in 0..5 {
        let pool = format!("pool{round}");
        thread::scope(|scope| {
            for _ in 0..6 {
                let pool = &pool;
                scope.spawn(move || sandbox.run(&["feed", pool, "{}", "--create"]).ok());
            }
        });
        sandbox.run(&["fetch", &pool, "6"]).ok();
        sandbox.run(&["fetch", &pool, "7"]).fails(3);
    }
}
