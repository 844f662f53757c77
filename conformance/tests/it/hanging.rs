//! A step that hangs is ended, and what it started goes with it.

use std::fs;

use crate::support::{Folder, SURFACES, command, manifest, run};

/// Waits for a message that nobody appends.
const HANGS: &str = r#"{"op": "create_pool", "pool": "p"}, {"op": "tail", "id": "hangs", "pool": "p", "input": {"max": 1}}"#;
/// The same in other processes.
const CHILDREN_HANG: &str = r#"{"op": "create_pool", "pool": "p"}, {"op": "race", "id": "hangs",
    "input": {"processes": 3, "step": {"op": "tail", "pool": "p", "input": {"max": 1}}}}"#;
/// A reader that is stopped meanwhile.
const READER_HANGS: &str = r#"{"op": "create_pool", "pool": "p"}, {"op": "append", "pool": "p", "input": {"data": {}}},
    {"op": "open_tail", "pool": "p", "input": {"reader": "stopped"}}, {"op": "read_tail", "input": {"reader": "stopped", "max": 1}},
    {"op": "tail", "id": "hangs", "pool": "p", "input": {"max": 2}}"#;

/// Processes that have this in their environment, with their command lines.
fn processes_with(mark: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            environ.windows(mark.len()).any(|window| window == mark.as_bytes())
        })
        .map(|entry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
        .collect()
}

/// How long a step may take here: longer than any that does not hang, also on a busy machine.
const LIMIT: &str = "8";

/// Plays steps of which one hangs through all surfaces at once.
fn all_end(steps: &str, index: usize) {
    std::thread::scope(|scope| {
        for surface in SURFACES {
            scope.spawn(move || ends(surface, steps, index));
        }
    });
}

fn ends(surface: &str, steps: &str, index: usize) {
    let folder = Folder::new();
    let mark = format!("{}/mark", folder.0.path().display());
    let temporary = folder.0.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = command(surface, &folder.write(&manifest(steps)));
    command
        .env("PLASMITE_CONFORMANCE_STEP_SECONDS", LIMIT)
        .env("MARK", &mark)
        .env("TMPDIR", &temporary);
    let label = format!("step {index} (hangs): not done after {LIMIT} s");
    run(command).failed(surface, &[&label]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(temporary.to_str().unwrap()), "{surface} left a mount: {mounts}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{surface} left something behind");
    let start = std::time::Instant::now();
    // A killed process takes a moment to be gone.
    while !processes_with(&mark).is_empty() {
        let left = processes_with(&mark);
        assert!(start.elapsed().as_secs() < 20, "{surface} left processes: {left:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_hanging_step_is_ended_on_every_surface() {
    all_end(HANGS, 1);
}

#[test]
fn hanging_processes_are_ended_with_the_runner() {
    all_end(CHILDREN_HANG, 1);
}

#[test]
fn stopped_readers_are_ended_with_the_runner() {
    all_end(READER_HANGS, 4);
}

#[test]
fn a_limit_that_is_no_number_is_refused() {
    for runner in ["rust", "python"] {
        let folder = Folder::new();
        let mut command = command(runner, &folder.write(&manifest(HANGS)));
        command.env("PLASMITE_CONFORMANCE_STEP_SECONDS", "soon");
        run(command).failed(runner, &["PLASMITE_CONFORMANCE_STEP_SECONDS=soon"]);
    }
}
