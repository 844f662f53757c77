//! Coverage-guided fuzzing with libFuzzer, on the stable toolchain: the compiler's coverage pass is switched on by hand.

use std::path::PathBuf;

use crate::run::{Step, cargo, root};

/// What is fuzzed, each in `fuzz/targets`.
const TARGETS: &[&str] = &["pool", "json", "abi", "tree"];
/// How long each is, in seconds, when nothing is said.
const SECONDS: u64 = 60;
/// Inputs are small: what needs more is not worth what it costs.
const MAX_BYTES: u64 = 4096;

/// What libFuzzer needs to see which ways an input takes (`sancov` of LLVM).
const FLAGS: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// `fuzz [TARGET] [SECONDS]`, in either order or neither.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let (mut targets, mut seconds) = (TARGETS.to_vec(), SECONDS);
    for arg in args {
        if let Some(target) = TARGETS.iter().find(|target| *target == arg) {
            targets = vec![target];
        } else {
            seconds = arg.parse().map_err(|_| {
                format!(
                    "fuzz takes one of {} and a number of seconds, not {arg:?}",
                    TARGETS.join(", ")
                )
            })?;
        }
    }
    targets.into_iter().try_for_each(|target| fuzz(target, seconds))
}

fn fuzz(target: &str, seconds: u64) -> Result<(), String> {
    let triple = host()?;
    let built = [
        "build",
        "--release",
        "--target",
        &triple,
        "--target-dir",
        "../target/fuzz",
        "--bin",
        target,
    ];
    cargo("fuzz target", &built).dir("fuzz").env("RUSTFLAGS", FLAGS.join(" ")).run()?;
    let program = root().join("target/fuzz").join(&triple).join("release").join(target);
    // What is new goes outside of the repository's corpus, which stays small.
    let found = made(root().join("target/fuzz/corpus").join(target))?;
    let failures = made(root().join("target/fuzz/failures").join(target))?;
    let scratch = Scratch::new()?;
    Step::new("fuzzing", &program, &[])
        .env("TMPDIR", &scratch.0)
        .arg(&found)
        .arg(root().join("fuzz/corpus").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_BYTES}"))
        .arg("-timeout=60")
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", failures.display()))
        .run()
        .map_err(|e| {
            format!(
                "{e}: the input is in {}; copy it to fuzz/corpus/{target}, where a test plays it, and make a named regression test",
                failures.display()
            )
        })
}

/// Where the targets put their files, in memory if there is room for it: what they leave when they end by a failure goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        made(parent.join(format!("plasmite-fuzz-{}", std::process::id()))).map(Self)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn made(dir: PathBuf) -> Result<PathBuf, String> {
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir)
}

fn host() -> Result<String, String> {
    let told = Step::new("compiler", "rustc", &["-vV"]).silent().output()?;
    told.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc does not tell its host".to_owned())
}
