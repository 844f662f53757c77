//! The Python client: tested as it lies in the repository, built as a wheel, and tested as users install it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::conformance;
use crate::run::{self, Step, root};

const PROJECT: &str = "bindings/python";
const TESTS: [&str; 5] = ["-m", "unittest", "discover", "-s", "tests"];
const DISTRIBUTION_TESTS: [&str; 5] = ["-m", "unittest", "discover", "-s", "tests/distribution"];
const CONFORMANCE: [&str; 2] = ["cmd/plasmite_conformance.py", "../../conformance/sample-v0.json"];

/// The client against the library that cargo builds for debugging, by the commands of its README.
pub(crate) fn test_as_built() -> Result<(), String> {
    run::build().run()?;
    let tools = Tools::new()?;
    tools.lint()?;
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
    run("conformance through Python", &CONFORMANCE)?;
    other_interpreters().iter().try_for_each(|python| {
        eprintln!("── with {}", python.display());
        Step::new("Python tests with another version", python, &TESTS)
            .dir(PROJECT)
            .env("PYTHONPATH", root().join(PROJECT).join("src"))
            .env("PLASMITE_LIB_DIR", &built)
            .env("PLASMITE_BIN", built.join("plasmite"))
            .run()
    })
}

/// The CPythons of this machine that the client supports and that are not the one called python3: on the PATH under their
/// own names, and pyenv's. Which there are differs from machine to machine.
fn other_interpreters() -> Vec<PathBuf> {
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map_or_else(|| std::env::home_dir().unwrap_or_default().join(".pyenv"), PathBuf::from);
    let of_pyenv = fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten();
    let mut candidates: Vec<PathBuf> =
        (OLDEST_MINOR..30).map(|minor| format!("python3.{minor}").into()).collect();
    candidates.extend(of_pyenv.map(|version| version.path().join("bin/python3")));
    let mut versions = vec![version(Path::new("python3"))];
    candidates.retain(|python| {
        let version = version(python);
        let is_new = version.is_some_and(|minor| minor >= OLDEST_MINOR);
        is_new && !versions.contains(&version) && {
            versions.push(version);
            true
        }
    });
    candidates
}

/// The oldest CPython 3 that the client supports.
const OLDEST_MINOR: u32 = 10;

/// 11 for CPython 3.11; None when it doesn't run, or is another Python.
fn version(python: &Path) -> Option<u32> {
    let ask = "import sys; v = sys.version_info; \
               print(v[1] if v[0] == 3 and sys.implementation.name == 'cpython' else '')";
    let output = Command::new(python).args(["-c", ask]).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
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
    let with_wheel = |name, args: &[&str]| {
        Step::new(name, venv.join("bin/python3"), args)
            .dir(PROJECT)
            .without_env("PLASMITE_LIB_DIR")
            // cargo names target/debug here for what it runs, this task for instance.
            .without_env("LD_LIBRARY_PATH")
            .env("PLASMITE_BIN", venv.join("bin/plasmite"))
    };
    with_wheel("Python tests of the installed wheel", &TESTS).run()?;
    eprintln!("── conformance through the installed wheel");
    for manifest in conformance::manifests()? {
        with_wheel("conformance through the installed wheel", &CONFORMANCE[..1])
            .silent()
            .arg(&manifest)
            .run()
            .map_err(|why| format!("{}: {why}", manifest.display()))?;
    }
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
        let done = ["python3", "uv", "pyproject-build", "mypy", "ruff"]
            .map(|program| venv.join("bin").join(program));
        if !done.iter().all(|file| file.exists()) {
            let new = ["-m", "venv", "--clear"];
            Step::new("an environment for Python's tools", "python3", &new).arg(&venv).run()?;
            let install = ["-m", "pip", "install", "--quiet"];
            let tools =
                ["build>=1.2", "mypy>=2.4,<3", "ruff>=0.17,<0.18", "setuptools>=77", "uv>=0.9"];
            tools
                .iter()
                .fold(Step::new("Python's tools", venv.join("bin/python3"), &install), Step::arg)
                .run()?;
        }
        Ok(Self(venv))
    }

    /// Types and style, by the settings in pyproject.toml.
    fn lint(&self) -> Result<(), String> {
        let ruff = |name, args: &[&str]| {
            let step = Step::new(name, self.0.join("bin/ruff"), args).dir(PROJECT);
            step.arg(".").arg("../../bench/python").quiet().run()
        };
        Step::new("Python types", self.0.join("bin/mypy"), &[]).dir(PROJECT).run()?;
        ruff("Python style", &["check"])?;
        ruff("Python format", &["format", "--check"])
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
