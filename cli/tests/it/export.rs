//! `plasmite export` and `plasmite import`.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Sandbox, json_lines};

fn numbered(sandbox: &Sandbox, count: u64, tags: &[&str]) {
    let input: String = (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let mut args = vec!["feed", "docs"];
    tags.iter().for_each(|tag| args.extend(["--tag", tag]));
    sandbox.run_with(&args, input.as_bytes()).ok();
}

fn read(sandbox: &Sandbox, name: &str) -> String {
    fs::read_to_string(sandbox.path(name)).unwrap()
}

#[test]
fn what_is_exported_is_what_fetch_prints() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 9, &["a"]);
    sandbox.feed("docs", "{\"text\":\"x\"}", &["b"]);
    let all = sandbox.run(&["fetch", "docs", ".."]).ok();
    assert_eq!(sandbox.run(&["export", "docs"]).ok(), all);
    let receipt = sandbox.run(&["export", "docs", "--file", "all.jsonl"]).json();
    let told = json!({"exported": 10, "first_seq": 1, "last_seq": 10, "file": "all.jsonl"});
    assert_eq!(receipt, told);
    assert_eq!(read(&sandbox, "all.jsonl"), all);
    for (args, seqs) in [
        (&["export", "docs", "3..4"][..], &[3, 4][..]),
        (&["export", "docs", "8..", "--tag", "a"], &[8, 9]),
        (&["export", "docs", "--where", ".data.n > 7", "--where", ".seq < 9"], &[8]),
        (&["export", "docs", "latest"], &[10]),
    ] {
        let lines = sandbox.run(args).json_lines();
        assert_eq!(lines.iter().map(|l| l["seq"].as_u64().unwrap()).collect::<Vec<_>>(), seqs);
    }
    let ran = sandbox.run(&["export", "docs", "8..12"]);
    assert_eq!((ran.error(3)["seq"].as_u64(), ran.out.lines().count()), (Some(11), 3));
}

#[test]
fn an_empty_pool_exports_nothing() {
    let sandbox = Sandbox::with_docs();
    assert_eq!(sandbox.run(&["export", "docs"]).ok(), "");
    assert_eq!(sandbox.run(&["export", "docs", "--file", "f"]).json()["exported"], 0);
    assert_eq!(sandbox.run(&["import", "docs", "--file", "f"]).json()["imported"], 0);
    assert_eq!(sandbox.run(&["import", "docs", "--file", "f", "--resume"]).json()["imported"], 0);
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 2, &[]);
    for foreign in ["precious", "precious\n", "{\"a\":1}\n", "{\"seq\":7}\n", "{\"seq\":1}\n"] {
        fs::write(sandbox.path("f"), foreign).unwrap();
        let error = sandbox.run(&["export", "docs", "--file", "f"]).fails(4);
        assert!(error["hint"].as_str().unwrap().contains("--resume"), "{error}");
        sandbox.run(&["export", "docs", "--file", "f", "--resume"]).fails(2);
        assert_eq!(read(&sandbox, "f"), foreign);
    }
    sandbox.run(&["export", "docs", "--file", "nowhere/f"]).fails(3);
    sandbox.run(&["export", "docs", "--resume"]).fails(2);
}

#[test]
fn no_file_is_made_when_nothing_of_what_is_named_is_there() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 2, &[]);
    for (args, code) in [
        (&["export", "docs", "5..9"][..], 3),
        (&["export", "docs", "7"], 3),
        (&["export", "other"], 3),
        (&["export", "docs", "--where", ".["], 2),
    ] {
        for more in [&["--file", "f"][..], &["--file", "f", "--resume"]] {
            sandbox.run(&[args, more].concat()).fails(code);
            assert!(!sandbox.path("f").exists(), "{args:?}");
        }
    }
}

#[test]
fn resume_adds_what_came_since_and_mends_a_line_that_was_cut_short() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 5, &[]);
    let resumed =
        || sandbox.run(&["export", "docs", "--file", "f", "--resume"]).json()["exported"].clone();
    assert_eq!(resumed(), 5);
    assert_eq!(resumed(), 0);
    numbered(&sandbox, 3, &[]);
    assert_eq!(resumed(), 3);
    let all = sandbox.run(&["export", "docs"]).ok();
    assert_eq!(read(&sandbox, "f"), all);
    for cut in [1, 10, all.len() / 2, all.len() - 1] {
        fs::write(sandbox.path("f"), &all[..cut]).unwrap();
        resumed();
        assert_eq!(read(&sandbox, "f"), all, "cut at {cut}");
    }
}

