//! Instructions that the hot paths take, held against a recorded budget: a slow-down shows without measuring time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::run::{Step, root};

/// What was recorded, operation by operation: instructions for one.
const BUDGET: &str = "bench/budget.json";
/// More than so many hundredths above the budget is too much; as far below, it is time to record.
const TOLERANCE: u64 = 4;
/// What does not belong to the operation is in both runs, and falls out of their difference.
const FEW: u64 = 1000;
const MANY: u64 = 3000;

/// Counts, and compares with what was recorded; or records, which a change that is worth it does.
pub(crate) fn run(record: bool) -> Result<(), String> {
    Step::new("benchmark", "cargo", &["build", "--quiet", "--release", "-p", "plasmite-bench"])
        .run()?;
    let path = root().join(BUDGET);
    let text = fs::read_to_string(&path).map_err(|e| format!("{BUDGET}: {e}"))?;
    let recorded: BTreeMap<String, u64> =
        serde_json::from_str(&text).map_err(|e| format!("{BUDGET}: {e}"))?;
    let mut counted = BTreeMap::new();
    let mut over = Vec::new();
    for (operation, budget) in &recorded {
        let each = (count(operation, MANY)? - count(operation, FEW)?) / (MANY - FEW);
        println!("{operation:<20} {each:>6} instructions, budget {budget}");
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
        "more instructions than {BUDGET} allows: {}. Find out why (callgrind); if it is worth it, `cargo xtask budget --record`",
        over.join(", ")
    ))
}

/// Instructions of a process that does the operation `times` times.
fn count(operation: &str, times: u64) -> Result<u64, String> {
    let dir = tempdir()?;
    let pool = dir.join(format!("{operation}.plasmite"));
    let out = dir.join("callgrind");
    // Of one that was stopped.
    let _ = fs::remove_file(&pool);
    let tool = ["--quiet", "--tool=callgrind"];
    Step::new("counting of instructions", "valgrind", &tool)
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(root().join("target/release/plasmite-bench"))
        .arg("count")
        .arg(operation)
        .arg(&pool)
        .arg(times.to_string())
        .silent()
        .run()?;
    let text = fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total
        .and_then(|total| total.trim().parse().ok())
        .ok_or_else(|| format!("{}: valgrind has told no total", out.display()))
}

fn tempdir() -> Result<std::path::PathBuf, String> {
    let dir = Path::new(&root()).join("target/budget");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir)
}
