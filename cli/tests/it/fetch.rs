//! `plasmite fetch`: one message, the ends, ranges.

use crate::support::{Sandbox, json_lines};

fn numbered(sandbox: &Sandbox, count: u64) {
    let input: String = (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    sandbox.run_with(&["feed", "docs"], input.as_bytes()).ok();
}

/// The numbers that `fetch docs WHICH` prints.
#[track_caller]
fn fetched(sandbox: &Sandbox, which: &str) -> Vec<u64> {
    let lines = sandbox.run(&["fetch", "docs", which]).json_lines();
    lines.iter().map(|message| message["seq"].as_u64().unwrap()).collect()
}

#[test]
fn numbers_ends_and_ranges() {
    let sandbox = Sandbox::with_docs();
    numbered(&sandbox, 9);
    for (which, seqs) in [
        ("4", &[4][..]),
        ("first", &[1]),
        ("latest", &[9]),
        ("3..5", &[3, 4, 5]),
        ("7..", &[7, 8, 9]),
        ("..2", &[1, 2]),
        ("..", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("5..5", &[5]),
        ("10..", &[]),
    ] {
        assert_eq!(fetched(&sandbox, which), seqs, "{which}");
    }
    let data = sandbox.run(&["fetch", "docs", "8..", "--data-only"]).ok();
    assert_eq!(data, "{\"n\":8}\n{\"n\":9}\n");
}

#[test]
fn an_empty_pool_has_no_ends_but_an_empty_range() {
    let sandbox = Sandbox::with_docs();
    for which in ["..", "1.."] {
        assert_eq!(fetched(&sandbox, which), [0_u64; 0], "{which}");
    }
    for which in ["1", "0", "first", "latest", "1..3", "..3", "2.."] {
        let error = sandbox.run(&["fetch", "docs", which]).fails(3);
        assert!(error.to_string().contains("pool docs holds no messages"), "{which}: {error}");
    }
}

#[test]
fn of_a_range_what_is_there_is_printed_and_what_is_not_is_told() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    let line = format!("{{\"x\":\"{}\"}}\n", "y".repeat(1000));
    sandbox.run_with(&["feed", "docs"], line.repeat(200).as_bytes()).ok();
    let oldest = fetched(&sandbox, "first")[0];
    assert!(oldest > 100);
    for (which, first, last, missing) in [
        ("1..190".to_owned(), oldest, 190, 1),
        ("1..".to_owned(), oldest, 200, 1),
        ("198..300".to_owned(), 198, 200, 201),
        ("..300".to_owned(), oldest, 200, 201),
        ("0..300".to_owned(), oldest, 200, 0),
    ] {
        let ran = sandbox.run(&["fetch", "docs", &which]);
        let error = ran.error(3);
        assert_eq!(error["seq"], missing, "{which}: {error}");
        let lines = json_lines(&ran.out);
        assert_eq!(lines.first().unwrap()["seq"], first, "{which}");
        assert_eq!(lines.last().unwrap()["seq"], last, "{which}");
    }
    for which in ["1..2", "202..", "201", "18446744073709551615", "201..18446744073709551615"] {
        let error = sandbox.run(&["fetch", "docs", which]).fails(3);
        assert!(error["hint"].as_str().unwrap().contains("to 200"), "{which}: {error}");
    }
}

#[test]
fn what_is_no_number_says_what_is() {
    let sandbox = Sandbox::with_docs();
    for which in ["x", "1-3", "..x", "3..1", "-1", "1.5", "18446744073709551616", ""] {
        let error = sandbox.run(&["fetch", "docs", which]).fails(2);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("SEQ"), "{which}: {error}");
    }
    let error = sandbox.run(&["fetch", "docs", "x"]).fails(2);
    assert!(error["message"].as_str().unwrap().contains("17, first, latest"), "{error}");
}

#[test]
fn a_range_is_read_while_it_is_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "64K"]).ok();
    numbered(&sandbox, 5000);
    let mut feeder =
        sandbox.start(sandbox.shell("yes '{\"n\":0}' | plasmite feed docs > /dev/null"));
    for _ in 0..20 {
        let ran = sandbox.run(&["fetch", "docs", ".."]);
        assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
        let seqs: Vec<_> =
            json_lines(&ran.out).iter().map(|m| m["seq"].as_u64().unwrap()).collect();
        assert!(seqs.is_sorted_by(|a, b| a < b), "in order, none twice");
    }
    sandbox.run(&["pool", "delete", "docs"]).ok();
    feeder.status();
}
