//! The repository's own tasks: `cargo xtask` lists them.

mod budget;
mod conformance;
mod crates;
mod deb;
mod deny;
mod fuzz;
mod licenses;
mod need;
mod peers;
mod picture;
mod python;
mod run;
mod sdk;
#[cfg(test)]
mod unsafe_inventory;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use run::{Step, cargo, root};

const USAGE: &str = "\
usage: cargo xtask TASK

  setup        install what the tests need and this machine lacks (Debian packages; as root)
  test         everything CI checks: format, clippy, all tests with real mounts and processes, docs, Python
  python       the Python client's tests against the library as cargo builds it for debugging
  conformance  all manifests on all surfaces, as a table
  storm        kill writers at random and at every named step, and look for what is lost [--kills N] [--seconds S] [--seed S]
  fuzz         look for inputs that break something, guided by coverage [pool|json|abi|tree] [SECONDS each, or 60]
  deny         licences, sources and versions of the dependencies, with cargo-deny
  bench        measure Plasmite beside the machine's limits [--quick] [--json] [--only GROUP], beside what one would use
               instead [--peers] (it is built and installed first), with a picture [--chart FILE.svg], or of figures of
               earlier runs [--from FILE]
  budget       instructions of the hot paths and cache lines of the pool, held against bench/budget.json [--record]
  powerloss    long random histories of a pool, cut by power losses at every moment [SECONDS, or 60]
  packages     the SDK, the Debian package, the wheel and the crates, tested as users get them
  sdk          the command, library, header and pkg-config file, built for release, in one folder [DIR, or target/sdk]
  man          the manual pages, made of the definitions of --help, in a folder [DIR, or target/man]
  picture      the pictures of plasmite top in docs, taken anew
  deb          the Debian package of all of that with manual pages, completions and a service, in target/deb [SDK, or a new one]
  wheel        the Python wheel with the command and the library in it, in target/wheel
  crates       the crates as crates.io gets them, each built from its package, and documented as docs.rs does it
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((task, [])) if task == "setup" => need::install(),
        Some((task, [])) if task == "test" => test(),
        Some((task, [])) if task == "python" => python::test_as_built(),
        Some((task, [])) if task == "conformance" => conformance::run(),
        Some((task, rest)) if task == "bench" => bench(rest),
        Some((task, [])) if task == "budget" => budget::run(false),
        Some((task, [flag])) if task == "budget" && flag == "--record" => budget::run(true),
        Some((task, rest)) if task == "storm" => storm(rest),
        Some((task, rest)) if task == "powerloss" => powerloss(rest),
        Some((task, rest)) if task == "fuzz" => fuzz::run(rest),
        Some((task, [])) if task == "deny" => deny::run(),
        Some((task, [])) if task == "packages" => packages(),
        Some((task, [])) if task == "sdk" => sdk::make(&default_sdk()),
        Some((task, [dir])) if task == "sdk" && !dir.starts_with('-') => sdk_in(dir),
        Some((task, [])) if task == "man" => man(&run::root().join("target/man")),
        Some((task, [dir])) if task == "man" && !dir.starts_with('-') => man(Path::new(dir)),
        Some((task, [])) if task == "picture" => picture::take(),
        Some((task, [])) if task == "deb" => {
            sdk::make(&default_sdk()).and_then(|()| deb::make(&default_sdk())).map(drop)
        }
        Some((task, [sdk])) if task == "deb" && !sdk.starts_with('-') => deb_of(sdk),
        Some((task, [])) if task == "crates" => crates::build_each(),
        Some((task, [])) if task == "wheel" => {
            sdk::make(&default_sdk()).and_then(|()| python::wheel(&default_sdk())).map(drop)
        }
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
        run::build(),
        cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        cargo("tests", &["test", "--workspace", "--all-targets"])
            .env("PLASMITE_BUILT_DIR", run::root().join("target/debug")),
        cargo("doc tests", &["test", "--workspace", "--doc"]),
        cargo("docs", &["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
        cargo("benchmark, as a check that it runs", &["xtask", "bench", "--quick", "--json"])
            .quiet(),
    ];
    steps.into_iter().try_for_each(Step::run)?;
    budget::run(false)?;
    storm(&[])?;
    python::test_as_built()?;
    conformance::run()?;
    packages()
}

/// What users get: the SDK by C programs, the Debian package in a system that has just that, the wheel by the Python tests
/// in an environment of its own.
fn packages() -> Result<(), String> {
    let sdk = default_sdk();
    sdk::make(&sdk)?;
    let against_it =
        ["test", "--workspace", "--test", "c_abi", "--test", "sdk", "--", "--include-ignored"];
    cargo("C tests against the SDK", &against_it).env("PLASMITE_SDK_DIR", &sdk).run()?;
    deb::test(&sdk)?;
    python::test_installed(&sdk)?;
    crates::look()
}

fn default_sdk() -> PathBuf {
    run::root().join("target/sdk")
}

fn sdk_in(dir: &str) -> Result<(), String> {
    let dir = std::path::absolute(Path::new(dir)).map_err(|e| format!("{dir:?}: {e}"))?;
    sdk::make(&dir)
}

fn deb_of(sdk: &str) -> Result<(), String> {
    let sdk = std::path::absolute(Path::new(sdk)).map_err(|e| format!("{sdk:?}: {e}"))?;
    deb::make(&sdk).map(drop)
}

/// The kill storm, by debug builds: only they have the named steps.
fn storm(args: &[String]) -> Result<(), String> {
    run::build().run()?;
    args.iter().fold(run::built("kill storm", "plasmite-faults", &[]), Step::arg).run()
}

fn man(dir: &Path) -> Result<(), String> {
    let dir = std::path::absolute(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let base = ["run", "--quiet", "-p", "plasmite", "--", "man"];
    cargo("manual pages", &base).arg(&dir).run()
}

fn powerloss(args: &[String]) -> Result<(), String> {
    let seconds = match args {
        [] => "60",
        [seconds] if seconds.parse::<u64>().is_ok() => seconds,
        _ => return Err("powerloss takes a number of seconds".into()),
    };
    let test = "checks::powerloss::tests::long_histories_for_as_long_as_asked";
    let args = ["test", "-p", "plasmite-core", "--lib", test, "--", "--ignored", "--nocapture"];
    cargo("power losses", &args).env("PLASMITE_POWERLOSS_SECONDS", seconds).run()
}

fn bench(args: &[String]) -> Result<(), String> {
    let peers = args.iter().position(|arg| arg == "--peers");
    let peers = peers.map(|_| peers::build()).transpose()?;
    cargo("library and command to measure", &["build", "--quiet", "--release", "-p", "plasmite"])
        .run()?;
    cargo("benchmark to run", &["build", "--quiet", "--release", "-p", "plasmite-bench"]).run()?;
    // Where it was called: paths are seen from there.
    let here = std::env::current_dir().map_err(|e| format!("the current directory: {e}"))?;
    let program = root().join("target/release/plasmite-bench");
    let step = Step::new("benchmark", program, &[]).dir(here);
    let step = args.iter().filter(|arg| *arg != "--peers").fold(step, Step::arg);
    match peers {
        Some(peers) => Err(step.arg("--peers").arg(peers.program).arg(peers.plasmite_1).replace()),
        None => Err(step.replace()),
    }
}
