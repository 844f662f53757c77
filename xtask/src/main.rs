//! The repository's own tasks: `cargo xtask test`, `cargo xtask bench`, `cargo xtask setup`.

mod need;
mod run;

use std::process::ExitCode;

use run::{Step, cargo};

const USAGE: &str = "\
usage: cargo xtask TASK

  setup    install what the tests need and this machine lacks (Debian packages; as root)
  test     everything CI checks: format, clippy, all tests with real mounts and processes, docs, Python
  bench    measure Plasmite beside the machine's limits [--quick] [--json]
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((task, [])) if task == "setup" => need::install(),
        Some((task, [])) if task == "test" => test(),
        Some((task, rest)) if task == "bench" => bench(rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that CI checks, cheapest first. Stops at the first failure.
fn test() -> Result<(), String> {
    need::install()?;
    let steps = [
        cargo("format", &["fmt", "--all", "--check"]),
        cargo("build of the command and library", &["build", "-p", "plasmite"]),
        cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        cargo("tests", &["test", "--workspace", "--all-targets"]),
        cargo("doc tests", &["test", "--workspace", "--doc"]),
        cargo("docs", &["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
        cargo("benchmark, as a check that it runs", &["xtask", "bench", "--quick", "--json"])
            .quiet(),
    ];
    steps.into_iter().try_for_each(Step::run)?;
    python()
}

/// The Python client against the library just built, by the commands of its README.
fn python() -> Result<(), String> {
    let root = run::root();
    let venv = root.join("target/python-venv");
    let built = root.join("target/debug");
    let python = venv.join("bin/python3");
    if !python.exists() {
        Step::new("a Python venv", "python3", &["-m", "venv"]).arg(&venv).run()?;
    }
    Step::new(
        "the Python client's installation",
        &python,
        &["-m", "pip", "install", "--quiet", "-e", "."],
    )
    .dir("bindings/python")
    .env("PLASMITE_LIB_DIR", &built)
    .run()?;
    let unittest = ["-m", "unittest", "discover", "-s", "tests"];
    let conformance = ["cmd/plasmite_conformance.py", "../../conformance/sample-v0.json"];
    let steps = [
        Step::new("Python tests", &python, &unittest),
        Step::new("conformance through Python", &python, &conformance),
    ];
    steps.into_iter().try_for_each(|step| {
        step.dir("bindings/python")
            .env("PLASMITE_LIB_DIR", &built)
            .env("PLASMITE_BIN", built.join("plasmite"))
            .run()
    })
}

fn bench(args: &[String]) -> Result<(), String> {
    let base = ["run", "--quiet", "--release", "-p", "plasmite-bench", "--"];
    args.iter().fold(cargo("benchmark", &base), Step::arg).run()
}
