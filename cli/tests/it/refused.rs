//! Files and names that are no pools: a clear error with the right exit code, for every verb, at once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::support::{Sandbox, have};

/// What every verb says about `pool`.
fn errors_of(sandbox: &Sandbox, pool: &str) -> Vec<(i32, Value)> {
    [
        &["feed", pool, "{}"][..],
        &["feed", pool],
        &["fetch", pool, "1"],
        &["follow", pool, "--tail", "1", "--timeout", "1s"],
        &["pool", "info", pool],
    ]
    .iter()
    .map(|args| {
        let ran = sandbox.run_with(args, b"{\"a\":1}\n");
        assert_eq!(ran.out, "", "{args:?}: {ran:?}");
        let code = ran.code.unwrap_or_else(|| panic!("{args:?} died: {ran:?}"));
        (code, ran.error(code))
    })
    .collect()
}

#[test]
fn files_that_are_no_pools_are_corrupt() {
    let sandbox = Sandbox::with_docs();
    let whole = fs::read(sandbox.pool_file("docs")).unwrap();
    let mut flipped = whole.clone();
    flipped.iter_mut().take(64).for_each(|byte| *byte ^= 0x55);
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("byte", b"x"),
        ("text", b"{\"this\":\"is no pool\"}\n"),
        ("garbage", &[0xa5; 65536]),
        ("zeros", &[0; 65536]),
        ("header", &whole[..4096]),
        ("half", &whole[..whole.len() / 2]),
        ("short", &whole[..whole.len() - 1]),
        ("flipped", &flipped),
    ] {
        let path = sandbox.forge(name, bytes);
        for (code, error) in errors_of(&sandbox, name) {
            assert_eq!((code, &error["kind"]), (7, &Value::from("Corrupt")), "{name}: {error}");
            assert_eq!(error["path"], path.to_str().unwrap());
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name} was changed");
    }
}

#[test]
fn directories_and_devices_are_no_pools() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.pool_file("dir")).unwrap();
    let fifo = sandbox.pool_file("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for pool in ["dir", "fifo", "/dev/null", "/dev/zero", "/", "/proc/self/mem"] {
        for (code, error) in errors_of(&sandbox, pool) {
            assert!(matches!(code, 2 | 6 | 7 | 8), "{pool}: {error}");
        }
    }
}

#[test]
fn names_that_no_pool_can_have_are_usage_errors() {
    let sandbox = Sandbox::new();
    let long = "x".repeat(300);
    for name in ["", ".", "..", "a\nb", &long, "nats://host/docs"] {
        for (code, error) in errors_of(&sandbox, name) {
            assert_eq!((code, &error["kind"]), (2, &Value::from("Usage")), "{name:?}: {error}");
        }
        sandbox.run(&["pool", "create", name]).fails(2);
        sandbox.run(&["pool", "delete", name]).fails(2);
    }
    assert!(!sandbox.path("pools").exists() || sandbox.run(&["pool", "list"]).ok().is_empty());
}

#[test]
fn a_directory_that_is_a_file_is_an_error() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("pools"), b"").unwrap();
    for args in [&["pool", "create", "docs"][..], &["feed", "docs", "{}", "--create"]] {
        let ran = sandbox.run(args);
        let code = ran.code.unwrap();
        assert!(matches!(code, 2 | 3 | 4 | 6 | 8), "{ran:?}");
        ran.fails(code);
    }
}

#[test]
fn pools_of_others_may_be_read_when_the_mode_allows_it() {
    if !have("/usr/bin/setpriv") || !rustix::process::geteuid().is_root() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    sandbox.feed("docs", "{\"a\":1}", &[]);
    let all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(sandbox.path(""), all.clone()).unwrap();
    fs::set_permissions(sandbox.path("pools"), all).unwrap();
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env"];
    let run = |args: &[&str]| sandbox.finish(sandbox.wrapped(&nobody, args), b"{}\n");

    fs::set_permissions(sandbox.pool_file("docs"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(run(&["fetch", "docs", "1", "--data-only"]).ok(), "{\"a\":1}\n");
    assert_eq!(run(&["follow", "docs", "--tail", "1", "--one", "--data-only"]).ok(), "{\"a\":1}\n");
    run(&["pool", "info", "docs"]).ok();
    let error = run(&["feed", "docs"]).fails(6);
    assert_eq!(error["kind"], "Permission");
    assert_eq!(error["path"], sandbox.pool_file("docs").to_str().unwrap());
    let error = run(&["pool", "create", "mine"]).fails(6);
    assert_eq!(error["kind"], "Permission");

    fs::set_permissions(sandbox.pool_file("docs"), fs::Permissions::from_mode(0o600)).unwrap();
    for args in [&["fetch", "docs", "1"][..], &["follow", "docs"], &["pool", "info", "docs"]] {
        assert_eq!(run(args).fails(6)["kind"], "Permission");
    }
}

#[test]
fn missing_messages_are_told_with_what_is_there() {
    let sandbox = Sandbox::with_docs();
    let error = sandbox.run(&["fetch", "docs", "1"]).fails(3);
    assert_eq!((&error["kind"], &error["seq"]), (&Value::from("NotFound"), &Value::from(1)));
    assert!(error["hint"].as_str().unwrap().contains("no messages"), "{error}");
    sandbox.feed("docs", "{}", &[]);
    for seq in ["0", "2", "18446744073709551615"] {
        let error = sandbox.run(&["fetch", "docs", seq]).fails(3);
        assert_eq!(error["seq"].to_string(), seq);
        assert!(error["hint"].as_str().unwrap().contains("1 to 1"), "{error}");
        assert!(error.get("path").is_none(), "{error}");
    }
}

#[test]
fn the_default_directory_needs_a_home() {
    let sandbox = Sandbox::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plasmite"));
    command.args(["pool", "create", "docs"]).env("HOME", sandbox.path("home"));
    sandbox.finish(command, b"").ok();
    assert!(sandbox.path("home/.plasmite/pools/docs.plasmite").exists());
}
