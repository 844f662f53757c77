//! All conformance manifests on all surfaces.

use std::fs;
use std::path::PathBuf;

use crate::run::{Step, cargo, root};

/// Plays them against what cargo builds for debugging, and prints the table.
pub(crate) fn run() -> Result<(), String> {
    cargo("build of the command and library", &["build", "-p", "plasmite"]).run()?;
    let base = ["run", "--quiet", "-p", "plasmite-conformance", "--", "all"];
    let built = root().join("target/debug");
    let play = cargo("conformance, manifest by surface", &base)
        .env("PLASMITE_BIN", built.join("plasmite"))
        .env("PLASMITE_LIB_DIR", &built);
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
