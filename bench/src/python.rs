//! Rows of the Python client, against the library just built for release.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use plasmite_core::{Durability, Pool, Seq};

use crate::cpus::Cpus;
use crate::limits::each;
use crate::processes;
use crate::readers::read_as_json;
use crate::rows::Bench;

const DUMPS: &str = "Python json.dumps, small dict";
const LOADS: &str = "Python json.loads, small dict";

const DUMPS_SMALLEST: &str = "Python json.dumps of many, {'n': 1}";
const DUMPS_SMALL: &str = "Python json.dumps of many, small dicts";
/// What there is to read, without Python.
const RUST_TAIL: &str = "Rust tail, small messages, as JSON";

const ROWS_PY: &str = "rows.py";

/// The name of a row, and how many times of it are allowed, if that is said.
type Limit = Option<(&'static str, Option<f64>)>;

/// The name of each row that the script measures, its limit, and its aim.
const ROWS: &[(&str, Limit, Option<f64>)] = &[
    (DUMPS, None, None),
    ("Python append, small dict", Some((DUMPS, Some(2.5))), Some(6000.0)),
    (DUMPS_SMALLEST, None, None),
    ("Python append_many, {'n': 1}", Some((DUMPS_SMALLEST, None)), Some(1000.0)),
    (DUMPS_SMALL, None, None),
    ("Python append_many, small dicts", Some((DUMPS_SMALL, None)), Some(1000.0)),
    ("Python raw tail, small messages", Some((RUST_TAIL, None)), Some(1000.0)),
    (LOADS, None, None),
    ("Python get with data, small dict", Some((LOADS, Some(2.5))), None),
    ("Python tail with data, small dict", Some((LOADS, Some(1.5))), Some(4000.0)),
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
    bench.note(RUST_TAIL, rust_tail(&bench.dir), None, None);
    for &(name, limit, aim) in ROWS {
        let ns = measured[name];
        match limit {
            Some((beside, None)) => bench.note_beside(name, ns, beside, aim),
            Some((of, Some(times))) => bench.note(name, ns, Some((of, times)), aim),
            None => bench.note(name, ns, None, aim),
        }
    }
}

/// Nanoseconds that a Rust program takes for each message of a pool as the script's.
fn rust_tail(dir: &Path) -> f64 {
    let pool = Pool::create(&dir.join("rust-tail.plasmite"), 4 << 20).unwrap();
    let mut n = 0;
    while pool.bounds().unwrap().oldest <= Seq::FIRST {
        let text = format!("{{\"kind\":\"note\",\"text\":\"hi\",\"n\":{}}}", n % 1000);
        pool.append(text.as_bytes(), &[] as &[&str], Durability::Fast).unwrap();
        n += 1;
    }
    let start = Instant::now();
    let ns = each(start, read_as_json(&pool));
    Pool::delete(pool.path()).unwrap();
    ns
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
