//! `plasmite feed` and `plasmite fetch`: what goes in comes out.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Sandbox;

#[test]
fn one_message_as_an_argument() {
    let sandbox = Sandbox::with_docs();
    let receipt =
        sandbox.run(&["feed", "docs", "{\"kind\":\"note\"}", "--tag", "a", "-t", "b"]).json();
    assert_eq!(receipt["seq"], 1);
    assert_eq!(receipt["meta"], json!({"tags": ["a", "b"]}));
    let envelope = sandbox.run(&["fetch", "docs", "1"]).json();
    assert_eq!(envelope["time"], receipt["time"]);
    assert_eq!(envelope["meta"], receipt["meta"]);
    assert_eq!(envelope["data"], json!({"kind": "note"}));
}

#[test]
fn envelopes_keep_the_text_that_was_given() {
    let sandbox = Sandbox::with_docs();
    let text = r#"{"b":1.50,"a":12345678901234567890123,"b":"\u0041","e":1e400}"#;
    sandbox.run(&["feed", "docs", text]).ok();
    assert_eq!(sandbox.run(&["fetch", "docs", "1", "--data-only"]).ok(), format!("{text}\n"));
    let line = sandbox.run(&["fetch", "docs", "1"]).ok();
    assert!(
        line.starts_with("{\"seq\":1,\"time\":\"")
            && line.ends_with(&format!("\"data\":{text}}}\n"))
    );
    assert!(line.contains("\",\"meta\":{\"tags\":[]},\"data\":{"), "{line}");
}

#[test]
fn receipts_have_one_form() {
    let sandbox = Sandbox::with_docs();
    let line = sandbox.run(&["feed", "docs", "{}", "--tag", "qu\"ote"]).ok();
    let (seq, rest) = line.split_at("{\"seq\":1,\"time\":\"".len());
    assert_eq!(seq, "{\"seq\":1,\"time\":\"");
    assert_eq!(&rest[19..20], ".");
    assert_eq!(&rest[29..], "Z\",\"meta\":{\"tags\":[\"qu\\\"ote\"]}}\n");
}

#[test]
fn stdin_may_hold_any_of_the_usual_streams() {
    let sandbox = Sandbox::with_docs();
    for input in [
        "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n",
        "{\"n\":1}\n{\"n\":2}\n{\"n\":3}",
        "{\"n\":1}{\"n\":2}{\"n\":3}",
        "{\n  \"n\": 1\n}\n{\n  \"n\": 2\n}\n\n{\n  \"n\": 3\n}\n",
        "\u{1e}{\"n\":1}\n\u{1e}{\"n\":2}\n\u{1e}{\"n\":3}\n",
        "{\"n\":1}\r\n{\"n\":2}\r\n\t {\"n\":3}\r\n",
    ] {
        let receipts = sandbox.run_with(&["feed", "docs"], input.as_bytes()).json_lines();
        assert_eq!(receipts.len(), 3, "{input:?}");
        for (i, receipt) in receipts.iter().enumerate() {
            let seq = receipt["seq"].to_string();
            let data = sandbox.run(&["fetch", "docs", &seq, "--data-only"]).ok();
            assert_eq!(data, format!("{{\"n\":{}}}\n", i + 1), "{input:?}");
        }
    }
}

#[test]
fn no_pool_is_created_for_an_input_that_is_not_there() {
    let sandbox = Sandbox::new();
    for verb in ["feed", "import"] {
        let error = sandbox.run(&[verb, "docs", "--create", "--file", "nowhere"]).fails(3);
        assert_eq!(error["path"], "nowhere");
        assert!(!sandbox.pool_file("docs").exists(), "{verb}");
    }
}

#[test]
fn empty_input_is_no_message() {
    let sandbox = Sandbox::with_docs();
    assert_eq!(sandbox.run_with(&["feed", "docs"], b"").ok(), "");
    assert_eq!(sandbox.run_with(&["feed", "docs"], b"\n \n").ok(), "");
}

#[test]
fn a_file_and_dashes_for_stdin() {
    let sandbox = Sandbox::with_docs();
    let file = sandbox.path("in.jsonl");
    fs::write(&file, "{\"a\":1}\n{\"a\":2}\n").unwrap();
    let receipts = sandbox.run(&["feed", "docs", "--file", file.to_str().unwrap()]).json_lines();
    assert_eq!(receipts.len(), 2);
    assert_eq!(sandbox.run_with(&["feed", "docs", "--file", "-"], b"{}").json()["seq"], 3);
    assert_eq!(sandbox.run_with(&["feed", "docs", "-"], b"{}").json()["seq"], 4);
}

#[test]
fn a_file_that_can_not_be_read_is_told_with_its_path() {
    let sandbox = Sandbox::with_docs();
    let error = sandbox.run(&["feed", "docs", "-f", "/nowhere/in.jsonl"]).fails(3);
    assert_eq!((&error["kind"], &error["path"]), (&json!("NotFound"), &json!("/nowhere/in.jsonl")));
    let error = sandbox.run(&["feed", "docs", "-f", "/"]).fails(8);
    assert_eq!((&error["kind"], &error["path"]), (&json!("Io"), &json!("/")));
}

#[test]
fn create_makes_the_pool_once() {
    let sandbox = Sandbox::new();
    let args = ["feed", "new", "{}", "--create", "--create-size", "64K"];
    assert_eq!(sandbox.run(&args).json()["seq"], 1);
    assert_eq!(fs::metadata(sandbox.pool_file("new")).unwrap().len(), 65536);
    assert_eq!(sandbox.run(&args).json()["seq"], 2);
}

