//! What goes on in the pools, printed once: a table, or a JSON object for each pool.

use std::borrow::Cow;
use std::thread;

use plasmite_core::{Client, Timestamp};
use serde::Serialize;

use super::columns::{self, Signs};
use super::sort::{Order, SortKey};
use super::watch::{Facts, Watch, Watched};
use crate::args::TopArgs;
use crate::errors::{self, Outcome, SUCCESS};
use crate::output::{self, printable};

/// How wide each figure of the table is.
const WIDTH: usize = 8;

pub(crate) fn run(client: Client, args: &TopArgs) -> Outcome {
    let mut watch = Watch::new(client);
    watch.look();
    if let Some(error) = watch.trouble {
        return Err(error.into());
    }
    // Rates are between two looks.
    if watch.pools().len() > 0 {
        thread::sleep(args.interval);
        watch.look();
    }
    let mut pools: Vec<&Watched> = watch.pools().collect();
    let order = Order { key: args.sort, reversed: args.reverse };
    pools.sort_by(|a, b| order.compare(a, b));
    let now = Timestamp::now();
    let text = if args.json {
        pools.iter().map(|pool| json_of(pool, now)).collect()
    } else {
        let signs = columns::signs_of(|name| std::env::var(name).ok());
        table(&pools, now, &signs)
    };
    output::write_stdout(text.as_bytes())?;
    Ok(SUCCESS)
}

/// What is not known is null; a pool that can't be looked at has `error` instead.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    path: Cow<'a, str>,
    messages_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    used_bytes: u64,
    ring_bytes: u64,
    messages: u64,
    newest_seq: Option<u64>,
    oldest_age_seconds: Option<f64>,
    readers: Option<u32>,
    writers: Option<u32>,
}

fn json_of(pool: &Watched, now: Timestamp) -> String {
    let facts = match &pool.facts {
        Ok(facts) => facts,
        Err(error) => return errors::damaged_json(&pool.name, &pool.path, error),
    };
    let info = &facts.info;
    // A pool that was not there at the first look has no rates.
    let rates = pool.history.back();
    let told = Told {
        name: &pool.name,
        path: pool.path.to_string_lossy(),
        messages_per_second: rates.map(|rates| rates.messages),
        bytes_per_second: rates.map(|rates| rates.bytes),
        used_bytes: info.used_bytes,
        ring_bytes: info.ring_bytes,
        messages: info.bounds.count(),
        newest_seq: (!info.bounds.is_empty()).then_some(info.bounds.newest.get()),
        oldest_age_seconds: info.oldest_time.map(|time| columns::age(time, now).as_secs_f64()),
        readers: facts.readers(),
        writers: facts.writers(),
    };
    // Numbers and strings always have a JSON form.
    let mut line = serde_json::to_string(&told).unwrap_or_default();
    line.push('\n');
    line
}

fn table(pools: &[&Watched], now: Timestamp, signs: &Signs) -> String {
    let names: Vec<String> = pools.iter().map(|pool| printable(&pool.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
    let figures = &SortKey::ALL[1..];
    let mut out = format!("{:width$}", SortKey::Name.title());
    for key in figures {
        out.push_str(&format!(" {:>WIDTH$}", key.title()));
    }
    out.push('\n');
    for (pool, name) in pools.iter().zip(&names) {
        out.push_str(&format!("{name:width$}"));
        match &pool.facts {
            Ok(facts) => push_figures(&mut out, pool, facts, figures, now, signs),
            Err(error) => {
                out.push_str(&format!("  {}: {}", error.kind().name(), printable(error.message())));
            }
        }
        out.push('\n');
    }
    out
}

fn push_figures(
    out: &mut String,
    pool: &Watched,
    facts: &Facts,
    keys: &[SortKey],
    now: Timestamp,
    signs: &Signs,
) {
    for &key in keys {
        let figure = columns::figure(pool, facts, key, now);
        let figure = figure.unwrap_or_else(|| signs.unknown.to_string());
        out.push_str(&format!(" {figure:>WIDTH$}"));
    }
}
