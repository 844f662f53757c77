//! `plasmite doctor`.

use plasmite_core::doctor::{self, Report, Salvaged, Severity};
use plasmite_core::{Client, ErrorKind, Seq};

use crate::args::DoctorArgs;
use crate::errors::{self, Failure, Outcome, SUCCESS};
use crate::output::{self, BOLD, CYAN, DIM, RED, bytes_text, paint, printable};
use crate::pool::{named, pool_name};
use crate::pools;

pub(crate) fn run(client: &Client, args: &DoctorArgs) -> Outcome {
    let as_json = args.json || !output::stdout_is_terminal();
    if let (Some(pool), Some(out)) = (&args.pool, &args.salvage) {
        return salvage(client, pool, out, as_json);
    }
    let names = match &args.pool {
        Some(pool) => vec![pool.clone()],
        None => client.names()?.into_iter().map(|(name, _)| name).collect(),
    };
    if names.is_empty() {
        let dir = printable(&client.dir().display().to_string());
        output::talk(&format!("no pools in {dir}: there is nothing to examine"));
    }
    let mut damaged = false;
    let told = errors::for_each(&names, |name| {
        let report = client
            .path_of(name)
            .and_then(|path| doctor::check(&path))
            .map_err(|error| pools::explained(client, name, &error));
        let report = match report {
            // It was deleted since the directory was read.
            Err(error) if error.kind() == ErrorKind::NotFound && args.pool.is_none() => {
                return Ok(());
            }
            report => report?,
        };
        damaged |= report.is_damaged();
        let text = if as_json {
            named(&pool_name(name), &report.to_json())
        } else {
            report_text(client, name, &report)
        };
        output::write_stdout(text.as_bytes())
    })?;
    let corrupt = u8::try_from(ErrorKind::Corrupt.code()).unwrap_or(errors::INTERNAL);
    Ok(if told == SUCCESS && damaged { corrupt } else { told })
}

fn salvage(client: &Client, pool: &str, out: &str, as_json: bool) -> Outcome {
    let (from, to) = (client.path_of(pool)?, client.path_of(out)?);
    let saved = doctor::salvage(&from, &to)
        .map_err(|error| Failure::from(pools::explained(client, pool, &error)))?;
    let text = if as_json {
        named(&pool_name(out), &saved.to_json())
    } else {
        saved_text(pool, out, &saved)
    };
    output::write_stdout(text.as_bytes())?;
    Ok(SUCCESS)
}

fn report_text(client: &Client, name: &str, report: &Report) -> String {
    let colour = output::stdout_colour();
    let damages = report.findings.iter().filter(|f| f.severity == Severity::Damage).count() as u64
        + report.unlisted;
    let state = match damages {
        0 => "healthy".to_owned(),
        1 => paint("damaged", RED, colour),
        n => format!("{} in {n} places", paint("damaged", RED, colour)),
    };
    let messages = match report.bounds {
        Some(bounds) if !bounds.is_empty() => {
            format!("{} of {} to {} intact", report.intact, bounds.oldest, bounds.newest)
        }
        Some(_) => "no messages".to_owned(),
        None => format!("{} intact messages by the header", report.intact),
    };
    let mut out = format!(
        "{}: {state}; {messages}; {} of {} used\n",
        paint(&printable(name), BOLD, colour),
        bytes_text(report.used_bytes),
        bytes_text(report.ring_bytes)
    );
    for finding in &report.findings {
        let (label, style) = match finding.severity {
            Severity::Damage => ("damage", RED),
            Severity::Remark => ("remark", CYAN),
        };
        let place = finding.offset.map(|at| format!(" (byte {at})")).unwrap_or_default();
        let message = printable(&finding.message);
        out.push_str(&format!(
            "  {} {}: {message}{}\n",
            paint(label, style, colour),
            finding.part,
            paint(&place, DIM, colour)
        ));
    }
    if report.unlisted > 0 {
        out.push_str(&format!("  and {} more\n", report.unlisted));
    }
    if damages > 0 {
        out.push_str(&format!(
            "  {} copy what is intact into a new pool: plasmite{} doctor {} --salvage NEW\n",
            paint("hint:", CYAN, colour),
            pools::dir_option(client),
            printable(name)
        ));
    }
    out
}

fn saved_text(pool: &str, out: &str, saved: &Salvaged) -> String {
    let mut text = format!(
        "saved {} of {} into {}: {} to {}\n",
        output::messages(saved.bounds.count()),
        printable(pool),
        printable(out),
        saved.bounds.oldest,
        saved.bounds.newest
    );
    if saved.lost > 0 {
        let gaps: Vec<_> = saved.gaps.iter().rev().take(10).map(gap_text).collect();
        let more = if saved.gaps.len() > gaps.len() { ", …" } else { "" };
        text.push_str(&format!("  lost: {} ({}{more})\n", saved.lost, gaps.join(", ")));
    }
    if saved.renumbered > 0 {
        let note = "moved up to close the gaps";
        text.push_str(&format!("  renumbered: the {} oldest {note}\n", saved.renumbered));
    }
    if saved.incomplete {
        text.push_str("  the search was given up before its end: there may be more\n");
    }
    text
}

fn gap_text((first, last): &(Seq, Seq)) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}