#[test]
fn an_export_that_is_overtaken_says_so() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    numbered(&sandbox, 10, &[]);
    sandbox.run(&["export", "docs", "--file", "f"]).ok();
    numbered(&sandbox, 5000, &[]);
    let ran = sandbox.run(&["export", "docs", "--file", "f", "--resume"]);
    assert_eq!(ran.code, Some(0));
    let notice = &json_lines(&ran.err)[0]["notice"];
    assert_eq!((&notice["kind"], &notice["seq"]), (&json!("Dropped"), &json!(11)));
    let told = json_lines(&ran.out)[0].clone();
    let dropped = notice["dropped"].as_u64().unwrap();
    assert_eq!(told["exported"].as_u64().unwrap() + dropped, 5000);
}

#[test]
fn an_import_keeps_data_tags_order_and_times() {
    let sandbox = Sandbox::with_docs();
    let text = r#"{"b":1.50,"a":12345678901234567890123,"b":"\u0041"}"#;
    sandbox.feed("docs", text, &["qu\"ote", "é\n", "qu\"ote"]);
    numbered(&sandbox, 500, &["a"]);
    let export = sandbox.run(&["export", "docs"]).ok();
    let told = sandbox.run_with(&["import", "copy", "--create"], export.as_bytes()).json();
    let wanted = json!({"imported": 501, "already_there": 0, "first_seq": 1, "last_seq": 501,
        "times_changed": 0, "seqs_changed": 0});
    assert_eq!(told, wanted);
    assert_eq!(sandbox.run(&["export", "copy"]).ok(), export);
}

#[test]
fn what_an_import_can_not_keep_is_told() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 9, &[]);
    let export = sandbox.run(&["export", "docs", "5.."]).ok();
    let ran = sandbox.run_with(&["import", "copy", "--create"], export.as_bytes());
    assert_eq!(ran.code, Some(0));
    assert_eq!(json_lines(&ran.out)[0]["seqs_changed"], 5);
    assert_eq!(json_lines(&ran.err)[0]["notice"]["kind"], "SeqsChanged");
    // Again: the times are before the newest message now, but for the last one.
    let ran = sandbox.run_with(&["import", "copy"], export.as_bytes());
    let told = &json_lines(&ran.out)[0];
    assert!(told["times_changed"].as_u64().unwrap() <= 4, "{told}");
    let future = r#"{"seq":1,"time":"2500-01-01T00:00:00Z","meta":{"tags":[]},"data":{}}"#;
    let ran = sandbox.run_with(&["import", "docs"], future.as_bytes());
    assert_eq!(json_lines(&ran.out)[0]["times_changed"], 1);
    let newest = sandbox.run(&["fetch", "docs", "latest"]).json();
    assert!(newest["time"].as_str().unwrap() < "2400", "the future is not let in: {newest}");
}

#[test]
fn messages_without_a_number_have_no_other_numbers() {
    let sandbox = Sandbox::with_docs();
    let input = r#"{"time":"2026-01-01T00:00:00Z","data":{"n":1}}
        {"seq":1,"time":"2026-01-01T00:00:00Z","data":{"n":2}}
        {"seq":null,"time":"2026-01-01T00:00:00Z","data":{"n":3}}"#;
    let ran = sandbox.run_with(&["import", "docs"], input.as_bytes());
    let told = &json_lines(&ran.out)[0];
    assert_eq!((&told["imported"], &told["seqs_changed"]), (&json!(3), &json!(1)));
    assert!(ran.err.contains("1 message has another number than it had"), "{ran:?}");
}

