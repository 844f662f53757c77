//! What was measured, for people and for machines.

use std::io::{ErrorKind, Write as _};

/// How the rows are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Table,
    Json,
}

/// One measured thing: the median over interleaved rounds, and how far the middle half of them spreads. Of a high quantile a round sees too
/// little: its figure is that quantile of what all rounds saw together, beside the middle half of what each has by itself.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// What is counted: nanoseconds for one operation, or something that is no time.
    pub(crate) unit: Unit,
    /// One value a round.
    pub(crate) rounds: Vec<f64>,
    /// What all rounds saw, of a high quantile.
    pub(crate) seen: Vec<f64>,
    /// Which part of it lies below the figure.
    pub(crate) part: f64,
    pub(crate) limit: Option<Against>,
    /// The most that is aimed at, in the same unit.
    pub(crate) aim: Option<f64>,
    /// What is done and with which system, of the rows that compare several.
    pub(crate) compared: Option<Compared>,
    /// Why there is no value.
    pub(crate) missing: Option<String>,
}

/// One system's row of those that do the same.
#[derive(Clone)]
pub(crate) struct Compared {
    pub(crate) group: String,
    pub(crate) system: String,
}

/// The row that a row is seen beside, and how many times of it are aimed at.
#[derive(Clone)]
pub(crate) struct Against {
    pub(crate) name: String,
    pub(crate) aim: Option<f64>,
}

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
    const ALL: [Self; 5] = [Self::Ns, Self::Bytes, Self::KiB, Self::PerCent, Self::Requests];

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
    /// One without values.
    pub(crate) fn new(name: &str, unit: Unit) -> Self {
        let (name, rounds, seen) = (name.to_owned(), Vec::new(), Vec::new());
        let (limit, aim, compared, missing) = (None, None, None, None);
        Self { name, unit, rounds, seen, part: 0.5, limit, aim, compared, missing }
    }

    pub(crate) fn figure(&self) -> f64 {
        let of = if self.seen.is_empty() { &self.rounds } else { &self.seen };
        quantile(of, self.part)
    }

    /// Of the rounds.
    fn quartile(&self, q: f64) -> f64 {
        quantile(&self.rounds, q)
    }
}

/// The value below which this part of `values` lies.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = sorted.len().saturating_sub(1) as f64 * part;
    // Between two of them, as much of each as lies nearer to it: of three rounds too the quartiles are not the median.
    let value = |at: f64| sorted.get(at as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (value(at.floor()), value(at.ceil()));
    below + (above - below) * at.fract()
}

/// Prints the rows, which were measured on this machine. A reader that has seen enough is no failure.
pub(crate) fn print(rows: &[Row], machine: &str, form: Form) -> Result<(), String> {
    match std::io::stdout().write_all(text(rows, machine, form).as_bytes()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("stdout: {e}")),
        _ => Ok(()),
    }
}

fn text(rows: &[Row], machine: &str, form: Form) -> String {
    let mut lines = Vec::new();
    if form == Form::Table {
        lines.push(format!("machine: {machine}"));
        lines.push(format!(
            "{:<52} {:>12} {:<5} {:>17} {:>12}  against its limit, and the aim",
            "what", "each", "", "middle half", "per second"
        ));
    }
    for row in rows {
        let beside = row.limit.as_ref().and_then(|against| {
            let limit = rows.iter().find(|r| r.name == against.name && r.missing.is_none())?;
            Some((against, row.figure() / limit.figure()))
        });
        lines.push(match form {
            Form::Table => line(row, beside),
            Form::Json => json(row, beside, machine),
        });
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The row beside a row, and how many times of it this one takes.
type Beside<'a> = Option<(&'a Against, f64)>;

fn json(row: &Row, beside: Beside<'_>, machine: &str) -> String {
    // What was measured once has no range.
    let quartile = |q| (row.rounds.len() > 1).then(|| row.quartile(q));
    let value = serde_json::json!({
        "name": row.name, "unit": row.unit.name(), "median": finite(row.figure()),
        "q1": quartile(0.25), "q3": quartile(0.75), "aim": row.aim,
        "limit": beside.map(|(against, _)| &against.name), "ratio": beside.map(|(_, ratio)| ratio),
        "aim_ratio": row.limit.as_ref().and_then(|against| against.aim),
        "group": row.compared.as_ref().map(|compared| &compared.group),
        "system": row.compared.as_ref().map(|compared| &compared.system),
        "missing": row.missing, "machine": machine,
    });
    value.to_string()
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The rows that were printed as JSON before, and the machine they were measured on.
pub(crate) fn parse(text: &str) -> Result<(Vec<Row>, String), String> {
    let (mut rows, mut machine) = (Vec::new(), String::new());
    for (number, line) in text.lines().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line)
            .map_err(|e| format!("line {} is no JSON: {e}", number + 1))?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let number = |key: &str| value[key].as_f64();
        let name = text("name").ok_or_else(|| format!("no row of this benchmark: {line}"))?;
        let unit = Unit::ALL.into_iter().find(|unit| value["unit"] == unit.name());
        let figure: Vec<f64> = number("median").into_iter().collect();
        // As many as give the same quartiles; the figure alone where there are none.
        let quartiles = ["q1", "q1", "q3", "q3"].into_iter().filter_map(number).collect();
        rows.push(Row {
            unit: unit.ok_or_else(|| format!("no unit of this benchmark: {line}"))?,
            rounds: if value["q1"].is_null() { figure.clone() } else { quartiles },
            seen: figure,
            part: 0.5,
            limit: text("limit").map(|name| Against { name, aim: number("aim_ratio") }),
            aim: number("aim"),
            compared: text("group")
                .zip(text("system"))
                .map(|(group, system)| Compared { group, system }),
            missing: text("missing"),
            name,
        });
        machine = text("machine").unwrap_or(machine);
    }
    if rows.is_empty() { Err("holds no rows".into()) } else { Ok((rows, machine)) }
}

