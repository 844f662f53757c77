//! Benchmarks: each row beside a physical limit of the machine, measured in the same run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod c_abi;
mod command;
mod count;
mod cpus;
mod floor;
mod json;
mod limits;
mod mount;
mod mount_speed;
mod processes;
mod python;
mod report;
mod requests;
mod rows;
mod wake_up;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask bench [--quick] [--json] [--only GROUP]";

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
    match measure(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn measure(args: Vec<String>) -> Result<(), String> {
    let (mut effort, mut form, mut only) = (rows::Effort::Full, report::Form::Table, String::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => effort = rows::Effort::Quick,
            "--json" => form = report::Form::Json,
            "--only" => only = args.next().ok_or(USAGE)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    rows::run(effort, form, &only)
}
