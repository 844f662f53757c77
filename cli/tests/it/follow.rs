//! `plasmite follow`.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Sandbox, json_lines};

/// What `follow` with these options prints when nothing more arrives.
#[track_caller]
fn followed(sandbox: &Sandbox, args: &[&str]) -> Vec<serde_json::Value> {
    let mut all = vec!["follow", "docs", "--timeout", "0s", "--data-only"];
    all.extend(args);
    let ran = sandbox.run(&all);
    assert_eq!((ran.code, ran.err.as_str()), (Some(124), ""), "{ran:?}");
    json_lines(&ran.out)
}

fn numbered(sandbox: &Sandbox, count: u64) {
    let input: String = (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    sandbox.run_with(&["feed", "docs"], input.as_bytes()).ok();
}

#[test]
fn starts_at_the_live_edge_and_shows_each_message_at_once() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 2);
    let follower = sandbox.follower("docs", &[]);
    for seq in 3..6 {
        sandbox.feed("docs", "{\"live\":true}", &["t"]);
        let envelope = follower.json();
        assert_eq!(envelope["seq"], seq);
        assert_eq!(envelope["meta"], json!({"tags": ["t"]}));
        assert_eq!(envelope["data"], json!({"live": true}));
    }
}

#[test]
fn tail_gives_the_last_messages_first() {
    let sandbox = Sandbox::with_docs();
    assert_eq!(followed(&sandbox, &["--tail", "5"]).len(), 0);
    numbered(&sandbox, 10);
    assert_eq!(followed(&sandbox, &["--tail", "0"]).len(), 0);
    assert_eq!(followed(&sandbox, &["--tail", "2"]), [json!({"n": 9}), json!({"n": 10})]);
    assert_eq!(followed(&sandbox, &["-n", "100"]).len(), 10);
    assert_eq!(followed(&sandbox, &["--tail", "18446744073709551615"]).len(), 10);
}

#[test]
fn tail_counts_messages_with_all_of_the_tags() {
    let sandbox = Sandbox::with_docs();
    for (n, tags) in
        [(1, &["a"][..]), (2, &["a", "b"]), (3, &["b"]), (4, &["b", "a", "c"]), (5, &[])]
    {
        sandbox.feed("docs", &format!("{{\"n\":{n}}}"), tags);
    }
    assert_eq!(followed(&sandbox, &["--tail", "1", "--tag", "a"]), [json!({"n": 4})]);
    assert_eq!(
        followed(&sandbox, &["--tail", "2", "--tag", "a", "--tag", "b"]),
        [json!({"n": 2}), json!({"n": 4})]
    );
    assert_eq!(followed(&sandbox, &["--tail", "9", "--tag", "a"]).len(), 3);
    assert_eq!(followed(&sandbox, &["--tail", "9", "--tag", "none"]).len(), 0);
}

#[test]
fn since_is_a_duration_ago_or_a_time() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 2);
    thread::sleep(Duration::from_millis(1500));
    let third = sandbox.run(&["feed", "docs", "{\"n\":3}"]).json();
    assert_eq!(followed(&sandbox, &["--since", "1h"]).len(), 3);
    assert_eq!(followed(&sandbox, &["--since", "1s"]), [json!({"n": 3})]);
    let time = third["time"].as_str().unwrap();
    assert_eq!(followed(&sandbox, &["--since", time]), [json!({"n": 3})]);
    assert_eq!(followed(&sandbox, &["--since", "2000-01-01T00:00:00+02:00"]).len(), 3);
    assert_eq!(followed(&sandbox, &["--since", "2500-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(followed(&sandbox, &["--since", "1h", "--tail", "2"]).len(), 2);
    assert_eq!(followed(&sandbox, &["--since", "1s", "--tail", "2"]).len(), 1);
}

#[test]
fn one_ends_after_the_first_delivered() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 3);
    let ran = sandbox.run(&["follow", "docs", "--tail", "2", "--one", "--data-only"]);
    assert_eq!(ran.ok(), "{\"n\":2}\n");
    let mut follower = sandbox.follower("docs", &["--one", "--tag", "wanted"]);
    sandbox.feed("docs", "{\"n\":4}", &[]);
    follower.no_line_for(Duration::from_millis(100));
    sandbox.feed("docs", "{\"n\":5}", &["wanted"]);
    assert_eq!(follower.json()["data"], json!({"n": 5}));
    assert_eq!(follower.end(), (Some(0), String::new()));
}

#[test]
fn one_waits_for_a_new_message_when_the_ring_is_full() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    numbered(&sandbox, 20_000);
    let mut follower = sandbox.follower("docs", &["--one"]);
    follower.no_line_for(Duration::from_millis(200));
    let seq = sandbox.feed("docs", "{}", &[]);
    assert_eq!(follower.json()["seq"], seq);
    assert_eq!(follower.end().0, Some(0));
}

