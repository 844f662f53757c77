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
    /// What is counted: nanoseconds for one operation, or something that is no time.
    pub(crate) unit: Unit,
    /// One value a round.
    pub(crate) rounds: Vec<f64>,
    pub(crate) limit: AllowedOf,
    /// The most that is aimed at, in the same unit.
    pub(crate) aim: Option<f64>,
}

/// The name of the row that is a row's limit, and how many times of it are allowed.
pub(crate) type AllowedOf = Option<(&'static str, f64)>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Ns,
    Bytes,
    KiB,
    /// Of a core.
    PerCent,
    /// FUSE requests that the kernel makes.
    Requests,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Bytes => "bytes",
            Self::KiB => "KiB",
            Self::PerCent => "%",
            Self::Requests => "reqs",
        }
    }
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
            "{:<44} {:>12} {:<5} {:>17} {:>12}  against its limit, and the aim",
            "what", "each", "", "middle half", "per second"
        );
    }
    for row in rows {
        let limit = row.limit.and_then(|(name, allowed)| {
            let limit = rows.iter().find(|r| r.name == name)?.median();
            Some((name, row.median() / limit, allowed))
        });
        match form {
            Form::Table => print_line(row, limit),
            Form::Json => print_json(row, limit),
        }
    }
}

/// The row that is the limit, how many times of it this one takes, and how many are aimed at.
type Limit = Option<(&'static str, f64, f64)>;

fn print_json(row: &Row, limit: Limit) {
    let value = serde_json::json!({
        "name": row.name, "unit": row.unit.name(), "median": row.median(),
        "q1": row.quantile(0.25), "q3": row.quantile(0.75), "aim": row.aim,
        "limit": limit.map(|l| l.0), "ratio": limit.map(|l| l.1), "aim_ratio": limit.map(|l| l.2),
        "machine": machine(),
    });
    println!("{value}");
}

fn print_line(row: &Row, limit: Limit) {
    let mut against = String::new();
    if let Some((name, ratio, allowed)) = limit {
        against = format!("{ratio:.2} × {name} (aim {allowed:.2}) ");
    }
    if let Some(aim) = row.aim {
        against = format!("{against}aim {aim:.0} {}", row.unit.name());
    }
    let per_second = match row.unit {
        Unit::Ns => format!("{:.0}", 1e9 / row.median()),
        _ => String::new(),
    };
    println!(
        "{:<44} {:>12.1} {:<5} {:>8.1}–{:<8.1} {per_second:>12}  {}",
        row.name,
        row.median(),
        row.unit.name(),
        row.quantile(0.25),
        row.quantile(0.75),
        against.trim()
    );
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, m)| m.trim()))
        .unwrap_or("unknown CPU");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let python = crate::python::version();
    format!("{model}, {cpus} CPUs, Linux {}, {python}", kernel.trim())
}
