//! The kill storm: real writers of four kinds are killed, at random and at every named step of everything that changes a pool,
//! and a checker that knows what they had been promised looks at what is left.

mod child;
mod deed;
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
use report::{Report, grouped};
use storm::Storm;

/// How often it says how far it is.
const TELL: Duration = Duration::from_secs(30);

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

/// One line about how far it is.
fn progress(report: &Report, wanted: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = report.kills as f64 / seconds.max(1.0);
    let left = wanted.saturating_sub(report.kills) as f64 / rate.max(0.001) / 60.0;
    format!(
        "{} of {} kills in {:.0} min, {rate:.1}/s, {left:.0} min to go; {} acknowledged messages, {} violations",
        grouped(report.kills),
        grouped(wanted),
        seconds / 60.0,
        grouped(report.acknowledged),
        report.violations.len()
    )
}

/// True when nothing was wrong.
fn campaign(options: &Options) -> Result<bool, String> {
    if !cfg!(debug_assertions) {
        return Err("the named steps are in debug builds only".into());
    }
    let programs = Programs::find()?;
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mounts = std::path::Path::new("/dev/fuse").exists();
    let mut storm = Storm::new(&programs, dir.path(), options.seed, mounts)?;
    let start = Instant::now();
    let (mut told, mut shown) = (start, 0);
    while storm.report.kills < options.kills && start.elapsed().as_secs() < options.seconds {
        if let Err(why) =
            storm.site(options.kills).and_then(|()| storm.lives()).and_then(|()| storm.lives())
        {
            storm.report.violations.push(why);
        }
        for violation in storm.report.violations.iter().skip(shown) {
            eprintln!("VIOLATION {violation}");
        }
        shown = storm.report.violations.len();
        if shown > 20 {
            break;
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            eprintln!("{}", progress(&storm.report, options.kills, start.elapsed()));
        }
    }
    print!("{}", storm.report);
    println!("\nseed {}, {:.0?}, mounts: {mounts}", options.seed, start.elapsed());
    Ok(storm.report.violations.is_empty())
}
