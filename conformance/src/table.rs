//! All manifests on all surfaces, as one table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::manifest::{Manifest, SurfaceName};

/// The Python surface's runner, from the repository's root.
const PYTHON_RUNNER: &str = "bindings/python/cmd/plasmite_conformance.py";
/// The package, from the repository's root.
const PYTHON_PACKAGE: &str = "bindings/python/src";

/// What became of a manifest on a surface.
enum Cell {
    Passed,
    /// All but the steps that the surface can't express or that differ there, which notes tell.
    PassedWith(Vec<usize>),
    NotExpressible(usize),
    Failed(usize),
}

/// Plays each manifest through each surface and prints the table.
///
/// # Errors
/// How many of them failed.
pub(crate) fn play_all(paths: Vec<PathBuf>) -> Result<(), String> {
    let mut table = Table::default();
    for path in &paths {
        let row = match Manifest::read(path) {
            Ok(manifest) => table.row(path, &manifest),
            Err(why) => {
                let name = path.display().to_string();
                let note = table.note(why);
                (name, SurfaceName::ALL.map(|_| Cell::Failed(note)).into())
            }
        };
        table.rows.push(row);
    }
    print!("{}", table.text());
    let cells = table.rows.iter().flat_map(|(_, cells)| cells);
    match cells.filter(|cell| matches!(cell, Cell::Failed(_))).count() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} failed", paths.len() * SurfaceName::ALL.len())),
    }
}

#[derive(Default)]
struct Table {
    rows: Vec<(String, Vec<Cell>)>,
    notes: Vec<String>,
}

impl Table {
    fn note(&mut self, text: String) -> usize {
        match self.notes.iter().position(|note| *note == text) {
            Some(at) => at + 1,
            None => {
                self.notes.push(text);
                self.notes.len()
            }
        }
    }

    fn row(&mut self, path: &Path, manifest: &Manifest) -> (String, Vec<Cell>) {
        let cells = SurfaceName::ALL.map(|surface| self.cell(path, manifest, surface));
        (manifest.name.clone(), cells.into())
    }

    fn cell(&mut self, path: &Path, manifest: &Manifest, surface: SurfaceName) -> Cell {
        let name = &manifest.name;
        if let Err(why) = play_one(path, surface) {
            return Cell::Failed(self.note(format!("{name} on {surface}: {}", why.trim_end())));
        }
        if let Some(reason) = manifest.not_on.get(&surface) {
            return Cell::NotExpressible(self.note(format!("{name} on {surface}: {reason}")));
        }
        let mut notes = Vec::new();
        for step in &manifest.steps {
            if let Some(reason) = step.not_on.get(&surface) {
                let text =
                    format!("{name} on {surface}, {}, not expressible: {reason}", step.label);
                notes.push(self.note(text));
            }
            if let Some(differing) = step.differing(surface) {
                let because = &differing.because;
                let text = format!("{name} on {surface}, {}, differs: {because}", step.label);
                notes.push(self.note(text));
            }
        }
        if notes.is_empty() { Cell::Passed } else { Cell::PassedWith(notes) }
    }

    fn text(&self) -> String {
        let cell = |cell: &Cell| match cell {
            Cell::Passed => "passed".to_owned(),
            Cell::PassedWith(notes) => {
                let notes: Vec<_> = notes.iter().map(|n| format!("[{n}]")).collect();
                format!("passed {}", notes.join(""))
            }
            Cell::NotExpressible(note) => format!("not expressible [{note}]"),
            Cell::Failed(note) => format!("FAILED [{note}]"),
        };
        let mut lines = vec![
            [vec!["manifest".to_owned()], SurfaceName::ALL.map(|s| s.to_string()).into()].concat(),
        ];
        for (name, cells) in &self.rows {
            lines.push([vec![name.clone()], cells.iter().map(cell).collect()].concat());
        }
        let width =
            |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=SurfaceName::ALL.len()).map(width).collect();
        let mut out = String::new();
        for line in &lines {
            let padded: Vec<_> =
                line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
            out.push_str(padded.join("  ").trim_end());
            out.push('\n');
        }
        for (i, note) in self.notes.iter().enumerate() {
            // Writing into a String can't fail.
            let _ = writeln!(out, "[{}] {note}", i + 1);
        }
        out
    }
}

/// Plays one manifest through one surface in a process of its own; what it said when it failed.
fn play_one(path: &Path, surface: SurfaceName) -> Result<(), String> {
    let mut command = if surface == SurfaceName::Python { python()? } else { this(surface)? };
    let output = command.arg(path).stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } =
        output.map_err(|e| format!("cannot run {:?}: {e}", command.get_program()))?;
    let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    match (status.code(), said.is_empty()) {
        (Some(0), true) => Ok(()),
        (Some(0), false) => Err(format!("not silent: {said}")),
        (Some(1), false) => Err(said),
        _ => Err(format!("ended with {status}: {said}")),
    }
}

fn this(surface: SurfaceName) -> Result<Command, String> {
    let this = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let mut command = Command::new(this);
    command.args(["play", surface.as_str()]);
    Ok(command)
}

/// The Python runner with the package of this repository and the library that was built beside this program.
fn python() -> Result<Command, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let mut command = Command::new("python3");
    command.arg(root.join(PYTHON_RUNNER)).env("PYTHONPATH", root.join(PYTHON_PACKAGE));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    if std::env::var_os("PLASMITE_LIB_DIR").is_none() {
        let plasmite = crate::surfaces::plasmite()?;
        command.env("PLASMITE_LIB_DIR", plasmite.parent().unwrap_or(Path::new(".")));
    }
    Ok(command)
}
