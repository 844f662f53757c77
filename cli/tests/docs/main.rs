//! The documents' examples: each is run as its reader would, and prints what the document says.
//!
//! What is in a document is run from top to bottom, in one shell that stands in an empty folder, with the command on PATH:
//!
//! - ```` ```console ````: lines that start with `$ ` are typed (`> ` goes on with one), what follows is printed.
//! - ```` ```sh ````: a script that must end well; what it prints is not looked at.
//! - ```` ```python ````: a program that must end well, with the Python client; a ```` ```text ```` right behind it is what it prints.
//! - `<!-- file: NAME -->` before a fence of any kind: what is in it is put into that file.
//! - `<!-- another terminal -->` before a console fence: its command is left running, in a shell of its own, and the first lines
//!   that it prints are those.
//! - `<!-- not run: REASON -->` before a fence: it is not run.
//!
//! With `PLASMITE_INSTALLED` in the environment the command and the library are those that the system has.
//!
//! In what is printed every RFC 3339 time stands for any other, `…` for any text, and a line that is just that for any lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end so")]

mod expect;
mod parse;
mod shell;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect::Expected;
use parse::{Block, Kind};
use shell::Shell;

/// Where a document's examples are run.
struct Stage {
    folder: tempfile::TempDir,
    shell: Shell,
    /// Shells of commands that were left running.
    others: Vec<Shell>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("plasmite-docs-").tempdir().unwrap();
        let shell = Shell::start(folder.path());
        Self { folder, shell, others: Vec::new() }
    }

    fn run(&mut self, block: &Block) {
        match &block.kind {
            Kind::File(name) => fs::write(self.folder.path().join(name), &block.text).unwrap(),
            Kind::Script => {
                let (status, printed) = self.shell.run(&format!("( set -e\n{}\n)", block.text));
                assert_eq!(status, 0, "{}: {printed}", block.place);
            }
            Kind::Console => {
                for (command, expected) in parse::commands(&block.text) {
                    let (_, printed) = self.shell.run(&command);
                    Expected::new(&expected)
                        .check(&printed, &format!("{}: {command}", block.place));
                }
            }
            Kind::AnotherTerminal => {
                let (command, expected) = parse::commands(&block.text).remove(0);
                let mut shell = Shell::start(self.folder.path());
                let lines = expected.lines().count();
                let printed = shell.leave_running(&command, lines);
                Expected::new(&expected).check(&printed, &format!("{}: {command}", block.place));
                self.others.push(shell);
            }
            Kind::Python(expected) => {
                assert!(
                    shell::built().is_none_or(|bin| bin.join("libplasmite.so").exists()),
                    "for {} build the library: cargo build -p plasmite",
                    block.place
                );
                let program = self.folder.path().join("example.py");
                fs::write(&program, &block.text).unwrap();
                let (status, printed) = self.shell.run("python3 -W error example.py");
                assert_eq!(status, 0, "{}: {printed}", block.place);
                if let Some(expected) = expected {
                    Expected::new(expected).check(&printed, &block.place);
                }
            }
            Kind::NotRun => {}
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.others.clear();
        self.shell.end();
        // What an example that failed has left mounted.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let inside = |line: &&str| {
            line.split(' ').nth(1).is_some_and(|at| Path::new(at).starts_with(self.folder.path()))
        };
        for line in mounts.lines().filter(inside) {
            let at = line.split(' ').nth(1).unwrap_or_default();
            let _ = Command::new("fusermount3").args(["-u", "-z", at]).status();
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs the examples of a document, after `before` was typed.
fn run(document: &str, before: &str) {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let blocks = parse::blocks(document, &text);
    let runs = blocks.iter().filter(|b| !matches!(b.kind, Kind::NotRun)).count();
    assert!(runs > 0, "{document} has no example");
    let mut stage = Stage::new();
    let (status, printed) = stage.shell.run(before);
    assert_eq!(status, 0, "{printed}");
    for block in &blocks {
        stage.run(block);
    }
}

#[test]
fn readme() {
    // `cargo run --release -- mount A B` as a reader has it in another terminal, but without the build.
    run("README.md", "cargo() { shift 3; plasmite \"$@\" --background; }\nexport -f cargo");
}

#[test]
fn cookbook() {
    run("docs/cookbook.md", ":");
}

#[test]
fn cli() {
    run("docs/cli.md", ":");
}

/// What a newcomer tries in the first hour, on a journal and on events by the thousand, each step broken once.
#[test]
fn newcomers_hour() {
    newcomer("hour.sh");
}

/// Every recipe, and the README's session, broken as they may break for who follows them.
#[test]
fn recipes_broken() {
    newcomer("broken.sh");
}

#[test]
fn each_recipe_is_broken() {
    let script = fs::read_to_string(root().join("cli/tests/newcomer/broken.sh")).unwrap();
    let text = fs::read_to_string(root().join("docs/cookbook.md")).unwrap();
    let recipes = text.lines().filter_map(|line| line.strip_prefix("## "));
    let steps = script.lines().filter_map(|line| line.strip_prefix("step \""));
    let steps: Vec<&str> = steps.filter_map(|step| step.strip_suffix('"')).collect();
    let wanted: Vec<&str> = ["A session"].into_iter().chain(recipes).collect();
    assert_eq!(steps, wanted);
}

/// Runs a script of `cli/tests/newcomer`.
fn newcomer(script: &str) {
    let (script, cookbook) =
        (root().join("cli/tests/newcomer").join(script), root().join("docs/cookbook.md"));
    let folder = tempfile::tempdir().unwrap();
    let (status, printed) = Shell::start(folder.path()).run(&format!(
        "bash '{}' '{}'",
        script.display(),
        cookbook.display()
    ));
    assert_eq!(status, 0, "{printed}");
}
