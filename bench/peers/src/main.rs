//! What one would use instead of Plasmite, driven as Plasmite is: one round at a time, for `cargo xtask bench --peers`.
//!
//! Prints a JSON object a line: a row's `group`, `system` and `value` in nanoseconds, or why it is `missing`.

mod command;
mod cpus;
#[path = "../../src/documents.rs"]
mod documents;
mod lines;
mod measure;
mod other;
mod reads;
mod system;
mod systems;
mod together;
mod wake_up;

use std::path::Path;
use std::process::ExitCode;

use measure::Round;

const USAGE: &str = "usage: plasmite-peers round GROUP DIR quick|full PLASMITE PLASMITE_1, or plasmite-peers groups";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // A part of a row that takes several processes.
        ["child", role, system, dir, count] => {
            other::child(role, system, Path::new(dir), count.parse().unwrap());
        }
        ["groups"] => measure::GROUPS.iter().for_each(|(name, _)| println!("{name}")),
        ["round", group, dir, effort @ ("quick" | "full"), ours, theirs] => {
            let group = measure::GROUPS.iter().find(|(name, _)| *name == group);
            let Some((_, measure)) = group else {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            };
            measure(&mut Round::new(Path::new(dir), effort == "full", ours, theirs));
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