#[test]
fn timeout_is_124_after_the_time_since_the_last_message() {
    let sandbox = Sandbox::with_docs();
    let start = Instant::now();
    let ran = sandbox.run(&["follow", "docs", "--timeout", "300ms"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(124), "", ""));
    let took = start.elapsed();
    assert_eq!(sandbox.run(&["follow", "docs", "--one", "--timeout", "10ms"]).code, Some(124));
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");

    let mut follower = sandbox.follower("docs", &["--timeout", "2s"]);
    let start = Instant::now();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(900));
        sandbox.feed("docs", "{}", &[]);
        follower.json();
    }
    assert_eq!(follower.end(), (Some(124), String::new()));
    assert!(start.elapsed() >= Duration::from_millis(4700));
}

#[test]
fn timeout_goes_on_while_only_other_messages_arrive() {
    let sandbox = Sandbox::with_docs();
    let mut follower = sandbox.follower("docs", &["--timeout", "1s", "--tag", "wanted"]);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        sandbox.feed("docs", "{}", &["other"]);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(follower.end(), (Some(124), String::new()));
}

#[test]
fn a_pool_deleted_under_a_follower_ends_it_with_3() {
    let sandbox = Sandbox::with_docs();
    let mut follower = sandbox.follower("docs", &[]);
    let start = Instant::now();
    sandbox.run(&["pool", "delete", "docs"]).ok();
    let (code, err) = follower.end();
    assert_eq!(code, Some(3), "{err}");
    assert!(start.elapsed() < Duration::from_secs(3));
    let error = &json_lines(&err)[0]["error"];
    assert_eq!(error["kind"], "NotFound");
    assert!(error["hint"].as_str().unwrap().contains("deleted"), "{error}");
}

#[test]
fn an_overtaken_follower_says_so_and_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    // Nobody reads its stdout: it blocks there once the pipe is full, and is overtaken.
    let script = "plasmite follow docs 2> err | (sleep 2; tail -n 1)";
    let mut follower = sandbox.start(sandbox.shell(script));
    thread::sleep(Duration::from_millis(700));
    let line = format!("{{\"x\":\"{}\"}}\n", "y".repeat(1000));
    sandbox.run_with(&["feed", "docs"], line.repeat(2000).as_bytes()).ok();
    thread::sleep(Duration::from_millis(2500));
    sandbox.run(&["pool", "delete", "docs"]).ok();
    assert_eq!(follower.json()["seq"], 2000);
    assert_eq!(follower.end().0, Some(0));
    let err = std::fs::read_to_string(sandbox.path("err")).unwrap();
    let notices = json_lines(&err);
    assert_eq!(notices[0]["notice"]["kind"], "Dropped", "{err}");
    assert!(notices[0]["notice"]["dropped"].as_u64().unwrap() > 0, "{err}");
}

#[test]
fn an_overtaken_follower_that_asked_ends_with_9() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    let script =
        "plasmite follow docs --error-on-gap 2> err | (sleep 2; wc -l); echo ${PIPESTATUS[0]}";
    let follower = sandbox.start(sandbox.shell(script));
    thread::sleep(Duration::from_millis(700));
    let line = format!("{{\"x\":\"{}\"}}\n", "y".repeat(1000));
    sandbox.run_with(&["feed", "docs"], line.repeat(2000).as_bytes()).ok();
    let delivered: u64 = follower.line().trim().parse().unwrap();
    assert_eq!(follower.line(), "9");
    let err = std::fs::read_to_string(sandbox.path("err")).unwrap();
    let error = &json_lines(&err)[0]["error"];
    assert_eq!(error["kind"], "RetentionGap");
    assert_eq!(error["seq"], delivered + 1, "everything before the gap was delivered");
}

#[test]
fn a_closed_pipe_is_success_at_once() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 5);
    let start = Instant::now();
    let script = "set -o pipefail; plasmite follow docs --tail 5 --data-only | head -n 1";
    assert_eq!(sandbox.finish(sandbox.shell(script), b"").ok(), "{\"n\":1}\n");
    assert!(start.elapsed() < Duration::from_secs(5), "no further message was needed to notice");
    let script = "set -o pipefail; plasmite pool list | true; plasmite fetch docs 1 | true; \
                  plasmite --help | true; plasmite feed docs '{}' | true";
    assert_eq!(sandbox.finish(sandbox.shell(script), b"").ok(), "");
    let script = "plasmite feed docs < one | true; echo ${PIPESTATUS[0]}";
    std::fs::write(sandbox.path("one"), "{}\n").unwrap();
    assert_eq!(sandbox.finish(sandbox.shell(script), b"").ok(), "0\n", "everything was fed");
    let script = "set -o pipefail; yes '{}' | plasmite feed docs | head -n 1 > /dev/null; \
                  echo ${PIPESTATUS[1]}";
    let ran = sandbox.finish(sandbox.shell(script), b"");
    assert_eq!(ran.out, "0\n");
    assert_eq!(json_lines(&ran.err)[0]["notice"]["kind"], "Ended", "that not all was fed is told");
}

