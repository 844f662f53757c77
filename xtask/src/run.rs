//! Running commands, each with a name under which it fails.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// One command of a task.
pub(crate) struct Step {
    name: &'static str,
    command: Command,
    announced: bool,
}

impl Step {
    pub(crate) fn new(name: &'static str, program: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).current_dir(root());
        Self { name, command, announced: true }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// In an environment that has nothing else.
    pub(crate) fn only_env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env_clear().env(key, value);
        self
    }

    pub(crate) fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// In this directory, seen from the repository.
    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(root().join(dir));
        self
    }

    /// Keeps what it prints on stdout to itself.
    pub(crate) fn quiet(mut self) -> Self {
        self.command.stdout(Stdio::null());
        self
    }

    /// Does not announce itself.
    pub(crate) fn silent(mut self) -> Self {
        self.announced = false;
        self
    }

    pub(crate) fn run(mut self) -> Result<(), String> {
        let status = self.start(Command::status)?;
        self.judge(status)
    }

    /// Becomes it: whoever ends this task ends that. Gives back why it can't.
    pub(crate) fn replace(mut self) -> String {
        let failed = self.start(|command| Err::<(), _>(command.exec()));
        failed.err().unwrap_or_default()
    }

    /// Runs it for what it prints on stdout.
    pub(crate) fn output(mut self) -> Result<String, String> {
        self.command.stderr(Stdio::inherit());
        let output = self.start(Command::output)?;
        self.judge(output.status)?;
        String::from_utf8(output.stdout).map_err(|e| format!("{}: {e}", self.name))
    }

    /// Runs it and takes each line that it prints on stdout as it comes.
    pub(crate) fn each_line(mut self, mut take: impl FnMut(&str)) -> Result<(), String> {
        self.command.stdout(Stdio::piped());
        let mut child = self.start(Command::spawn)?;
        let mut lines = child.stdout.take().map(BufReader::new);
        let mut line = String::new();
        let failed = |e: io::Error| format!("{}: {e}", self.name);
        while lines.as_mut().map_or(Ok(0), |l| l.read_line(&mut line)).map_err(failed)? > 0 {
            take(&line);
            line.clear();
        }
        self.judge(child.wait().map_err(failed)?)
    }

    fn start<T>(&mut self, how: impl FnOnce(&mut Command) -> io::Result<T>) -> Result<T, String> {
        if self.announced {
            eprintln!("── {}", self.name);
        }
        how(self.command.stdin(Stdio::null()))
            .map_err(|e| format!("{}: cannot run {:?}: {e}", self.name, self.command.get_program()))
    }

    fn judge(&self, status: ExitStatus) -> Result<(), String> {
        if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", self.name)) }
    }
}

/// A step that is the same cargo that runs this task.
pub(crate) fn cargo(name: &'static str, args: &[&str]) -> Step {
    Step::new(name, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args)
}

/// Builds everything that is for debugging and for tests. One selection of packages for all steps: for another one, which asks for other
/// features of what they depend on, cargo would compile that again.
pub(crate) fn build() -> Step {
    cargo("build of everything, for tests", &["build", "--workspace", "--all-targets"])
}

/// A step that is a program which [`build`] makes.
pub(crate) fn built(name: &'static str, program: &str, args: &[&str]) -> Step {
    Step::new(name, root().join("target/debug").join(program), args)
}
