//! What people see: short text, coloured unless `NO_COLOR`. `script` provides the terminal.

use std::process::Command;

use crate::support::{Ran, Sandbox, have};

/// Runs a shell line on a terminal: its output, stderr included, with plain line ends.
pub(crate) fn on_terminal(
    sandbox: &Sandbox,
    line: &str,
    env: &[(&str, &str)],
    input: &[u8],
) -> Ran {
    let line = line.replace(
        "plasmite ",
        &format!(
            "'{}' --dir '{}' ",
            env!("CARGO_BIN_EXE_plasmite"),
            sandbox.path("pools").display()
        ),
    );
    let mut command = Command::new("script");
    command
        .args(["-qec", &format!("stty cols 80 rows 24; {line}"), "/dev/null"])
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .env_remove("NO_COLOR")
        .envs(env.iter().copied())
        .current_dir(sandbox.path(""));
    let mut ran = sandbox.finish(command, input);
    ran.out = ran.out.replace("\r\n", "\n");
    ran
}

pub(crate) const SCRIPT: &str = "/usr/bin/script";

#[test]
fn messages_are_short_text_with_colour() {
    if !have(SCRIPT) {
        return;
    }
    let sandbox = Sandbox::with_docs();
    sandbox.feed("docs", "{\"text\":\"\u{9b}2J\"}", &["note"]);
    let line = "plasmite follow docs --tail 1 --one";
    let coloured = on_terminal(&sandbox, line, &[], b"").out;
    assert!(coloured.contains("\u{1b}["), "{coloured:?}");
    let plain = on_terminal(&sandbox, line, &[("NO_COLOR", "1")], b"").out;
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(plain.starts_with("1 2"), "{plain:?}");
    assert!(plain.ends_with("Z #note {\"text\":\"\\u009b2J\"}\n"), "{plain:?}");
    let jsonl = on_terminal(&sandbox, &format!("{line} --jsonl"), &[], b"").out;
    assert!(jsonl.starts_with("{\"seq\":1,"), "{jsonl:?}");
}

#[test]
fn errors_are_text_with_a_hint() {
    if !have(SCRIPT) {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let ran = on_terminal(&sandbox, "plasmite feed doc '{}'", &[("NO_COLOR", "1")], b"");
    assert_eq!(ran.code, Some(3));
    assert!(ran.out.starts_with("error: "), "{ran:?}");
    assert!(ran.out.contains("\nhint: did you mean \"docs\"?\n"), "{ran:?}");
    let ran = on_terminal(&sandbox, "plasmite fedd doc", &[("NO_COLOR", "1")], b"");
    assert_eq!(ran.code, Some(2));
    assert!(ran.out.contains("'feed'"), "{ran:?}");
    let ran = on_terminal(&sandbox, "plasmite feed doc '{}'", &[], b"");
    assert!(ran.out.starts_with("\u{1b}["), "{ran:?}");
}

#[test]
fn tables_are_text_and_json_on_demand() {
    if !have(SCRIPT) {
        return;
    }
    let sandbox = Sandbox::with_docs();
    sandbox.forge("broken", b"x");
    sandbox.feed("docs", "{}", &[]);
    let plain = &[("NO_COLOR", "1")];
    let list = on_terminal(&sandbox, "plasmite pool list", plain, b"").out;
    assert!(list.starts_with("NAME "), "{list}");
    assert!(list.contains("\ndocs ") && list.contains(" 1 MiB "), "{list}");
    assert!(list.contains("\nbroken  Corrupt: "), "{list}");
    let info = on_terminal(&sandbox, "plasmite pool info docs", plain, b"").out;
    assert!(info.contains("  messages        1 (1 to 1)\n"), "{info}");
    for line in
        ["plasmite pool list --json", "plasmite pool info docs --json", "plasmite version --json"]
    {
        let json = on_terminal(&sandbox, line, plain, b"").out;
        assert!(json.starts_with('{'), "{json}");
    }
    let version = on_terminal(&sandbox, "plasmite version", plain, b"").out;
    assert!(version.starts_with("plasmite 0"), "{version}");
    let created = on_terminal(&sandbox, "plasmite pool create new", plain, b"").out;
    assert!(created.starts_with("created new: 1 MiB at /"), "{created}");
    let deleted = on_terminal(&sandbox, "plasmite pool delete new", plain, b"").out;
    assert_eq!(deleted, "deleted new\n");
}

#[test]
fn feed_on_a_terminal_says_what_to_type_and_ends_with_ctrl_d() {
    if !have(SCRIPT) {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let ran = on_terminal(&sandbox, "plasmite feed docs", &[("NO_COLOR", "1")], b"{\"a\":1}\n\x04");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("Ctrl-D ends"), "{ran:?}");
    assert!(ran.out.contains("Z in docs\n"), "{ran:?}");
    assert_eq!(sandbox.run(&["fetch", "docs", "1", "--data-only"]).ok(), "{\"a\":1}\n");
}

#[test]
fn a_large_file_has_a_bar_on_a_terminal_and_a_sum_instead_of_receipts() {
    if !have(SCRIPT) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "32M"]).ok();
    let line = format!("{{\"x\":\"{}\"}}\n", "y".repeat(1000));
    std::fs::write(sandbox.path("big.jsonl"), line.repeat(10_000)).unwrap();
    let plain = &[("NO_COLOR", "1")];
    let fed = on_terminal(&sandbox, "plasmite feed docs --file big.jsonl", plain, b"");
    assert!(fed.out.contains("% of 9.6"), "{:?}", fed.out.get(..200));
    assert!(fed.out.ends_with("10000 messages appended to docs, the last is 10000\n"));
    let exported = on_terminal(&sandbox, "plasmite export docs --file out.jsonl", plain, b"");
    assert!(exported.out.contains("% of 10000 messages"), "{exported:?}");
    // In a pipe there is neither.
    let ran = sandbox.run(&["feed", "docs", "--file", "big.jsonl"]);
    assert_eq!(ran.ok().lines().count(), 10_000);
}
