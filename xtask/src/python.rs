//! The Python client: tested as it lies in the repository, built as a wheel, and tested as users install it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Step, cargo, root};

const PROJECT: &str = "bindings/python";
const TESTS: [&str; 5] = ["-m", "unittest", "discover", "-s", "tests"];
const DISTRIBUTION_TESTS: [&str; 5] = ["-m", "unittest", "discover", "-s", "tests/distribution"];
const CONFORMANCE: [&str; 2] = ["cmd/plasmite_conformance.py", "../../conformance/sample-v0.json"];

/// The client against the library that cargo builds for debugging, by the commands of its README.
pub(crate) fn test_as_built() -> Result<(), String> {
    cargo("build of the command and library", &["build", "-p", "plasmite"]).run()?;
    let tools = Tools::new()?;
    let venv = root().join("target/python-venv");
    let built = root().join("target/debug");
    tools.uv("a Python environment", &["venv", "--quiet", "--clear"]).arg(&venv).run()?;
    tools
        .uv("the Python client's installation", &["pip", "install", "--quiet", "-e", "."])
        .env("VIRTUAL_ENV", &venv)
        .env("PLASMITE_LIB_DIR", &built)
        .run()?;
    let run = |name, args: &[&str]| {
        Step::new(name, venv.join("bin/python3"), args)
            .dir(PROJECT)
            .env("PLASMITE_LIB_DIR", &built)
            .env("PLASMITE_BIN", built.join("plasmite"))
            .run()
    };
    run("Python tests", &TESTS)?;
    run("conformance through Python", &CONFORMANCE)
}

/// Builds the wheel from an SDK, and gives its path.
pub(crate) fn wheel(sdk: &Path) -> Result<PathBuf, String> {
    let tools = Tools::new()?;
    let dir = root().join("target/wheel");
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    tools
        .python("the wheel", &["-m", "build", "--outdir"])
        .arg(&dir)
        .env("PLASMITE_SDK_DIR", sdk)
        .quiet()
        .run()?;
    let entries = fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let wheels: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "whl")).collect();
    match wheels.as_slice() {
        [wheel] => {
            eprintln!("the wheel is {}", wheel.display());
            Ok(wheel.clone())
        }
        others => Err(format!("expected one wheel in {}, not {others:?}", dir.display())),
    }
}

/// Builds the wheel, installs it into a new environment that knows nothing of this repository, and tests it there.
pub(crate) fn test_installed(sdk: &Path) -> Result<(), String> {
    let wheel = wheel(sdk)?;
    let venv = root().join("target/wheel-venv");
    Step::new("a Python environment for the wheel", "python3", &["-m", "venv", "--clear"])
        .arg(&venv)
        .run()?;
    let install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps"];
    Step::new("the wheel's installation", venv.join("bin/python3"), &install).arg(&wheel).run()?;
    let run = |name, args: &[&str]| {
        Step::new(name, venv.join("bin/python3"), args)
            .dir(PROJECT)
            .without_env("PLASMITE_LIB_DIR")
            // cargo names target/debug here for what it runs, this task for instance.
            .without_env("LD_LIBRARY_PATH")
            .env("PLASMITE_BIN", venv.join("bin/plasmite"))
            .run()
    };
    run("Python tests of the installed wheel", &TESTS)?;
    run("conformance through the installed wheel", &CONFORMANCE)?;
    Tools::new()?
        .python("tests of the distribution", &DISTRIBUTION_TESTS)
        .env("PLASMITE_SDK_DIR", sdk)
        .env("PLASMITE_WHEEL", &wheel)
        .run()
}

/// An environment with the tools that build and install Python packages.
struct Tools(PathBuf);

impl Tools {
    fn new() -> Result<Self, String> {
        let venv = root().join("target/python-tools");
        let done = ["bin/python3", "bin/uv", "bin/pyproject-build"].map(|file| venv.join(file));
        if !done.iter().all(|file| file.exists()) {
            let new = ["-m", "venv", "--clear"];
            Step::new("an environment for Python's tools", "python3", &new).arg(&venv).run()?;
            let install =
                ["-m", "pip", "install", "--quiet", "build>=1.2", "setuptools>=77", "uv>=0.9"];
            Step::new("Python's tools", venv.join("bin/python3"), &install).run()?;
        }
        Ok(Self(venv))
    }

    fn uv(&self, name: &'static str, args: &[&str]) -> Step {
        Step::new(name, self.0.join("bin/uv"), args)
            .dir(PROJECT)
            .env("UV_PYTHON_DOWNLOADS", "never")
    }

    fn python(&self, name: &'static str, args: &[&str]) -> Step {
        Step::new(name, self.0.join("bin/python3"), args).dir(PROJECT)
    }
}
