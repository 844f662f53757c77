//! What was measured, for people and for machines.

/// How the rows are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Table,
    Json,
}

/// One measured thing: the median over interleaved rounds, and how far the middle half of them spreads.
pub(crate) struct Row {
    pub(crate) name: String,
    /// Nanoseconds for one operation, one value a round.
    pub(crate) rounds: Vec<f64>,
    /// The name of the row that is this one's limit, and how many times of it are allowed.
    pub(crate) limit: Option<(&'static str, f64)>,
    /// The most nanoseconds that are aimed at.
    pub(crate) aim_ns: Option<f64>,
}

impl Row {
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        sorted.get((last * q).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

pub(crate) fn print(rows: &[Row], form: Form) {
    if form == Form::Table {
        println!("machine: {}", machine());
        println!(
            "{:<46} {:>12} {:>17} {:>12}  against its limit, and the aim",
            "what", "ns each", "middle half", "per second"
        );
    }
    for row in rows {
        let median = row.median();
        let limit = row.limit.and_then(|(name, allowed)| {
            let limit = rows.iter().find(|r| r.name == name)?.median();
            Some((name, median / limit, allowed))
        });
        if form == Form::Json {
            let value = serde_json::json!({
                "name": row.name, "ns": median, "ns_q1": row.quantile(0.25), "ns_q3": row.quantile(0.75),
                "limit": limit.map(|l| l.0), "ratio": limit.map(|l| l.1), "aim_ratio": limit.map(|l| l.2),
                "aim_ns": row.aim_ns, "machine": machine(),
            });
            println!("{value}");
            continue;
        }
        let mut against = String::new();
        if let Some((name, ratio, allowed)) = limit {
            against = format!("{ratio:.2} × {name} (aim {allowed:.2})");
        }
        if let Some(aim) = row.aim_ns {
            against = format!("{against} aim {aim:.0} ns");
        }
        println!(
            "{:<46} {:>12.1} {:>8.1}–{:<8.1} {:>12.0}  {}",
            row.name,
            median,
            row.quantile(0.25),
            row.quantile(0.75),
            1e9 / median,
            against.trim()
        );
    }
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, m)| m.trim()))
        .unwrap_or("unknown CPU");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cpus} CPUs, Linux {}", kernel.trim())
}
