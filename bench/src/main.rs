//! Benchmarks: each row beside a physical limit of the machine, measured in the same run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bell;
mod c_abi;
mod chart;
mod command;
mod count;
mod cpus;
mod documents;
mod ends;
mod first_turn;
mod floor;
mod interrupts;
mod json;
mod large_pool;
mod limits;
mod mount;
mod mount_speed;
mod opens;
mod peers;
mod pools;
mod processes;
mod python;
mod readers;
mod recovery;
mod report;
mod requests;
mod rows;
mod sizes;
mod slow_disk;
mod tidy;
mod wake_up;
mod woken;

use std::path::PathBuf;
use std::process::ExitCode;

use peers::Peers;
use report::{Form, Row};
use rows::{Effort, Wanted};

const USAGE: &str = "\
usage: cargo xtask bench [--quick] [--json] [--only GROUP] [--peers] [--chart FILE.svg] [--from FILE]…

  --quick      fewer rounds, and nothing that takes long
  --only GROUP the groups whose names contain this
  --peers      beside what one would use instead: builds and installs that first
  --json       for machines, a row a line
  --chart FILE draws the rows of several systems
  --from FILE  measures nothing, but takes what --json printed before; may be given several times";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // The other half of a row that takes two processes.
    if let [word, role, path, count] = &args[..]
        && word == "child"
    {
        processes::child(role, path, count);
        return ExitCode::SUCCESS;
    }
    if let [word, operation, path, count] = &args[..]
        && word == "count"
    {
        count::run(operation, path.as_ref(), count.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    run(&args).unwrap_or_else(|why| {
        eprintln!("{why}");
        ExitCode::from(2)
    })
}

fn run(args: &[String]) -> Result<ExitCode, String> {
    let (dir, rest) = match args {
        [word, dir, rest @ ..] if word == tidy::WORD => (Some(dir), rest),
        rest => (None, rest),
    };
    let mut wanted = Wanted { effort: Effort::Full, only: String::new(), peers: None };
    let (mut form, mut picture, mut earlier) = (Form::Table, None, Vec::new());
    let mut rest = rest.iter();
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--quick" => wanted.effort = Effort::Quick,
            "--json" => form = Form::Json,
            "--only" => wanted.only.clone_from(value()?),
            "--chart" => picture = Some(PathBuf::from(value()?)),
            "--from" => earlier.push(PathBuf::from(value()?)),
            // Built and named by `cargo xtask bench --peers`.
            "--peers" => {
                let (program, plasmite_1) = (PathBuf::from(value()?), PathBuf::from(value()?));
                wanted.peers = Some(Peers { program, plasmite_1 });
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            unknown => return Err(format!("no option {unknown}\n{USAGE}")),
        }
    }
    let (rows, machine) = match (earlier.as_slice(), dir) {
        ([], None) => {
            rows::check(&wanted)?;
            // What can't be drawn is not worth measuring.
            if let Some(path) = &picture {
                chart::check(path, wanted.peers.is_some())?;
            }
            return tidy::run(args);
        }
        ([], Some(dir)) => {
            tidy::end_with_parent()?;
            (rows::measure(wanted, dir.into()), report::machine())
        }
        _ if !wanted.only.is_empty() => return Err("--from takes all rows: no --only".into()),
        (earlier, _) => read(earlier)?,
    };
    report::print(&rows, &machine, form)?;
    if let Some(path) = picture {
        chart::draw(&rows, &machine, &path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows of earlier runs.
fn read(files: &[PathBuf]) -> Result<(Vec<Row>, String), String> {
    let (mut all, mut machine) = (Vec::new(), String::new());
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
        let read = text.and_then(|text| report::parse(&text));
        let (rows, on) = read.map_err(|why| format!("{}: {why}", file.display()))?;
        all.extend(rows);
        machine = on;
    }
    Ok((all, machine))
}
