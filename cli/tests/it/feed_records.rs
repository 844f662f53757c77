//! Records that are not one JSON object, with `--errors stop` and `--errors skip`.

use serde_json::{Value, json};

use crate::support::{Sandbox, json_lines};

#[test]
fn bad_arguments_are_told_with_the_offset_and_append_nothing() {
    let sandbox = Sandbox::with_docs();
    for (json, offset) in [
        ("{\"a\":}", Some(5)),
        ("{\"a\":1", None),
        ("{} {}", None),
        ("", None),
        ("[1]", None),
        ("1", None),
        ("\"text\"", None),
        ("null", None),
        ("{\"a\":01}", None),
        ("{'a':1}", Some(1)),
        ("{\"a\":NaN}", None),
        ("{\"a\":\"\\ud800\"}", None),
    ] {
        let error = sandbox.run(&["feed", "docs", json]).fails(2);
        assert_eq!(error["kind"], "Usage", "{json}");
        if let Some(offset) = offset {
            assert_eq!(error["offset"], offset, "{json}: {error}");
        }
    }
    sandbox.run(&["fetch", "docs", "1"]).fails(3);
}

#[test]
fn stop_keeps_what_came_before_and_names_the_record() {
    let sandbox = Sandbox::with_docs();
    let ran =
        sandbox.run_with(&["feed", "docs"], b"{\"n\":1}\n{\"n\":2}\n{\"n\":oops}\n{\"n\":4}\n");
    let error = ran.error(2);
    assert_eq!(error["kind"], "Usage");
    assert_eq!(error["offset"], 21, "{error}");
    assert!(error["message"].as_str().unwrap().starts_with("record 3: "), "{error}");
    assert_eq!(json_lines(&ran.out).len(), 2);
    assert_eq!(sandbox.run(&["fetch", "docs", "2", "--data-only"]).ok(), "{\"n\":2}\n");
    sandbox.run(&["fetch", "docs", "3"]).fails(3);
}

#[test]
fn an_unfinished_record_at_the_end_is_an_error() {
    let sandbox = Sandbox::with_docs();
    let ran = sandbox.run_with(&["feed", "docs"], b"{\"n\":1}\n{\"n\":");
    let error = ran.error(2);
    assert!(error["message"].as_str().unwrap().starts_with("record 2"), "{error}");
    assert_eq!(json_lines(&ran.out).len(), 1);
}

#[test]
fn skip_leaves_every_bad_record_out_tells_each_and_exits_1() {
    let sandbox = Sandbox::with_docs();
    let input = "{\"n\":1}\nnonsense\n{\"n\":2}\n[3]\n{\"n\":4} trailing\n{\"n\":5}\n{\"n\":";
    let ran = sandbox.run_with(&["feed", "docs", "--errors", "skip"], input.as_bytes());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let errors = json_lines(&ran.err);
    assert_eq!(errors.len(), 4, "{ran:?}");
    for (error, (record, at)) in
        errors.iter().zip([(2, 8..17), (4, 25..29), (6, 36..47), (8, 54..62)])
    {
        let error = &error["error"];
        assert_eq!(error["kind"], "Usage");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("record {record} was skipped: ")), "{message}");
        let offset = usize::try_from(error["offset"].as_u64().unwrap()).unwrap();
        assert!(at.contains(&offset), "{at:?}: {message}");
    }
    let receipts = json_lines(&ran.out);
    let seqs: Vec<_> = receipts.iter().map(|receipt| receipt["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    let ran = sandbox.run(&["follow", "docs", "--tail", "9", "--timeout", "0s", "--data-only"]);
    assert_eq!(ran.out, "{\"n\":1}\n{\"n\":2}\n{\"n\":4}\n{\"n\":5}\n");
}

#[test]
fn skip_without_bad_records_exits_0() {
    let sandbox = Sandbox::with_docs();
    assert_eq!(
        sandbox.run_with(&["feed", "docs", "--errors", "skip"], b"{}\n{}\n").json_lines().len(),
        2
    );
}

#[test]
fn skip_leaves_out_what_is_too_large() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    let huge = format!("{{\"x\":\"{}\"}}", "y".repeat(300_000));
    let input = format!("{{\"n\":1}}\n{huge}\n{{\"n\":2}}\n");
    let ran = sandbox.run_with(&["feed", "docs", "--errors", "skip"], input.as_bytes());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(json_lines(&ran.out).len(), 2, "{ran:?}");
    assert_eq!(json_lines(&ran.err).len(), 1, "{ran:?}");
    assert_eq!(sandbox.run(&["fetch", "docs", "2", "--data-only"]).ok(), "{\"n\":2}\n");
}

