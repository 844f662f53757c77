//! What the benchmark compares Plasmite with: built and installed below `target/peers`, apart from everything else.

use std::path::PathBuf;

use crate::need;
use crate::run::{cargo, root};

/// Of the `plasmite` crate.
const PLASMITE_1: &str = "1.2.1";

/// Where the peers are.
pub(crate) struct Peers {
    /// The program that drives them.
    pub(crate) program: PathBuf,
    /// The command of the `plasmite` crate; the benchmark says so if it is not there.
    pub(crate) plasmite_1: PathBuf,
}

/// Builds them. A peer that can't be had is left out, and the benchmark lists it with the reason.
pub(crate) fn build() -> Result<Peers, String> {
    let dir = root().join("target/peers");
    if let Err(why) = need::install_for_peers() {
        eprintln!("── {why}");
    }
    let plasmite_1 = dir.join("bin/plasmite");
    if !plasmite_1.exists() {
        let install = ["install", "--quiet", "--locked", "plasmite", "--version", PLASMITE_1];
        let step = cargo("the command of the plasmite crate", &install).arg("--root").arg(&dir);
        if let Err(why) = step.arg("--target-dir").arg(dir.join("plasmite-1")).run() {
            eprintln!("── {why}");
        }
    }
    let base = ["build", "--quiet", "--release", "--locked", "--target-dir"];
    let mut step = cargo("peers", &base).arg(&dir).dir("bench/peers");
    if !need::has_libclang() {
        step = step.arg("--no-default-features");
    }
    step.run()?;
    Ok(Peers { program: dir.join("release/plasmite-peers"), plasmite_1 })
}
