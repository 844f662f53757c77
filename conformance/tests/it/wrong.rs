//! A wrong expectation fails, whatever it is about.

use crate::support::{Folder, SURFACES, built, command, manifest, play, run};

/// What every manifest here begins with: a pool with three messages.
const BEGINNING: &str = r#"
    {"op": "create_pool", "id": "create", "pool": "p", "input": {"size_bytes": 65536}},
    {"op": "append_many", "id": "three", "pool": "p", "input": {"data": [{"w": 1, "n": 1}, {"w": 1, "n": 2}, {"w": 2, "n": 1}]}},
    {"op": "open_tail", "id": "open", "pool": "p", "input": {"reader": "r"}},"#;

/// Steps that are right but for what they expect.
const WRONG: &[&str] = &[
    r#"{"op": "append", "id": "wrong", "pool": "p", "input": {"data": {}}, "expect": {"seq": 5}}"#,
    r#"{"op": "append", "id": "wrong", "pool": "none", "input": {"data": {}}}"#,
    r#"{"op": "append", "id": "wrong", "pool": "p", "input": {"data": {}}, "expect": {"error": {"kind": "Usage"}}}"#,
    r#"{"op": "append", "id": "wrong", "pool": "p", "input": {"data": []}, "expect": {"error": {"kind": "NotFound"}}}"#,
    r#"{"op": "append", "id": "wrong", "pool": "p", "input": {"data": []}, "expect": {"error": {"kind": "Usage", "message_contains": "nonsense"}}}"#,
    r#"{"op": "append_many", "id": "wrong", "pool": "p", "input": {"data": [{}]}, "expect": {"first_seq": 3}}"#,
    r#"{"op": "append_many", "id": "wrong", "pool": "p", "input": {"data": [{}]}, "expect": {"count": 2}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 1}, "expect": {"seq": 2}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 1}, "expect": {"data": {"w": 1, "n": 2}}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 1}, "expect": {"data": {"w": 1, "n": 1.0}}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 1}, "expect": {"data": {"w": 1, "n": true}}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 1}, "expect": {"data": null}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 1}, "expect": {"text": "{\"w\": 1}"}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 1}, "expect": {"tags": ["a"]}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 9}, "expect": {"error": {"kind": "Corrupt"}}}"#,
    r#"{"op": "tail", "id": "wrong", "pool": "p", "input": {"timeout_ms": 0}, "expect": {"messages": [{}, {}]}}"#,
    r#"{"op": "tail", "id": "wrong", "pool": "p", "input": {"timeout_ms": 0}, "expect": {"messages": [{"seq": 2}, {"seq": 1}, {"seq": 3}]}}"#,
    r#"{"op": "tail", "id": "wrong", "pool": "p", "input": {"timeout_ms": 0}, "expect": {"messages_unordered": true, "messages": [{"seq": 2}, {"seq": 1}, {"seq": 1}]}}"#,
    r#"{"op": "tail", "id": "wrong", "pool": "p", "input": {"timeout_ms": 0}, "expect": {"count": 2}}"#,
    r#"{"op": "tail", "id": "wrong", "pool": "p", "input": {"timeout_ms": 0}, "expect": {"first_seq": 2}}"#,
    r#"{"op": "tail", "id": "wrong", "pool": "p", "input": {"timeout_ms": 0}, "expect": {"last_seq": 4}}"#,
    r#"{"op": "tail", "id": "wrong", "pool": "p", "input": {"timeout_ms": 0}, "expect": {"numbered_by": "n"}}"#,
    r#"{"op": "tail", "id": "wrong", "pool": "p", "input": {"timeout_ms": 0}, "expect": {"numbered_by": "x"}}"#,
    r#"{"op": "read_tail", "id": "wrong", "input": {"reader": "r", "max": 1}, "expect": {"first_seq": 2}}"#,
    r#"{"op": "read_tail", "id": "wrong", "input": {"reader": "never-opened", "max": 1}}"#,
    r#"{"op": "list_pools", "id": "wrong", "expect": {"names": []}}"#,
    r#"{"op": "pool_info", "id": "wrong", "pool": "p", "expect": {"messages": 4}}"#,
    r#"{"op": "create_pool", "id": "wrong", "pool": "p", "expect": {"created": true}}"#,
    r#"{"op": "delete_pool", "id": "wrong", "pool": "none", "expect": {"deleted": true}}"#,
    r#"{"op": "race", "id": "wrong", "input": {"processes": 2, "step": {"op": "get", "pool": "p", "input": {"seq": 1}}}, "expect": {"succeeded": 1}}"#,
    r#"{"op": "race", "id": "wrong", "input": {"processes": 2, "step": {"op": "get", "pool": "p", "input": {"seq": 9}}}, "expect": {"succeeded": 0, "failed": {"NotFound": 1}}}"#,
    r#"{"op": "spawn", "id": "wrong", "pool": "none", "input": {"writers": [{"data": [{}]}]}}"#,
    r#"{"op": "spawn", "id": "wrong", "pool": "p", "input": {"writers": [{"data": [{}]}], "alongside": [
        {"op": "get", "pool": "p", "input": {"seq": 1}, "expect": {"seq": 2}}]}}"#,
    r#"{"op": "corrupt_header", "id": "wrong", "pool": "none", "input": {"offset": 0, "bytes": "00"}}"#,
    r#"{"op": "chmod", "id": "wrong", "pool": "none", "input": {"mode": "600"}}"#,
];