#[test]
fn what_is_no_exported_message_is_refused_with_its_record() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 2, &[]);
    let good = sandbox.run(&["export", "docs"]).ok();
    let time = "\"time\":\"2026-01-01T00:00:00Z\"";
    for bad in [
        "{\"n\":1}".to_owned(),
        format!("{{{time}}}"),
        format!("{{{time},\"data\":[1]}}"),
        format!("{{{time},\"data\":{{}},\"meta\":{{\"tags\":[\"\"]}}}}"),
        format!("{{{time},\"data\":{{}},\"meta\":{{\"tags\":7}}}}"),
        "{\"time\":\"noon\",\"data\":{}}".to_owned(),
        "nonsense".to_owned(),
        "{\"time\":".to_owned(),
    ] {
        let sandbox = Sandbox::with_docs();
        let ran = sandbox.run_with(&["import", "docs"], format!("{good}{bad}").as_bytes());
        let error = ran.error(2);
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("record 3"), "{bad}: {error}");
        // The record's place is told in bytes of the input.
        assert!(!message.contains("column"), "{bad}: {error}");
        assert_eq!(json_lines(&ran.out)[0]["imported"], 2, "{bad}");
        let input = format!("{bad}\n{good}");
        let args = ["import", "docs", "--errors", "skip"];
        let ran = sandbox.run_with(&args, input.as_bytes());
        assert_eq!(ran.code, Some(1), "{bad}: {ran:?}");
    }
}

/// Imports `export` in runs that are killed, then resumes to the end.
#[test]
fn an_import_killed_at_any_moment_is_resumed_without_loss_or_doubles() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "16M"]).ok();
    // Several messages of the same time, and of the same content.
    let mut feeder = sandbox.spawn(&["feed", "docs"]);
    for n in 0..40 {
        feeder.write(&format!("{{\"n\":{n}}}\n").repeat(100));
        (0..100).for_each(|_| drop(feeder.line()));
    }
    drop(feeder);
    let export = sandbox.run(&["export", "docs"]).ok();
    let lines: Vec<&str> = export.split_inclusive('\n').collect();
    fs::write(sandbox.path("all.jsonl"), &export).unwrap();
    sandbox.run(&["pool", "create", "copy", "--size", "16M"]).ok();
    let args = ["import", "copy", "--resume"];
    for round in 0..12 {
        let mut import = sandbox.spawn(&args);
        // Fed from the beginning, as from a file, and killed somewhere.
        let upto = (round + 1) * lines.len() / 13;
        import.write(&lines[..upto].concat());
        let before = Value::from(upto / 2);
        import.wait_until(|_| {
            let info = sandbox.run(&["pool", "info", "copy"]).json();
            info["messages"].as_u64() >= before.as_u64()
        });
        import.signal(Signal::KILL);
        import.status();
    }
    sandbox.run(&["import", "copy", "--resume", "--file", "all.jsonl"]).ok();
    assert!(sandbox.run(&["export", "copy"]).ok() == export, "each once, in order");
    let told = sandbox.run(&["import", "copy", "--resume", "--file", "all.jsonl"]).json();
    assert_eq!((&told["imported"], &told["already_there"]), (&json!(0), &json!(lines.len())));
}

#[test]
fn resume_into_a_pool_that_others_wrote_to_is_refused() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 9, &[]);
    let export = sandbox.run(&["export", "docs"]).ok();
    sandbox.run_with(&["import", "copy", "--create"], export.as_bytes()).ok();
    sandbox.feed("copy", "{\"mine\":true}", &[]);
    let ran = sandbox.run_with(&["import", "copy", "--resume"], export.as_bytes());
    assert_eq!(ran.error(5)["kind"], "Busy", "{ran:?}");
    assert_eq!(sandbox.run(&["pool", "info", "copy"]).json()["messages"], 10);
    // The input is a beginning of what was imported: something is missing in it.
    let first: String = export.split_inclusive('\n').take(3).collect();
    let sandbox = Sandbox::new();
    sandbox.run_with(&["import", "copy", "--create"], export.as_bytes()).ok();
    sandbox.run_with(&["import", "copy", "--resume"], first.as_bytes()).error(5);
}

#[test]
fn export_feeds_import_through_a_pipe() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 3000, &["t"]);
    let script = "plasmite export docs | plasmite import copy --create | jq -c .imported";
    assert_eq!(sandbox.finish(sandbox.shell(script), b"").ok(), "3000\n");
    let script = "set -o pipefail; plasmite export docs | head -n 1 | jq .seq";
    assert_eq!(sandbox.finish(sandbox.shell(script), b"").ok(), "1\n");
}
