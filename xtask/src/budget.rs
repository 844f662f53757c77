//! Instructions that the hot paths take, and cache lines of the pool, held against a recorded budget: a slow-down shows without
//! measuring time.

mod lines;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Step, root};

/// What was recorded, operation by operation: instructions for one, or the cache lines that it uses.
const BUDGET: &str = "bench/budget.json";
/// More than so many hundredths above the budget is too much; as far below, it is time to record. Of lines, one is more.
const TOLERANCE: u64 = 4;
/// What does not belong to the operation is in both runs, and falls out of their difference.
const FEW: u64 = 1000;
const MANY: u64 = 3000;

/// The command appends a message, from the start of its process to the end.
const COMMAND: &str = "command-feed-7";
/// What the names of those begin with of which lines are counted.
const LINES: &str = "lines-";

/// Counts, and compares with what was recorded; or records, which a change that is worth it does.
pub(crate) fn run(record: bool) -> Result<(), String> {
    let packages = ["plasmite-bench", "plasmite-ffi", "plasmite"].map(|name| ["-p", name]);
    let build = [&["build", "--quiet", "--release"], packages.as_flattened()].concat();
    Step::new("benchmark, library and command", "cargo", &build).run()?;
    let path = root().join(BUDGET);
    let text = fs::read_to_string(&path).map_err(|e| format!("{BUDGET}: {e}"))?;
    let recorded: BTreeMap<String, u64> =
        serde_json::from_str(&text).map_err(|e| format!("{BUDGET}: {e}"))?;
    let mut counted = BTreeMap::new();
    let mut over = Vec::new();
    for (operation, budget) in &recorded {
        let each = one(operation)?;
        let what = if operation.starts_with(LINES) { "cache lines" } else { "instructions" };
        println!("{operation:<26} {each:>6} {what}, budget {budget}");
        if each * 100 > budget * (100 + TOLERANCE) {
            over.push(operation.as_str());
        } else if each * 100 < budget * (100 - TOLERANCE) {
            println!("  fewer than recorded: `cargo xtask budget --record` keeps it so");
        }
        counted.insert(operation, each);
    }
    if record {
        let text = serde_json::to_string_pretty(&counted).map_err(|e| e.to_string())?;
        return fs::write(&path, text + "\n").map_err(|e| format!("{BUDGET}: {e}"));
    }
    if over.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {BUDGET} allows: {}. Find out why (callgrind, lackey); if it is worth it, `cargo xtask budget --record`",
        over.join(", ")
    ))
}

/// What is counted for one operation.
fn one(operation: &str) -> Result<u64, String> {
    let dir = tempdir()?;
    let pool = dir.join(format!("{operation}.plasmite"));
    // Of one that was stopped.
    let _ = fs::remove_file(&pool);
    if operation == COMMAND {
        return command(&dir, operation);
    }
    let benchmark = root().join("target/release/plasmite-bench");
    if operation.starts_with(LINES) {
        return lines::count(&benchmark, operation, &pool);
    }
    let times = |times: u64| {
        let times = times.to_string();
        let args = ["count".as_ref(), operation.as_ref(), pool.as_ref(), times.as_ref()];
        instructions(&benchmark, &args, &dir)
    };
    Ok((times(MANY)? - times(FEW)?) / (MANY - FEW))
}

/// Of a message that the command appends to a new pool of this name in `dir`.
fn command(dir: &Path, pool: &str) -> Result<u64, String> {
    let command = root().join("target/release/plasmite");
    let args = ["--dir".as_ref(), dir.as_os_str()];
    let create = ["pool", "create", pool].map(OsStr::new);
    let step = Step::new("pool for the command", &command, &[]).quiet().silent();
    args.iter().chain(&create).fold(step, Step::arg).run()?;
    let feed = ["feed", pool, r#"{"a":1}"#].map(OsStr::new);
    instructions(&command, &[args.as_slice(), &feed].concat(), dir)
}

/// Instructions of a process.
fn instructions(program: &Path, args: &[&OsStr], dir: &Path) -> Result<u64, String> {
    let out = dir.join("callgrind");
    let step = valgrind(&["--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program);
    args.iter().fold(step, Step::arg).quiet().run()?;
    let text = fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total
        .and_then(|total| total.trim().parse().ok())
        .ok_or_else(|| format!("{}: valgrind has told no total", out.display()))
}

/// The tool, in the same environment everywhere: a process takes more instructions to start for each variable, and many more for
/// Cargo's LD_LIBRARY_PATH.
fn valgrind(args: &[&str]) -> Step {
    let step = Step::new("counting", "valgrind", &["--quiet"]).only_env("PATH", "/usr/bin:/bin");
    args.iter().fold(step, Step::arg).silent()
}

fn tempdir() -> Result<PathBuf, String> {
    let dir = root().join("target/budget");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir)
}
