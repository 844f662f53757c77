//! Rows of what one would use instead of Plasmite: measured by programs of their own (`bench/peers`,
//! `bench/python/peers.py`), round by round with ours.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde::Deserialize;

use crate::c_abi::library;
use crate::python;
use crate::report::{Compared, Unit};
use crate::rows::{Bench, Effort};

/// The system that the others are held against.
pub(crate) const FIRST: &str = "Plasmite";

/// Where the peers are.
#[derive(Clone)]
pub(crate) struct Peers {
    /// The program that drives them.
    pub(crate) program: PathBuf,
    /// The command of the `plasmite` crate 1.x, if it is installed.
    pub(crate) plasmite_1: PathBuf,
}

/// What the program prints on a line.
#[derive(Deserialize)]
struct Line {
    group: String,
    system: String,
    /// Nanoseconds.
    value: Option<f64>,
    /// In the place of them, of a row that is no time.
    bytes: Option<f64>,
    missing: Option<String>,
}

/// One round of a group.
pub(crate) fn rows(bench: &mut Bench, group: &str) {
    let Some(peers) = bench.peers.clone() else { return };
    let effort = if bench.effort == Effort::Quick { "quick" } else { "full" };
    let output = Command::new(&peers.program)
        .args(["round", group])
        .arg(&bench.dir)
        .arg(effort)
        .arg(library().with_file_name("plasmite"))
        .arg(&peers.plasmite_1)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", peers.program.display()));
    note(bench, group, &output);
}

/// One round of those that are driven from Python.
pub(crate) fn python_rows(bench: &mut Bench) {
    let dir = bench.dir.join("python-peers");
    fs::create_dir(&dir).unwrap();
    let mut script = python::script("peers.py");
    script.arg(&dir).arg((bench.count / 16).to_string());
    let output = script.stderr(Stdio::inherit()).output().expect("Python's peers need python3");
    note(bench, "Python", &output);
    fs::remove_dir_all(&dir).unwrap();
}

fn note(bench: &mut Bench, group: &str, output: &Output) {
    assert!(output.status.success(), "{group}: the peers failed");
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Line { group, system, value, bytes, missing } = serde_json::from_slice(line).unwrap();
        let unit = if bytes.is_some() { Unit::Bytes } else { Unit::Ns };
        let value = value.or(bytes).ok_or_else(|| missing.unwrap_or_default());
        bench.note_compared(Compared { group, system }, unit, value);
    }
}