fn line(row: &Row, beside: Beside<'_>) -> String {
    if let Some(why) = &row.missing {
        return format!("{:<52} not measured: {why}", row.name);
    }
    let mut against = String::new();
    if let Some((Against { name, aim }, ratio)) = beside {
        let aim = aim.map_or(String::new(), |aim| format!("(aim {aim:.2}) "));
        against = format!("{ratio:.2} × {name} {aim}");
    }
    if let Some(aim) = row.aim {
        against = format!("{against}aim {aim:.0} {}", row.unit.name());
    }
    let per_second = match row.unit {
        Unit::Ns => format!("{:.0}", 1e9 / row.figure()),
        _ => String::new(),
    };
    let middle_half = match row.rounds.len() {
        1 => String::new(),
        _ => format!("{:>8.1}–{:<8.1}", row.quartile(0.25), row.quartile(0.75)),
    };
    format!(
        "{:<52} {:>12.1} {:<5} {middle_half:>17} {per_second:>12}  {}",
        row.name,
        row.figure(),
        row.unit.name(),
        against.trim()
    )
}

/// The machine that this program runs on.
pub(crate) fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, m)| m.trim()))
        .unwrap_or("unknown CPU");
    let virtual_cpus = if info.contains(" hypervisor") { " of a virtual machine" } else { "" };
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    let gib = kib.unwrap_or(0).div_ceil(1 << 20);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let python = crate::python::version();
    let (kernel, file_system) = (kernel.trim(), file_system());
    format!(
        "{model}, {cpus} CPUs{virtual_cpus}, {gib} GiB, {file_system}, Linux {kernel}, {python}"
    )
}

/// The file system that the current directory lies in, and what that lies on.
fn file_system() -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
            here.starts_with(point).then(|| (point.len(), format!("{kind} on {device}")))
        })
        // Of mounts at one place the last one is seen.
        .max_by_key(|(len, _)| *len)
        .map_or_else(|| "unknown file system".to_owned(), |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_printed_as_json_are_read_again() {
        let text = r#"{"name":"append: SQLite","unit":"ns","median":3.0,"q1":2.0,"q3":5.0,"aim":null,"limit":"append: Plasmite",
            "ratio":2.0,"aim_ratio":null,"group":"append","system":"SQLite","missing":null,"machine":"a machine"}"#;
        let (rows, machine) = parse(&text.replace('\n', "")).unwrap();
        assert_eq!(machine, "a machine");
        let [row] = &rows[..] else { panic!("one row") };
        assert_eq!((row.figure(), row.quartile(0.25), row.quartile(0.75)), (3.0, 2.0, 5.0));
        assert_eq!(row.compared.as_ref().unwrap().system, "SQLite");
        assert!(
            row.limit.as_ref().is_some_and(|l| l.name == "append: Plasmite" && l.aim.is_none())
        );
        let once = r#"{"name":"open","unit":"ns","median":3.0,"q1":null,"q3":null}"#;
        assert_eq!(parse(once).unwrap().0[0].rounds, [3.0]);
        assert!(parse("{}").is_err());
    }

    #[test]
    fn quartiles_lie_between_the_rounds() {
        let of = |rounds: &[f64]| {
            let row = Row { rounds: rounds.to_vec(), ..Row::new("a", Unit::Ns) };
            [0.25, 0.5, 0.75].map(|q| row.quartile(q))
        };
        assert_eq!(of(&[9.0, 1.0, 3.0]), [2.0, 3.0, 6.0]);
        assert_eq!(of(&[1.0, 2.0]), [1.25, 1.5, 1.75]);
        assert_eq!(of(&[4.0]), [4.0; 3]);
        assert!(of(&[])[1].is_nan());
    }

    #[test]
    fn a_high_quantile_is_that_of_what_all_rounds_saw() {
        let seen: Vec<f64> = (0..=1000).map(f64::from).collect();
        let row = Row { rounds: vec![7.0, 9.0], seen, part: 0.99, ..Row::new("a", Unit::Ns) };
        assert_eq!((row.figure(), row.quartile(0.5)), (990.0, 8.0));
        // It may lie outside of the rounds' middle half, and is read again as it was.
        let text = r#"{"name":"a","unit":"ns","median":990.0,"q1":7.5,"q3":8.5}"#;
        let (rows, _) = parse(text).unwrap();
        assert_eq!(
            [rows[0].figure(), rows[0].quartile(0.25), rows[0].quartile(0.75)],
            [990.0, 7.5, 8.5]
        );
    }

    #[test]
    fn a_row_that_was_not_measured_says_why_in_both_forms() {
        let missing = r#"{"name":"append: Redis","unit":"ns","missing":"no server","group":"append","system":"Redis"}"#;
        let (rows, _) = parse(missing).unwrap();
        assert_eq!(rows[0].missing.as_deref(), Some("no server"));
        assert!(rows[0].rounds.is_empty());
    }
}
