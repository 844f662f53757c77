//! Broken manifests are refused before their first step, by both runners, with what is wrong.

use std::os::unix::fs::symlink;

use crate::support::{Folder, command, manifest, run};

/// A manifest and words of its refusal.
type Case = (&'static str, &'static [&'static str]);

const MANIFESTS: &[Case] = &[
    ("", &["not JSON"]),
    ("{", &["not JSON"]),
    ("[]", &["conformance_version"]),
    (
        r#"{"name": "x", "workdir": "work", "steps": [{"op": "list_pools"}]}"#,
        &["conformance_version is missing"],
    ),
    (
        r#"{"conformance_version": 1, "name": "x", "workdir": "work", "steps": [{"op": "list_pools"}]}"#,
        &["conformance_version=1"],
    ),
    (
        r#"{"conformance_version": "0", "name": "x", "workdir": "work", "steps": [{"op": "list_pools"}]}"#,
        &["conformance_version"],
    ),
    (
        r#"{"conformance_version": 0, "workdir": "work", "steps": [{"op": "list_pools"}]}"#,
        &["missing field `name`"],
    ),
    (
        r#"{"conformance_version": 0, "name": "x", "steps": [{"op": "list_pools"}]}"#,
        &["missing field `workdir`"],
    ),
    (r#"{"conformance_version": 0, "name": "x", "workdir": "work"}"#, &["missing field `steps`"]),
    (
        r#"{"conformance_version": 0, "name": "x", "workdir": "work", "steps": []}"#,
        &["without steps"],
    ),
    (
        r#"{"conformance_version": 0, "name": "x", "workdir": "work", "step": [], "steps": [{"op": "list_pools"}]}"#,
        &["unknown field `step`"],
    ),
    (
        r#"{"conformance_version": 0, "name": "x", "workdir": "work", "not_on": {"fuse": "x"}, "steps": [{"op": "list_pools"}]}"#,
        &["fuse"],
    ),
    (
        r#"{"conformance_version": 0, "name": "x", "workdir": "work", "not_on": {"mount": " "}, "steps": [{"op": "list_pools"}]}"#,
        &["reason is missing"],
    ),
    (
        r#"{"conformance_version": 0, "name": "x", "name": "y", "workdir": "work", "steps": [{"op": "list_pools"}]}"#,
        &["\"name\"", "twice"],
    ),
];

/// Steps after a right one, and words of their refusal besides their index.
const STEPS: &[Case] = &[
    (r#"{"op": "destroy", "id": "bad"}"#, &["(bad)", "destroy"]),
    (r#"{"id": "bad"}"#, &["(bad)", "missing field `op`"]),
    (r#"{"op": "get", "id": "bad", "input": {"seq": 1}}"#, &["(bad)", "`pool` is missing"]),
    (r#"{"op": "list_pools", "id": "bad", "pool": "p"}"#, &["(bad)", "takes no `pool`"]),
    (r#"{"op": "get", "id": "bad", "pool": "p"}"#, &["(bad)", "missing field `seq`"]),
    (r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": "1"}}"#, &["(bad)"]),
    (r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": -1}}"#, &["(bad)"]),
    (r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1.0}}"#, &["(bad)"]),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1, "max": 1}}"#,
        &["(bad)", "unknown field `max`"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "inputs": {"seq": 1}}"#,
        &["(bad)", "unknown field `inputs`"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1}, "expects": {"seq": 1}}"#,
        &["(bad)", "unknown field `expects`"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1}, "expect": {"sequence": 1}}"#,
        &["(bad)", "unknown field `sequence`"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1}, "expect": {"count": 1}}"#,
        &["(bad)", "unknown field `count`"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1}, "expect": {"error": {}}}"#,
        &["(bad)", "missing field `kind`"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1}, "expect": {"error": {"kind": "Gone"}}}"#,
        &["(bad)", "Gone"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1}, "expect": {"error": {"kind": "NotFound", "has_sequence": true}}}"#,
        &["(bad)", "unknown field `has_sequence`"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1}, "expect": {"error": {"kind": "NotFound", "errno": "ENOENT"}}}"#,
        &["(bad)", "ENOENT"],
    ),
    (
        r#"{"op": "get", "id": "bad", "pool": "p", "input": {"seq": 1}, "expect": {"seq": 1, "error": {"kind": "NotFound"}}}"#,
        &["(bad)", "excludes"],
    ),
    (
        r#"{"op": "append", "id": "bad", "pool": "p", "input": {}}"#,
        &["(bad)", "either `data` or `text`"],
    ),
    (
        r#"{"op": "append", "id": "bad", "pool": "p", "input": {"data": {}, "text": "{}"}}"#,
        &["(bad)", "either `data` or `text`"],
    ),
    (
        r#"{"op": "append", "id": "bad", "pool": "p", "input": {"data": {}, "tag": ["a"]}}"#,
        &["(bad)", "unknown field `tag`"],
    ),
    (
        r#"{"op": "append", "id": "bad", "pool": "p", "input": {"data": {}, "durability": "safe"}}"#,
        &["(bad)", "safe"],
    ),
    (
        r#"{"op": "append", "id": "bad", "pool": "p", "input": {"data": {"n": 1, "n": 2}}}"#,
        &["twice"],
    ),
    (
        r#"{"op": "append", "id": "bad", "pool": "p", "input": {"data": {"n": 99999999999999999999}}}"#,
        &["rounded"],
    ),
    (r#"{"op": "append", "id": "bad", "pool": "p", "input": {"text": {"hex": "0"}}}"#, &["(bad)"]),
    (
        r#"{"op": "append", "id": "bad", "pool": "p", "input": {"text": {"repeat": ["x"]}}}"#,
        &["(bad)"],
    ),
    (
        r#"{"op": "append", "id": "bad", "pool": "p", "input": {"data": {}}, "expect": {"seqs": 1}}"#,
        &["(bad)", "unknown field `seqs`"],
    ),
    (
        r#"{"op": "append_many", "id": "bad", "pool": "p", "input": {"data": []}}"#,
        &["(bad)", "0 documents"],
    ),
    (
        r#"{"op": "append_stream", "id": "bad", "pool": "p", "input": {"text": "{}", "chunk_bytes": 0}}"#,
        &["(bad)", "at least 1"],
    ),
    (
        r#"{"op": "tail", "id": "bad", "pool": "p", "input": {"timeout": 0}}"#,
        &["(bad)", "unknown field `timeout`"],
    ),
    (
        r#"{"op": "tail", "id": "bad", "pool": "p", "expect": {"messages": [{"dat": 1}]}}"#,
        &["(bad)", "unknown field `dat`"],
    ),
    (
        r#"{"op": "tail", "id": "bad", "pool": "p", "expect": {"messages_unordered": true}}"#,
        &["(bad)", "without `messages`"],
    ),
    (
        r#"{"op": "pool_info", "id": "bad", "pool": "p", "expect": {"message": 1}}"#,
        &["(bad)", "unknown field `message`"],
    ),
    (
        r#"{"op": "create_pool", "id": "bad", "pool": "p", "expect": {"created": false}}"#,
        &["(bad)", "only be true"],
    ),
    (
        r#"{"op": "close_tail", "id": "bad", "input": {"reader": "r"}, "expect": {"closed": true}}"#,
        &["(bad)"],
    ),
    (r#"{"op": "spawn", "id": "bad", "pool": "p", "input": {"writers": []}}"#, &["(bad)", "empty"]),
    (
        r#"{"op": "spawn", "id": "bad", "pool": "p", "input": {"writers": [{"tags": []}]}}"#,
        &["(bad)", "either"],
    ),
    (
        r#"{"op": "spawn", "id": "bad", "pool": "p", "input": {"writers": [{"data": [{}]}], "alongside": [{"op": "list_pools"}]}}"#,
        &["(bad)", "only append, get and tail"],
    ),
    (
        r#"{"op": "race", "id": "bad", "input": {"processes": 1, "step": {"op": "list_pools"}}}"#,
        &["(bad)", "must be 2 to 64"],
    ),
    (
        r#"{"op": "race", "id": "bad", "input": {"processes": 2, "step": {"op": "spawn", "pool": "p", "input": {"writers": [{"data": []}]}}}}"#,
        &["(bad)", "can't be raced"],
    ),
    (
        r#"{"op": "race", "id": "bad", "input": {"processes": 2, "step": {"op": "list_pools", "expect": {}}}}"#,
        &["(bad)", "unknown field `expect`"],
    ),
    (
        r#"{"op": "corrupt_header", "id": "bad", "pool": "p", "input": {"offset": 0, "bytes": "xy"}}"#,
        &["(bad)", "hexadecimal"],
    ),
    (r#"{"op": "chmod", "id": "bad", "pool": "p", "input": {"mode": "9"}}"#, &["(bad)", "octal"]),
    (
        r#"{"op": "list_pools", "id": "bad", "not_on": {"mount": ""}}"#,
        &["(bad)", "reason is missing"],
    ),
    (r#"{"op": "list_pools", "id": "bad", "not_on": {"shell": "x"}}"#, &["(bad)", "shell"]),
    (
        r#"{"op": "list_pools", "id": "bad", "expect_on": {"mount": {"expect": {}}}}"#,
        &["(bad)", "missing field `because`"],
    ),
    (
        r#"{"op": "list_pools", "id": "bad", "expect_on": {"mount": {"because": "x", "expect": {"name": []}}}}"#,
        &["(bad)", "unknown field `name`"],
    ),
    (
        r#"{"op": "list_pools", "id": "bad", "not_on": {"mount": "x"}, "expect_on": {"mount": {"because": "x", "expect": {}}}}"#,
        &["(bad)", "in not_on and in expect_on"],
    ),
    (r#"{"op": "list_pools", "id": "first"}"#, &["(first)", "id is there twice"]),
    ("7", &["step 1 (?)"]),
];

/// Workdirs that the runners must not empty.
const ESCAPES: &[&str] =
    &["", ".", "..", "../victim", "work/../../victim", "/tmp", "link", "link/work"];

/// The runners that parse manifests.
const RUNNERS: [&str; 2] = ["rust", "python"];

fn refused(text: &str, words: &[&str]) {
    for runner in RUNNERS {
        let folder = Folder::new();
        let path = folder.write(text);
        let kept = folder.0.path().join("work/kept");
        std::fs::create_dir(folder.0.path().join("work")).unwrap();
        std::fs::write(&kept, "").unwrap();
        run(command(runner, &path)).failed(&format!("{runner}: {text}"), words);
        assert!(kept.exists(), "{runner} emptied the workdir of a broken manifest: {text}");
    }
}

#[test]
fn broken_manifests_are_refused_with_what_is_wrong() {
    for (text, words) in MANIFESTS {
        refused(text, words);
    }
}

#[test]
fn broken_steps_are_refused_with_index_and_id_and_what_is_wrong() {
    for (step, words) in STEPS {
        let text = manifest(&format!("{{\"op\": \"list_pools\", \"id\": \"first\"}}, {step}"));
        refused(&text, words);
    }
}

#[test]
fn a_manifest_that_is_not_there_or_not_utf_8_is_refused() {
    for runner in RUNNERS {
        let folder = Folder::new();
        let path = folder.0.path().join("none.json");
        run(command(runner, &path)).failed(runner, &["none.json"]);
        std::fs::write(&path, b"{\"name\":\"\xFF\"}").unwrap();
        run(command(runner, &path)).failed(runner, &["none.json", "not JSON"]);
    }
}

#[test]
fn a_workdir_that_leads_out_of_the_folder_is_refused_and_not_emptied() {
    for workdir in ESCAPES {
        for runner in RUNNERS {
            let folder = Folder::new();
            let [inside, victim] = ["inside", "victim"].map(|name| folder.0.path().join(name));
            std::fs::create_dir(&inside).unwrap();
            std::fs::create_dir(&victim).unwrap();
            std::fs::write(victim.join("precious"), "").unwrap();
            symlink(&victim, inside.join("link")).unwrap();
            let path = inside.join("manifest.json");
            let text = manifest(r#"{"op": "list_pools"}"#);
            std::fs::write(&path, text.replace("\"work\"", &format!("{workdir:?}"))).unwrap();
            run(command(runner, &path))
                .failed(&format!("{runner}: {workdir}"), &["workdir", "beside the manifest"]);
            assert!(victim.join("precious").exists() && path.exists(), "{runner}: {workdir}");
        }
    }
}
