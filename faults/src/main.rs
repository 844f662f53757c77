//! The kill storm: real writers of four kinds are killed, at random and at every named step of everything that changes a pool,
//! and a checker that knows what they had been promised looks at what is left.

mod child;
mod document;
mod lives;
mod pulse;
mod random;
mod report;
mod roles;
mod site;
mod storm;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use child::Programs;
use storm::Storm;

const USAGE: &str = "\
usage: plasmite-faults [--kills N] [--seconds S] [--seed S]

Kills writer processes until there were N [default: 1000] or S seconds are over [default: no end], and checks after each
round that nothing acknowledged is missing, torn, twice or out of order, and that survivors went on.
Exit code 1: it found something. The campaign is repeated, but for the machine's own timing, by its seed.
";

struct Options {
    kills: u64,
    seconds: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = roles::run(&args) {
        return finish(result.map(|()| true));
    }
    let Some(options) = parse(&args) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    finish(campaign(&options))
}

fn finish(result: Result<bool, String>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Option<Options> {
    let mut options = Options { kills: 1000, seconds: u64::MAX, seed: 1 };
    for pair in args.chunks(2) {
        let [name, value] = pair else { return None };
        let value = value.parse().ok()?;
        match name.as_str() {
            "--kills" => options.kills = value,
            "--seconds" => options.seconds = value,
            "--seed" => options.seed = value,
            _ => return None,
        }
    }
    Some(options)
}

/// True when nothing was wrong.
fn campaign(options: &Options) -> Result<bool, String> {
    if !cfg!(debug_assertions) {
        return Err("the named steps are in debug builds only".into());
    }
    let programs = Programs::find()?;
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mounts = std::path::Path::new("/dev/fuse").exists();
    let mut storm = Storm::new(&programs, dir.path(), options.seed, mounts);
    let start = Instant::now();
    let mut told = start;
    while storm.report.kills < options.kills && start.elapsed().as_secs() < options.seconds {
        if let Err(why) = storm.site(options.kills).and_then(|()| storm.lives()) {
            storm.report.violations.push(why);
        }
        if storm.report.violations.len() > 20 {
            break;
        }
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            eprintln!("{} kills, {} violations", storm.report.kills, storm.report.violations.len());
        }
    }
    print!("{}", storm.report);
    println!(
        "seed {}, {:.0?}, mounts: {mounts}, doctor: {}",
        options.seed,
        start.elapsed(),
        storm.doctor
    );
    Ok(storm.report.violations.is_empty())
}