#[test]
fn flush_takes_arguments_and_streams() {
    let sandbox = Sandbox::with_docs();
    sandbox.run(&["feed", "docs", "{}", "--durability", "flush"]).ok();
    let receipts =
        sandbox.run_with(&["feed", "docs", "--durability", "flush"], &b"{}\n".repeat(1000));
    assert_eq!(receipts.json_lines().len(), 1000);
}

#[test]
fn a_live_pipe_is_never_held_back() {
    let sandbox = Sandbox::with_docs();
    for durability in ["fast", "flush"] {
        let mut feeder = sandbox.spawn(&["feed", "docs", "--durability", durability]);
        for n in 0..3 {
            feeder.write(&format!("{{\"n\":{n}}}"));
            let receipt = feeder.json();
            let seq = receipt["seq"].to_string();
            let data = sandbox.run(&["fetch", "docs", &seq, "--data-only"]).ok();
            assert_eq!(data, format!("{{\"n\":{n}}}\n"));
        }
        feeder.write("{\"half\":");
        feeder.no_line_for(Duration::from_millis(100));
        feeder.write("true} {\"n\":4}\n");
        feeder.json();
        feeder.json();
        drop(feeder.stdin.take());
        assert_eq!(feeder.end(), (Some(0), String::new()));
    }
}

#[test]
fn a_pipe_someone_made_non_blocking_is_read_to_its_end() {
    let sandbox = Sandbox::with_docs();
    let script = "import os, subprocess, sys, time
r, w = os.pipe()
os.set_blocking(r, False)
p = subprocess.Popen(sys.argv[1:], stdin=r)
os.close(r)
for _ in range(3):
    time.sleep(0.05)
    os.write(w, b'{}\\n')
os.close(w)
sys.exit(p.wait())";
    let ran = sandbox.finish(sandbox.wrapped(&["python3", "-c", script], &["feed", "docs"]), b"");
    assert_eq!(ran.json_lines().len(), 3);
}

#[test]
fn many_messages_get_their_receipts_in_order() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "big", "--size", "64M"]).ok();
    let input: String =
        (0..50_000).map(|n| format!("{{\"n\":{n},\"text\":\"äöü \\n\"}}\n")).collect();
    let receipts = sandbox.run_with(&["feed", "big"], input.as_bytes()).json_lines();
    assert_eq!(receipts.len(), 50_000);
    assert!(receipts.iter().zip(1_u64..).all(|(receipt, seq)| receipt["seq"] == seq));
    let all = sandbox.run(&["follow", "big", "--tail", "50000", "--timeout", "0s", "--data-only"]);
    assert_eq!(all.code, Some(124));
    assert!(all.out == input, "what came out is what went in");
}

#[test]
fn messages_of_all_sizes_keep_their_order() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "mixed", "--size", "64M"]).ok();
    let input: String = (0..2000_u32)
        .map(|n| {
            // Alone larger than what is appended together, about as large, and small.
            let len = [200_000, 65_500, 40, 30_000, 1, 5000, 3, 12][n as usize % 8];
            let len = if n % 100 < 8 { len } else { n as usize % 700 };
            format!("{{\"n\":{n},\"x\":\"{}\"}}\n", "y".repeat(len))
        })
        .collect();
    for durability in ["fast", "flush"] {
        let args = ["feed", "mixed", "--durability", durability, "--tag", durability];
        let receipts = sandbox.run_with(&args, input.as_bytes()).json_lines();
        assert_eq!(receipts.len(), 2000);
        let first = receipts[0]["seq"].as_u64().unwrap();
        assert!(receipts.iter().zip(first..).all(|(receipt, seq)| receipt["seq"] == seq));
        let range = format!("{first}..{}", first + 1999);
        let out = sandbox.run(&["fetch", "mixed", &range, "--data-only"]).ok();
        assert!(out == input, "what came out is what went in");
    }
}

#[test]
fn the_largest_message_goes_in_and_a_larger_one_is_refused() {
    let sandbox = Sandbox::with_docs();
    let info = sandbox.run(&["pool", "info", "docs"]).json();
    let max = usize::try_from(info["max_message_bytes"].as_u64().unwrap()).unwrap();
    assert!(max >= 930 * 1024, "{max}");
    let message = |bytes: usize| format!("{{\"x\":\"{}\"}}", "y".repeat(bytes - 8));
    assert_eq!(sandbox.run_with(&["feed", "docs"], message(max).as_bytes()).json()["seq"], 1);
    let data = sandbox.run(&["fetch", "docs", "1", "--data-only"]).ok();
    assert_eq!(data.trim_end(), message(max));

    let error = sandbox.run_with(&["feed", "docs"], message(max + 1).as_bytes()).fails(2);
    assert_eq!(error["kind"], "Usage");
    assert!(error["message"].as_str().unwrap().contains(&max.to_string()), "{error}");
    let error = sandbox.run_with(&["feed", "docs", "--tag", "t"], message(max).as_bytes()).fails(2);
    assert_eq!(error["kind"], "Usage");
    sandbox.run_with(&["feed", "docs", "--tag", "t"], message(max - 2).as_bytes()).ok();
}

#[test]
fn tags_have_limits() {
    let sandbox = Sandbox::with_docs();
    let longest = "t".repeat(255);
    let receipt = sandbox.run(&["feed", "docs", "{}", "--tag", &longest]).json();
    assert_eq!(receipt["meta"]["tags"], json!([longest]));
    let error = sandbox.run(&["feed", "docs", "{}", "--tag", &"t".repeat(256)]).fails(2);
    assert!(error["message"].as_str().unwrap().contains("255"), "{error}");
    sandbox.run(&["feed", "docs", "{}", "--tag", ""]).fails(2);
    assert_eq!(sandbox.run(&["fetch", "docs", "2"]).fails(3)["seq"], Value::from(2));
}
