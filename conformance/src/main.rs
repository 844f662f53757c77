//! Plays conformance manifests through the Rust API, the command and the mount, and shows what all surfaces made of them.
//!
//! `play SURFACE MANIFEST` plays one manifest through one surface: silent when all is right, otherwise the step's index
//! and id on stderr and exit code 1. `all` plays manifests through every surface, Python's too, and prints a table.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may end so"))]

mod child;
mod envelope;
mod expect;
mod kind;
mod manifest;
mod outcome;
mod play;
mod root;
mod surfaces;
mod table;
mod watchdog;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use manifest::SurfaceName;

const USAGE: &str = "\
usage: plasmite-conformance play SURFACE MANIFEST
       plasmite-conformance all MANIFEST...

SURFACE is rust, command or mount; python has a runner of its own: bindings/python/cmd/plasmite_conformance.py.
PLASMITE_BIN names the command [default: plasmite beside this program].
PLASMITE_CONFORMANCE_STEP_SECONDS is how long a step may take [default: 120].
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["play", surface, path] => match SurfaceName::parse(surface) {
            Some(surface) if surface != SurfaceName::Python => play::play(surface, Path::new(path)),
            _ => return usage(),
        },
        ["all", first, rest @ ..] => {
            let paths = std::iter::once(first).chain(rest).map(PathBuf::from).collect();
            table::play_all(paths)
        }
        [child::VERB] => child::run(),
        _ => return usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}
