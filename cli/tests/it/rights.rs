//! Who may do what with the files that the command creates, and what it tells of messages to others.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::namespace::possible;
use crate::support::Sandbox;

/// Every file and directory below, with its permissions.
fn modes(dir: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push((name, metadata.mode() & 0o7777));
        if metadata.is_dir() {
            modes(&entry.path(), found);
        }
    }
}

const CREATE_EVERYTHING: &str = "
    plasmite pool create docs
    plasmite feed notes '{\"a\":1}' --create
    plasmite doctor notes --salvage saved
    plasmite pool resize notes --size 64K
    plasmite follow notes --tail 1 --one --cursor-file cursor
    plasmite export notes --file exported.jsonl
";

#[test]
fn what_is_created_honours_the_umask_and_is_never_writable_for_everybody() {
    for (umask, file, dir) in
        [("000", 0o664, 0o775), ("022", 0o644, 0o755), ("027", 0o640, 0o750), ("077", 0o600, 0o700)]
    {
        let sandbox = Sandbox::new();
        let script = format!("umask {umask}; {CREATE_EVERYTHING}");
        sandbox.finish(sandbox.shell(&script), b"");
        let mut found = Vec::new();
        modes(sandbox.path("pools").parent().unwrap(), &mut found);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        for wanted in ["docs.plasmite", "notes.plasmite", "saved.plasmite", "cursor", "pools"] {
            assert!(names.contains(&wanted), "{names:?}");
        }
        for (name, mode) in &found {
            let wanted = if name == "pools" { dir } else { file };
            assert_eq!(*mode, wanted, "umask {umask}: {name} has {mode:o}");
        }
    }
}

#[test]
fn the_log_of_a_mount_tells_nothing_of_what_messages_hold() {
    if !possible() {
        return;
    }
    let ran = Sandbox::new().in_namespace(
        "
        umask 0
        plasmite mount --background --log-level debug --log-file log pools m
        mkdir m/docs
        echo '{\"password\":\"hunter2\"}' > m/docs/x.json
        echo '{\"password\":\"hunter2\"}' >> m/docs/in
        echo '{\"password\":hunter2}' > m/docs/y.json
        echo 'hunter2' >> m/docs/in
        cat m/docs/1 m/docs/log > /dev/null
        plasmite unmount m; soon gone
        [ -s log ] && echo logged; grep -c hunter2 log
        stat -c %a log pools m",
    );
    assert!(ran.out.starts_with("logged\n0\n"), "{ran:?}");
    assert_eq!(ran.out.lines().skip(2).collect::<Vec<_>>(), ["664", "775", "775"], "{ran:?}");
}
