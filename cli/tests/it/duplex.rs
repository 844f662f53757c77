//! `plasmite duplex`: one terminal that reads and writes.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Proc, Sandbox, json_lines};

/// Starts one and returns when it shows what arrives.
fn duplex(sandbox: &Sandbox, args: &[&str]) -> Proc {
    sandbox.feed("docs", "{\"begin\":true}", &["room"]);
    let all = [&["duplex", "docs", "--tail", "1"], args].concat();
    let duplex = sandbox.spawn(&all);
    assert_eq!(duplex.json()["data"], json!({"begin": true}));
    duplex
}

#[test]
fn two_of_them_talk() {
    let sandbox = Sandbox::with_docs();
    let mut ann = duplex(&sandbox, &["--me", "ann"]);
    let mut bob = duplex(&sandbox, &["--me", "bob"]);
    assert_eq!(ann.json()["data"], json!({"begin": true}));
    for n in 0..3 {
        ann.write(&format!("hi \"{n}\"\n"));
        assert_eq!(bob.json()["data"], json!({"from": "ann", "msg": format!("hi \"{n}\"")}));
        bob.write("\nho\r\n");
        assert_eq!(ann.json()["data"], json!({"from": "bob", "msg": "ho"}), "without its own");
    }
    drop(ann.stdin.take());
    assert_eq!(ann.end(), (Some(0), String::new()));
    bob.signal(Signal::INT);
    assert_eq!(bob.end(), (Some(130), String::new()));
}

#[test]
fn the_end_of_the_input_ends_it_after_everything_was_shown() {
    let sandbox = Sandbox::with_docs();
    sandbox.feed("docs", "{\"n\":1}", &[]);
    let input = b"{\"n\":2}{\"n\":3}\n{\n\"n\": 4\n}";
    let args = ["duplex", "docs", "--tail", "9", "--echo"];
    let shown = sandbox.run_with(&args, input).json_lines();
    assert_eq!(shown.iter().map(|m| m["data"]["n"].clone()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(sandbox.run_with(&["duplex", "docs"], b"{}").ok(), "");
    let shown = sandbox.run_with(&["duplex", "docs", "--me", "x", "--echo"], b"no newline");
    assert_eq!(shown.json()["data"], json!({"from": "x", "msg": "no newline"}));
    sandbox.run(&["duplex", "new", "--create"]).ok();
    sandbox.run(&["duplex", "nowhere"]).fails(3);
}

#[test]
fn tags_are_given_and_asked_for() {
    let sandbox = Sandbox::with_docs();
    let mut room = duplex(&sandbox, &["--tag", "room", "--where", ".data.n != 2"]);
    sandbox.feed("docs", "{\"n\":1}", &["other"]);
    sandbox.feed("docs", "{\"n\":2}", &["room"]);
    sandbox.feed("docs", "{\"n\":3}", &["room"]);
    assert_eq!(room.json()["data"], json!({"n": 3}));
    room.write("{\"n\":4}\n");
    drop(room.stdin.take());
    assert_eq!(room.end().0, Some(0));
    assert_eq!(sandbox.run(&["fetch", "docs", "latest"]).json()["meta"]["tags"], json!(["room"]));
}

#[test]
fn what_is_no_json_ends_a_script() {
    let sandbox = Sandbox::with_docs();
    let ran = sandbox.run_with(&["duplex", "docs", "--echo"], b"{\"n\":1}\noops\n{\"n\":2}\n");
    assert_eq!(ran.error(2)["offset"], 8);
    assert_eq!(json_lines(&ran.out).len(), 1);
}

#[test]
fn a_pool_deleted_under_it_ends_it_with_3() {
    let sandbox = Sandbox::with_docs();
    let mut duplex = duplex(&sandbox, &["--me", "ann"]);
    sandbox.run(&["pool", "delete", "docs"]).ok();
    assert_eq!(duplex.end().0, Some(3));
}

#[test]
fn a_reader_that_goes_away_ends_it_with_0() {
    let sandbox = Sandbox::with_docs();
    sandbox.feed("docs", "{\"n\":1}", &[]);
    let mut duplex = sandbox.start(sandbox.shell("plasmite duplex docs --tail 1 | head -n 1"));
    assert_eq!(duplex.json()["seq"], 1);
    // Its own input stays open.
    assert_eq!(duplex.status().code(), Some(0));
}
