//! Benchmarks: each row beside a physical limit of the machine, measured in the same run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod c_abi;
mod floor;
mod limits;
mod mount;
mod mount_speed;
mod processes;
mod python;
mod report;
mod requests;
mod rows;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => rows::run(rows::Effort::Full, report::Form::Table),
        ["--quick"] => rows::run(rows::Effort::Quick, report::Form::Table),
        ["--json"] => rows::run(rows::Effort::Full, report::Form::Json),
        ["--quick", "--json"] | ["--json", "--quick"] => {
            rows::run(rows::Effort::Quick, report::Form::Json);
        }
        // The other half of a row that takes two processes.
        ["child", role, path, count] => processes::child(role, path, count),
        _ => {
            eprintln!("usage: cargo xtask bench [--quick] [--json]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
