//! `plasmite doctor` and `plasmite pool resize`.

use std::fs;
use std::os::unix::fs::FileExt as _;

use crate::support::{Sandbox, json_lines};

/// A sandbox whose pool `docs` holds five messages.
fn filled() -> Sandbox {
    let sandbox = Sandbox::with_docs();
    for n in 1..=5 {
        let text = format!("{{\"n\":{n},\"text\":\"message number {n}\"}}");
        sandbox.feed("docs", &text, &["note"]);
    }
    sandbox
}

/// Changes a byte of the text of message `n` in the pool's file, and returns where.
fn spoil(sandbox: &Sandbox, n: u64) -> u64 {
    let path = sandbox.pool_file("docs");
    let content = fs::read(&path).unwrap();
    let text = format!("message number {n}");
    let at = content.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(b"M", at as u64).unwrap();
    at as u64
}

#[test]
fn healthy_pools_are_told_as_such_one_or_all() {
    let sandbox = filled();
    sandbox.run(&["pool", "create", "events"]).ok();
    let one = sandbox.run(&["doctor", "docs"]).json();
    assert_eq!((&one["name"], &one["status"]), (&"docs".into(), &"healthy".into()));
    assert_eq!((one["intact"].as_u64(), one["newest_seq"].as_u64()), (Some(5), Some(5)));
    assert_eq!(one["findings"].as_array().unwrap().len(), 0, "{one}");
    for args in [&["doctor"][..], &["doctor", "--all"], &["doctor", "--json"]] {
        let all = sandbox.run(args).json_lines();
        assert_eq!((all.len(), &all[0]), (2, &one));
        assert_eq!((&all[1]["name"], &all[1]["oldest_seq"]), (&"events".into(), &().into()));
    }
}

#[test]
fn damage_is_told_on_stdout_and_the_exit_code_is_7() {
    let sandbox = filled();
    let at = spoil(&sandbox, 3);
    sandbox.run(&["pool", "create", "events"]).ok();
    let ran = sandbox.run(&["doctor"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(7), ""), "{ran:?}");
    let told = json_lines(&ran.out);
    assert_eq!((&told[0]["status"], &told[1]["status"]), (&"damaged".into(), &"healthy".into()));
    let finding = &told[0]["findings"][0];
    assert_eq!((&finding["severity"], &finding["part"]), (&"damage".into(), &"frame".into()));
    assert_eq!(finding["seq"], 3);
    let offset = finding["offset"].as_u64().unwrap();
    assert!(offset < at && at - offset < 100, "{finding}: {at}");
    assert_eq!(told[0]["intact"], 4);
    // What is no pool at all.
    sandbox.forge("broken", b"hello");
    let ran = sandbox.run(&["doctor", "broken"]);
    assert_eq!((ran.code, &json_lines(&ran.out)[0]["status"]), (Some(7), &"damaged".into()));
}

#[test]
fn what_can_not_be_examined_is_an_error() {
    let sandbox = filled();
    let error = sandbox.run(&["doctor", "dosc"]).fails(3);
    assert!(error["hint"].as_str().unwrap().contains("\"docs\""), "{error}");
    assert_eq!(sandbox.run(&["doctor", "docs", "--all"]).fails(2)["kind"], "Usage");
    assert_eq!(sandbox.run(&["doctor", "--salvage", "new"]).fails(2)["kind"], "Usage");
    assert_eq!(
        sandbox.run(&["doctor", "docs", "--salvage", "docs"]).fails(4)["kind"],
        "AlreadyExists"
    );
    let none = Sandbox::new().run(&["doctor"]);
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
    assert!(none.err.contains("no pools"), "{none:?}");
}

#[test]
fn salvage_copies_what_is_intact_and_tells_what_is_lost() {
    let sandbox = filled();
    spoil(&sandbox, 3);
    let damaged = fs::read(sandbox.pool_file("docs")).unwrap();
    let saved = sandbox.run(&["doctor", "docs", "--salvage", "docs2"]).json();
    assert_eq!((&saved["name"], saved["messages"].as_u64()), (&"docs2".into(), Some(4)));
    assert_eq!((&saved["lost"], &saved["gaps"]), (&1.into(), &serde_json::json!([[3, 3]])));
    assert_eq!((&saved["renumbered"], &saved["next_seq"]), (&2.into(), &6.into()));
    let fetched = sandbox.run(&["fetch", "docs2", "5"]).json();
    assert_eq!(fetched, sandbox.run(&["fetch", "docs", "5"]).json());
    assert_eq!(sandbox.run(&["fetch", "docs2", "3"]).json()["data"]["n"], 2);
    assert_eq!(sandbox.run(&["doctor", "docs2"]).json()["status"], "healthy");
    assert_eq!(sandbox.feed("docs2", "{}", &[]), 6);
    assert_eq!(fs::read(sandbox.pool_file("docs")).unwrap(), damaged);
}

#[test]
fn resize_keeps_the_messages_and_tells_the_new_facts() {
    let sandbox = filled();
    let message = sandbox.run(&["fetch", "docs", "4"]).ok();
    let facts = sandbox.run(&["pool", "resize", "docs", "--size", "64K"]).json();
    assert_eq!((&facts["name"], &facts["size_bytes"]), (&"docs".into(), &65536.into()));
    assert_eq!((&facts["size_bytes_before"], &facts["dropped"]), (&1_048_576.into(), &0.into()));
    assert_eq!(facts["messages"], 5);
    assert_eq!(fs::metadata(sandbox.pool_file("docs")).unwrap().len(), 65536);
    assert_eq!(sandbox.run(&["fetch", "docs", "4"]).ok(), message);
    assert_eq!(sandbox.feed("docs", "{}", &[]), 6);
    assert_eq!(sandbox.run(&["pool", "resize", "docs", "--size", "1"]).fails(2)["kind"], "Usage");
    assert_eq!(sandbox.run(&["pool", "resize", "docs"]).fails(2)["kind"], "Usage");
    let error = sandbox.run(&["pool", "resize", "dosc", "--size", "1M"]).fails(3);
    assert!(error["hint"].as_str().unwrap().contains("\"docs\""), "{error}");
}

#[test]
fn people_are_told_in_words() {
    if !crate::support::have("/usr/bin/script") {
        return;
    }
    let sandbox = filled();
    let on_terminal = |script: &str| {
        let bin = env!("CARGO_BIN_EXE_plasmite");
        let line = format!("{bin} --dir {} {script}", sandbox.path("pools").display());
        let mut command = std::process::Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("NO_COLOR", "1");
        sandbox.finish(command, b"")
    };
    let told = on_terminal("doctor docs");
    assert!(told.out.contains("docs: healthy; 5 of 1 to 5 intact"), "{told:?}");
    spoil(&sandbox, 2);
    let told = on_terminal("doctor docs");
    assert_eq!(told.code, Some(7));
    assert!(
        told.out.contains("damage frame: the checksum of message 2 is wrong (byte "),
        "{told:?}"
    );
    assert!(told.out.contains("doctor docs --salvage NEW"), "{told:?}");
    let told = on_terminal("doctor docs --salvage docs2");
    assert!(told.out.contains("saved 4 messages of docs into docs2: 2 to 5"), "{told:?}");
    assert!(told.out.contains("lost: 1 (2)"), "{told:?}");
    let told = on_terminal("pool resize docs2 --size 64K");
    assert!(told.out.contains("resized docs2 from 1 MiB to 64 KiB: 4 messages stay"), "{told:?}");
}
