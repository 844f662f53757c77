//! Rows of the Python client, against the library just built for release.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cpus::Cpus;
use crate::processes;
use crate::report::AllowedOf;
use crate::rows::Bench;

const DUMPS: &str = "Python json.dumps, small dict";
const LOADS: &str = "Python json.loads, small dict";

const ROWS_PY: &str = "rows.py";

/// The name of each row that the script measures, its limit, and its aim.
const ROWS: &[(&str, AllowedOf, Option<f64>)] = &[
    (DUMPS, None, None),
    ("Python append, small dict", Some((DUMPS, 2.5)), Some(6000.0)),
    ("Python append_many, {'n': 1}", None, Some(1000.0)),
    ("Python append_many, small dicts", None, Some(1000.0)),
    ("Python raw tail, small messages", None, Some(1000.0)),
    (LOADS, None, None),
    ("Python get with data, small dict", Some((LOADS, 2.5)), None),
    ("Python tail with data, small dict", Some((LOADS, 1.5)), Some(4000.0)),
];

/// A script, with the client of this repository and the library beside this program.
pub(crate) fn script(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new("python3");
    python
        .arg(root.join("python").join(name))
        .env("PYTHONPATH", root.join("../bindings/python/src"))
        .env("PLASMITE_LIB_DIR", crate::c_abi::library().parent().unwrap());
    python
}

pub(crate) fn rows(bench: &mut Bench) {
    let count = (bench.count / 4).to_string();
    let output =
        script(ROWS_PY).arg("measure").arg(&bench.dir).arg(count).stderr(Stdio::inherit()).output();
    let output = output.expect("the rows of Python need python3");
    assert!(output.status.success(), "the Python half of the benchmark failed");
    let measured: HashMap<String, f64> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(measured.len(), ROWS.len());
    for &(name, limit, aim) in ROWS {
        bench.note(name, measured[name], limit, aim);
    }
}

/// Nanoseconds until a Python program is awake that waits on a futex through ctypes, and does nothing else: the median.
pub(crate) fn wake_floor(dir: &Path, count: u64, cpus: Cpus) -> f64 {
    let mut waiting = script(ROWS_PY);
    waiting.arg("wake-floor").arg(dir.join("wake")).arg(count.to_string());
    processes::wake_floor(dir, &mut waiting, count, cpus)
}

/// Nanoseconds until a message is in the hands of a Python program that waits in a tail: the median.
pub(crate) fn wake_up(dir: &Path, count: u64, cpus: Cpus) -> f64 {
    arrival(dir, "wake", count, cpus)
}

/// The same of one that spins.
pub(crate) fn spin(dir: &Path, count: u64, cpus: Cpus) -> f64 {
    arrival(dir, "spin", count, cpus)
}

fn arrival(dir: &Path, how: &str, count: u64, cpus: Cpus) -> f64 {
    let path = dir.join("python-wakes.plasmite");
    let mut waiting = script(ROWS_PY);
    waiting.arg(how).arg(&path).arg(count.to_string());
    processes::wake_program(&path, &mut waiting, count, cpus)
}

/// Which Python is measured.
pub(crate) fn version() -> String {
    let output = Command::new("python3").arg("--version").output();
    output.map_or("no Python".to_owned(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}
