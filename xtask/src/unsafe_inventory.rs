//! Where `unsafe` is: in the folders that CONTRIBUTING.md names and nowhere else, each with its reason.
//!
//! The compiler's lints hold each block to a SAFETY comment. What they leave open is checked here: that no other file switches the lint
//! off, that functions which are `unsafe` say what they ask for, and how many there are of each, so that a new one is seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::root;

/// The files that may hold `unsafe`, folder by folder; `checks` is built for tests alone.
const ALLOWED: &[&str] = &["core/src/checks/", "core/src/sys/", "fusefs/src/sys.rs", "ffi/src/"];
/// Crates whose sources go to users.
const CRATES: &[&str] = &["core/src", "fusefs/src", "ffi/src", "cli/src", "cli/build"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for dir in CRATES.iter().map(|dir| root().join(dir)).filter(|dir| dir.exists()) {
        sources(&dir, &mut found);
    }
    found.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Lines of code that have the word, without comments, attributes and the lint's name.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| {
        let code = line.split("//").next().unwrap_or_default();
        let words = || code.split(|c: char| !c.is_alphanumeric() && c != '_');
        words().any(|word| word == "unsafe") && !code.trim_start().starts_with('#')
    })
}

#[test]
fn unsafe_is_only_where_it_may_be() {
    for (name, text) in all() {
        let allowed = ALLOWED.iter().any(|prefix| name.starts_with(prefix));
        let found: Vec<_> = lines(&text).map(|(n, line)| (n + 1, line)).collect();
        assert!(allowed || found.is_empty(), "{name}: {found:?}");
        let lint_off = text.contains("allow(unsafe_code)") || text.contains("expect(unsafe_code)");
        assert!(allowed || !lint_off, "{name} switches the lint off");
    }
}

#[test]
fn each_unsafe_has_its_reason() {
    let mut count = BTreeMap::new();
    for (name, text) in all() {
        let all: Vec<&str> = text.lines().collect();
        for (at, line) in lines(&text) {
            *count.entry(name.clone()).or_insert(0) += 1;
            // A function that is unsafe, or a C function, says what it asks for: itself, or the header that is its manual.
            let is_function = line.contains("unsafe fn") || line.contains("unsafe extern \"C\" fn");
            let wanted: &[&str] = if is_function {
                &["# Safety", "`plsm_", "SAFETY:", "#[unsafe(no_mangle)]"]
            } else {
                &["SAFETY:"]
            };
            // The reason stands above the statement, which may have begun some lines before.
            let above = &all[at.saturating_sub(12)..=at];
            let reason = above.iter().any(|line| wanted.iter().any(|w| line.contains(w)));
            assert!(reason, "{name}:{}: {line}", at + 1);
        }
    }
    let total: usize = count.values().sum();
    println!("{total} lines with unsafe in {} files: {count:#?}", count.len());
    assert!(total > 30, "{count:?}");
}
