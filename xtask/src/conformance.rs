//! All conformance manifests on all surfaces.

use std::fs;
use std::path::PathBuf;

use crate::run::{self, Step, root};

/// Plays them against what cargo builds for debugging, and prints the table.
pub(crate) fn run() -> Result<(), String> {
    run::build().run()?;
    let debug = root().join("target/debug");
    let play = run::built("conformance, manifest by surface", "plasmite-conformance", &["all"])
        .env("PLASMITE_BIN", debug.join("plasmite"))
        .env("PLASMITE_LIB_DIR", &debug);
    manifests()?.iter().fold(play, Step::arg).run()
}

pub(crate) fn manifests() -> Result<Vec<PathBuf>, String> {
    let dir = root().join("conformance/manifests");
    let entries = fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|suffix| suffix == "json"));
    paths.push(root().join("conformance/sample-v0.json"));
    paths.sort();
    Ok(paths)
}