/// What the mount, which tells an errno and no more when something is read, can't show to be wrong.
const WRONG_BUT_FOR_THE_MOUNT: &[&str] = &[
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 9}, "expect": {"error": {"kind": "NotFound", "has_seq": false}}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 9}, "expect": {"error": {"kind": "NotFound", "has_path": true}}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 9}, "expect": {"error": {"kind": "NotFound", "has_offset": true}}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 9}, "expect": {"error": {"kind": "NotFound", "message_contains": "nonsense"}}}"#,
    r#"{"op": "get", "id": "wrong", "pool": "p", "input": {"seq": 9}, "expect": {"error": {"kind": "NotFound", "message_contains": ["9", "nonsense"]}}}"#,
];

fn fails(surface: &str, step: &str) {
    let played = play(surface, &manifest(&format!("{BEGINNING}{step}")));
    played.failed(&format!("{surface}: {step}"), &["step 3 (wrong): "]);
}

fn all_fail(surface: &str) {
    play(surface, &manifest(&format!("{BEGINNING}{}", r#"{"op": "list_pools"}"#))).passed(surface);
    WRONG.iter().for_each(|step| fails(surface, step));
    if surface != "mount" {
        WRONG_BUT_FOR_THE_MOUNT.iter().for_each(|step| fails(surface, step));
    }
}

#[test]
fn wrong_expectations_fail_with_index_and_id_through_rust() {
    all_fail("rust");
}

#[test]
fn wrong_expectations_fail_with_index_and_id_through_python() {
    all_fail("python");
}

#[test]
fn wrong_expectations_fail_with_index_and_id_through_the_command() {
    all_fail("command");
}

#[test]
fn wrong_expectations_fail_with_index_and_id_through_the_mount() {
    all_fail("mount");
}

#[test]
fn on_the_mount_a_wrong_errno_fails() {
    let step = r#"{"op": "append", "id": "wrong", "pool": "p", "input": {"data": []}, "expect": {"error": {"kind": "Usage", "errno": "EFBIG"}}}"#;
    fails("mount", step);
}

#[test]
fn without_an_id_the_op_is_named() {
    for surface in SURFACES {
        let played =
            play(surface, &manifest(r#"{"op": "list_pools", "expect": {"names": ["x"]}}"#));
        played.failed(surface, &["step 0 (list_pools): "]);
    }
}

/// A `plasmite` that does one thing wrong, as a shell script around the right one.
fn with_a_bad_command(script: &str, steps: &str) -> crate::support::Played {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let bad = folder.0.path().join("plasmite");
    let right = built().join("plasmite");
    std::fs::write(&bad, format!("#!/bin/sh\nright={}\n{script}\n", right.display())).unwrap();
    std::fs::set_permissions(&bad, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command("command", &folder.write(&manifest(steps)));
    command.env("PLASMITE_BIN", bad);
    run(command)
}

#[test]
fn a_command_with_a_wrong_exit_code_fails() {
    let step = r#"{"op": "get", "pool": "p", "input": {"seq": 1}, "expect": {"error": {"kind": "NotFound"}}}"#;
    with_a_bad_command("exec \"$right\" \"$@\"", step).passed("the right one");
    with_a_bad_command("\"$right\" \"$@\" || exit 1", step)
        .failed("exit 1", &["step 0", "exit code"]);
    with_a_bad_command("\"$right\" \"$@\" || exit 0", step).failed("exit 0", &["step 0"]);
    with_a_bad_command("\"$right\" \"$@\" 2>&1", step).failed("no stderr", &["step 0"]);
    let text = "\"$right\" \"$@\" 2>/dev/null; code=$?; echo 'no such pool' >&2; exit $code";
    with_a_bad_command(text, step).failed("text on stderr", &["step 0", "without an error"]);
}

#[test]
fn a_command_that_changes_the_envelope_fails() {
    let steps = r#"{"op": "create_pool", "pool": "p"}, {"op": "append", "pool": "p", "input": {"data": {"n": 1}}},
        {"op": "get", "pool": "p", "input": {"seq": 1}}"#;
    with_a_bad_command("exec \"$right\" \"$@\"", steps).passed("the right one");
    let spaced = "\"$right\" \"$@\" | sed 's/\"meta\":/\"meta\": /'";
    with_a_bad_command(spaced, steps).failed("a space", &["step 1"]);
    let only_get =
        "case \"$*\" in *fetch*) \"$right\" \"$@\" | sed 's/,/, /';; *) \"$right\" \"$@\";; esac";
    with_a_bad_command(only_get, steps).failed("a space in get", &["step 2", "envelope"]);
}