#[test]
fn jsonl_and_data_only_choose_the_form() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 1);
    let envelope = sandbox.run(&["fetch", "docs", "1"]).ok();
    assert_eq!(sandbox.run(&["follow", "docs", "--tail", "1", "--one"]).ok(), envelope);
    assert_eq!(sandbox.run(&["follow", "docs", "--tail", "1", "--one", "--jsonl"]).ok(), envelope);
    let data = sandbox.run(&["follow", "docs", "--tail", "1", "--one", "--jsonl", "--data-only"]);
    assert_eq!(data.ok(), "{\"n\":1}\n");
}

#[test]
fn where_chooses_by_a_jq_expression_on_the_envelope() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 10);
    sandbox.feed("docs", "{\"text\":\"x\"}", &["t"]);
    let all = &["--tail", "100"];
    for (expression, count) in [
        (".data.n > 8 and .data.n < 100", 2),
        (".meta.tags == [\"t\"]", 1),
        (".data.none.deeper", 0),
        (".data.text // \"\" | test(\"^x\")", 1),
        ("true", 11),
    ] {
        let seen = followed(&sandbox, &[&all[..], &["--where", expression]].concat());
        assert_eq!(seen.len(), count, "{expression}");
    }
    let two = ["--where", ".data.n > 3", "--where", ".data.n < 6"];
    assert_eq!(followed(&sandbox, &[&all[..], &two].concat()).len(), 2, "all of them must hold");
    let even = &["--where", ".data.n != null and .data.n % 2 == 0"];
    let seen = followed(&sandbox, &[&["--tail", "2"], &even[..]].concat());
    assert_eq!(seen, [json!({"n": 8}), json!({"n": 10})]);
    let args = &["follow", "docs", "--tail", "9", "--one", "--data-only", "--where", ".seq > 4"];
    assert_eq!(sandbox.run(args).ok(), "{\"n\":5}\n");
    let args = &["follow", "docs", "--tail", "99", "--timeout", "50ms", "--where", ".data.text.x"];
    let ran = sandbox.run(args);
    assert_eq!((ran.code, ran.out.as_str()), (Some(124), ""));
    let notices = json_lines(&ran.err);
    assert_eq!(notices.len(), 1, "{ran:?}");
    assert_eq!(notices[0]["notice"]["seq"], 11);
}

#[test]
fn where_that_is_not_jq_is_a_usage_error() {
    let sandbox = Sandbox::with_docs();
    let (deepest, too_long) = ("[".repeat(4096), "[".repeat(4097));
    let include = "include \"a\"; .";
    for expression in ["", ".data.", "nothing(1)", "$x", "(", include, &deepest, &too_long] {
        let error = sandbox.run(&["follow", "docs", "--where", expression]).fails(2);
        assert_eq!(error["kind"], "Usage", "{expression}");
        assert!(error["message"].as_str().unwrap().contains("--where"), "{error}");
    }
}

#[test]
fn timeout_is_not_put_off_by_messages_that_are_not_wanted() {
    let sandbox = Sandbox::with_docs();
    let mut feeder = sandbox.spawn(&["feed", "docs"]);
    let mut stdin = feeder.stdin.take().unwrap();
    let flood = thread::spawn(move || while stdin.write_all(&b"{}\n".repeat(1000)).is_ok() {});
    for unwanted in [["--where", ".data.wanted"], ["--tag", "wanted"]] {
        let args = [&["follow", "docs", "--timeout", "500ms"], &unwanted[..]].concat();
        assert_eq!(sandbox.run(&args).code, Some(124), "{unwanted:?}");
    }
    feeder.signal(Signal::KILL);
    feeder.status();
    flood.join().unwrap();
}

#[test]
fn replay_keeps_the_pauses_divided_by_the_speed() {
    let sandbox = Sandbox::with_docs();
    let mut feeder = sandbox.spawn(&["feed", "docs"]);
    for n in 0..3 {
        feeder.write(&format!("{{\"n\":{n}}}\n"));
        feeder.line();
        thread::sleep(Duration::from_millis(400));
    }
    for (speed, least, most) in [("1", 800, 3000), ("4", 200, 700), ("1000", 0, 400)] {
        let start = Instant::now();
        assert_eq!(followed(&sandbox, &["--replay", speed]).len(), 3);
        let took = start.elapsed().as_millis();
        assert!((least..most).contains(&took), "speed {speed} took {took} ms");
    }
    assert_eq!(followed(&sandbox, &["--replay", "1", "--tail", "1"]).len(), 1);
    for speed in ["0", "-1", "fast", "inf"] {
        sandbox.run(&["follow", "docs", "--replay", speed]).fails(2);
    }
}