#[test]
fn a_record_that_has_become_too_large_is_refused_alone_among_those_that_came_with_it() {
    let sandbox = Sandbox::new();
    let max = |size| {
        sandbox.run(&["pool", "resize", "docs", "--size", size]).ok();
        let info = sandbox.run(&["pool", "info", "docs"]).json();
        usize::try_from(info["max_message_bytes"].as_u64().unwrap()).unwrap()
    };
    for errors in ["skip", "stop"] {
        sandbox.run(&["pool", "create", "docs", "--size", "1M"]).ok();
        let mut feeder = sandbox.spawn(&["feed", "docs", "--errors", errors]);
        feeder.write("{\"n\":1}\n");
        assert_eq!(feeder.json()["seq"], 1);
        // Too large for the new file, but not for the one that feed knows; small enough to be appended with others.
        let too_large = format!("{{\"x\":\"{}\"}}", "y".repeat(max("32K")));
        assert!(too_large.len() < 64 << 10);
        feeder.write(&format!("{{\"n\":2}} {{\"n\":3}}\n{too_large}\n{{\"n\":5}}\n"));
        let kept: &[u64] = if errors == "skip" { &[2, 3, 5] } else { &[2, 3] };
        for _ in kept {
            feeder.json();
        }
        drop(feeder.stdin.take());
        let (code, err) = feeder.end();
        assert_eq!(code, Some(if errors == "skip" { 1 } else { 2 }), "{err}");
        let told = &json_lines(&err)[0]["error"];
        assert_eq!((&told["kind"], &told["offset"]), (&json!("Usage"), &json!(23)), "{told}");
        let message = told["message"].as_str().unwrap();
        assert!(message.starts_with("record 4 at byte 23"), "{message}");
        let ran = sandbox.run(&["fetch", "docs", "2..", "--data-only"]).ok();
        let wanted: String = kept.iter().map(|n| format!("{{\"n\":{n}}}\n")).collect();
        assert_eq!(ran, wanted);
        sandbox.run(&["pool", "delete", "docs"]).ok();
    }
}

#[test]
fn skip_tells_a_live_pipe_at_once() {
    let sandbox = Sandbox::with_docs();
    let mut feeder = sandbox.spawn(&["feed", "docs", "--errors", "skip"]);
    feeder.write("bad\n{\"n\":1}\n");
    assert_eq!(feeder.json()["seq"], 1);
    feeder.write("worse\n");
    feeder.write("{\"n\":2}\n");
    assert_eq!(feeder.json()["seq"], 2);
    drop(feeder.stdin.take());
    let (code, err) = feeder.end();
    assert_eq!(code, Some(1));
    assert_eq!(json_lines(&err).len(), 2);
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_offset() {
    let sandbox = Sandbox::with_docs();
    let ran = sandbox.run_with(&["feed", "docs"], b"{\"a\":\"\xff\"}\n");
    let error = ran.fails(2);
    assert_eq!(error["offset"], 6, "{error}");
}

#[test]
fn binary_noise_of_any_length_ends_with_an_error() {
    let sandbox = Sandbox::with_docs();
    let mut state = 1_u32;
    for length in [1_usize, 100, 10_000, 300_000] {
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        for errors in ["stop", "skip"] {
            let mut noise = noise.clone();
            noise[0] = b'x';
            let ran = sandbox.run_with(&["feed", "docs", "--errors", errors], &noise);
            let code = if errors == "stop" { 2 } else { 1 };
            assert_eq!(ran.error(code)["kind"], Value::from("Usage"));
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let sandbox = Sandbox::with_docs();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let error = sandbox.run_with(&["feed", "docs"], deep.as_bytes()).fails(2);
    assert_eq!(error["kind"], json!("Usage"));
}
