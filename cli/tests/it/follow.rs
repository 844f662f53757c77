//! `plasmite follow`.

use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Proc, Sandbox, WAIT_LIMIT, json_lines, waits_for_messages};

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

/// Appends a message `{"n":…}` as of so many seconds ago, for each.
fn past(sandbox: &Sandbox, seconds_ago: &[i64]) {
    let now = jiff::Timestamp::now();
    let envelope = |(n, ago): (u64, &i64)| {
        let time = now.checked_sub(jiff::SignedDuration::from_secs(*ago)).unwrap();
        format!("{{\"seq\":{n},\"time\":\"{time}\",\"data\":{{\"n\":{n}}}}}\n")
    };
    let envelopes: String = (1..).zip(seconds_ago).map(envelope).collect();
    sandbox.run_with(&["import", "docs"], envelopes.as_bytes()).ok();
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
    past(&sandbox, &[3601, 3600]);
    let third = sandbox.run(&["feed", "docs", "{\"n\":3}"]).json();
    assert_eq!(followed(&sandbox, &["--since", "2h"]).len(), 3);
    assert_eq!(followed(&sandbox, &["--since", "30m"]), [json!({"n": 3})]);
    let time = third["time"].as_str().unwrap();
    assert_eq!(followed(&sandbox, &["--since", time]), [json!({"n": 3})]);
    assert_eq!(followed(&sandbox, &["--since", "2000-01-01T00:00:00+02:00"]).len(), 3);
    assert_eq!(followed(&sandbox, &["--since", "2500-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(followed(&sandbox, &["--since", "2h", "--tail", "2"]).len(), 2);
    assert_eq!(followed(&sandbox, &["--since", "30m", "--tail", "2"]).len(), 1);
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
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(sandbox.run(&["follow", "docs", "--one", "--timeout", "10ms"]).code, Some(124));

    let mut follower = sandbox.follower("docs", &["--timeout", "1s"]);
    let mut delivered = Instant::now();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(350));
        let before = Instant::now();
        sandbox.feed("docs", "{}", &[]);
        // Where feeding took longer than the time, it has ended.
        if follower.next_line().is_none() {
            break;
        }
        delivered = before;
    }
    assert_eq!(follower.end(), (Some(124), String::new()));
    assert!(delivered.elapsed() >= Duration::from_secs(1), "the time is that since the last one");
}

#[test]
fn timeout_goes_on_while_only_other_messages_arrive() {
    let sandbox = Sandbox::with_docs();
    let mut follower = sandbox.follower("docs", &["--timeout", "1s", "--tag", "wanted"]);
    let start = Instant::now();
    while !follower.has_ended() {
        sandbox.feed("docs", "{}", &["other"]);
        thread::sleep(Duration::from_millis(50));
        assert!(start.elapsed() < WAIT_LIMIT, "they put it off");
    }
    assert_eq!(follower.end(), (Some(124), String::new()));
}

#[test]
fn a_pool_deleted_under_a_follower_ends_it_with_3() {
    let sandbox = Sandbox::with_docs();
    let mut follower = sandbox.follower("docs", &[]);
    sandbox.run(&["pool", "delete", "docs"]).ok();
    let (code, err) = follower.end();
    assert_eq!(code, Some(3), "{err}");
    let error = &json_lines(&err)[0]["error"];
    assert_eq!(error["kind"], "NotFound");
    assert!(error["hint"].as_str().unwrap().contains("deleted"), "{error}");
}

/// A follower that waited for messages when 2000 came, of which the pool holds a few and the pipe to us a few more. What it
/// writes is not read before.
fn overtaken(sandbox: &Sandbox, args: &[&str]) -> (Proc, PipeReader) {
    let (stdout, theirs) = std::io::pipe().unwrap();
    let all = [&["follow", "docs"], args].concat();
    let follower = sandbox.start_into(sandbox.command(&all), theirs);
    follower.wait_until(|pid| waits_for_messages(pid, "docs"));
    let line = format!("{{\"x\":\"{}\"}}\n", "y".repeat(1000));
    sandbox.run_with(&["feed", "docs"], line.repeat(2000).as_bytes()).ok();
    (follower, stdout)
}

#[test]
fn an_overtaken_follower_says_so_and_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    let (mut follower, stdout) = overtaken(&sandbox, &[]);
    let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("{\"seq\":2000,")));
    drop(lines);
    let (code, err) = follower.end();
    assert_eq!(code, Some(0), "{err}");
    let notices = json_lines(&err);
    assert_eq!(notices[0]["notice"]["kind"], "Dropped", "{err}");
    assert!(notices[0]["notice"]["dropped"].as_u64().unwrap() > 0, "{err}");
}

#[test]
fn an_overtaken_follower_that_asked_ends_with_9() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    let (mut follower, stdout) = overtaken(&sandbox, &["--error-on-gap"]);
    let delivered = BufReader::new(stdout).lines().count() as u64;
    let (code, err) = follower.end();
    assert_eq!(code, Some(9), "{err}");
    let error = &json_lines(&err)[0]["error"];
    assert_eq!(error["kind"], "RetentionGap");
    assert_eq!(error["seq"], delivered + 1, "everything before the gap was delivered");
}

#[test]
fn a_closed_pipe_is_success_at_once() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 5);
    // No further message is needed to notice.
    let script = "set -o pipefail; plasmite follow docs --tail 5 --data-only | head -n 1";
    assert_eq!(sandbox.finish(sandbox.shell(script), b"").ok(), "{\"n\":1}\n");
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
fn the_pipe_is_widened_for_a_flood_but_not_for_a_few_nor_for_what_a_cursor_counts() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 5000);
    let held = |args: &str| {
        let fcntl = "import fcntl, sys; sys.stdin.buffer.read(); print(fcntl.fcntl(0, 1032))";
        let follow = format!("plasmite follow docs --timeout 0s {args}");
        let script = format!("{follow} | python3 -c '{fcntl}'");
        sandbox.finish(sandbox.shell(&script), b"").ok().trim().parse::<u32>().unwrap()
    };
    // Less than that where one user has too much in pipes (pipe(7)).
    let usual = held("--tail 0");
    assert!(usual <= 64 << 10);
    assert_eq!(held("--tail 100"), usual);
    assert_eq!(held("--tail 5000 --cursor-file cur"), usual);
    assert_eq!(held("--tail 5000"), 256 << 10);
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
    // An hour each.
    past(&sandbox, &[10_800, 7200, 3600]);
    for (speed, least) in [("7200", 1000), ("72000", 100), ("1e9", 0)] {
        let start = Instant::now();
        assert_eq!(followed(&sandbox, &["--replay", speed]).len(), 3);
        assert!(start.elapsed() >= Duration::from_millis(least), "speed {speed}");
    }
    assert_eq!(followed(&sandbox, &["--replay", "1", "--tail", "1"]).len(), 1);
    for speed in ["0", "-1", "fast", "inf"] {
        sandbox.run(&["follow", "docs", "--replay", speed]).fails(2);
    }
}
