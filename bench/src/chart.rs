//! The picture of the rows that compare several systems: for each thing that is done one bar a system, on a scale of powers of ten.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::peers::FIRST;
use crate::report::Row;

/// Its own background: it is read on light pages and on dark ones.
const PAPER: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(31, 35, 40);
const FAINT_INK: RGBColor = RGBColor(89, 99, 110);
const GRID: RGBColor = RGBColor(225, 228, 232);
const OURS: RGBColor = RGBColor(9, 105, 218);
const OTHERS: RGBColor = RGBColor(160, 170, 180);

const COLUMNS: usize = 2;
const WIDTH: u32 = 1000;
/// Of a bar with the space below it.
const BAR: i32 = 24;
const TITLE: i32 = 34;
const AXIS: i32 = 26;
const GAP: i32 = 14;
const HEAD: i32 = 62;
/// For the names of the systems.
const NAMES: i32 = 126;
/// For the figure behind the longest bar.
const FIGURES: i32 = 76;
const MARGIN: i32 = 16;

/// The things that are drawn, in this order, and their titles.
const PANELS: &[(&str, &str)] = &[
    ("append 1 KiB", "Append a message of 1 KiB"),
    ("append 1 KiB, 100 at once", "The same, 100 messages at once"),
    ("flush 1 KiB", "Append 1 KiB, safe from power loss"),
    ("flush 1 KiB, 100 at once", "The same, 100 messages at once"),
    ("append 1 KiB, 8 processes", "Append 1 KiB, 8 processes together"),
    ("flush 1 KiB, 16 processes", "16 together, safe from power loss"),
    ("get 1 KiB at random", "Get a message of 1 KiB by its number"),
    ("read 1 KiB, one after the other", "Read messages of 1 KiB that are there"),
    ("producer → consumer, 1 KiB", "From one process to another, 1 KiB, one by one"),
    ("producer → consumer, 1 KiB, 100 at once", "The same, 100 messages at once"),
    ("wake-up, p50", "Wake a reader on another CPU, median"),
    ("wake-up, p99", "The slowest of a hundred such wake-ups"),
    ("command: feed one message", "Start the command for one message"),
    ("command: feed 1 KiB JSON Lines", "A message of 1 KiB into the command's stdin"),
    ("Python append, small dict", "Append a small dict from Python"),
    ("Python read, small dict", "Read it again in Python"),
];

struct Panel<'a> {
    title: &'static str,
    /// The name of a system, and its nanoseconds; the fastest first.
    bars: Vec<(&'a str, f64)>,
}

const NOTHING: &str = "there is nothing to draw: the rows of several systems come with --peers";

/// Whether there will be something to draw, and a directory for it.
pub(crate) fn check(path: &Path, has_peers: bool) -> Result<(), String> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    if !has_peers {
        return Err(NOTHING.into());
    }
    if dir.is_dir() { Ok(()) } else { Err(format!("{}: no directory", dir.display())) }
}

pub(crate) fn draw(rows: &[Row], machine: &str, path: &Path) -> Result<(), String> {
    let panels = panels(rows);
    if panels.is_empty() {
        return Err(NOTHING.into());
    }
    let heights: Vec<i32> = panels
        .chunks(COLUMNS)
        .map(|row| row.iter().map(Panel::height).max().unwrap_or_default())
        .collect();
    let height = HEAD + heights.iter().map(|height| height + GAP).sum::<i32>();
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, height as u32)).into_drawing_area();
    picture(&area, &panels, &heights, machine).map_err(|e| e.to_string())?;
    drop(area);
    std::fs::write(path, svg).map_err(|e| format!("{}: {e}", path.display()))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn panels(rows: &[Row]) -> Vec<Panel<'_>> {
    let panel = |(group, title): &(&str, &'static str)| {
        let of_group = rows.iter().filter(|row| row.missing.is_none()).filter_map(|row| {
            let compared = row.compared.as_ref()?;
            (compared.group == *group).then_some((compared.system.as_str(), row.figure()))
        });
        let mut bars: Vec<_> = of_group.collect();
        bars.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        Panel { title, bars }
    };
    PANELS.iter().map(panel).filter(|panel| !panel.bars.is_empty()).collect()
}

fn picture(area: &Area<'_>, panels: &[Panel<'_>], heights: &[i32], machine: &str) -> Drawn {
    area.fill(&PAPER)?;
    text(
        area,
        "What each message takes, less is better",
        (MARGIN, 24),
        20,
        &INK,
        HPos::Left,
        true,
    )?;
    let below = format!("medians, on a scale of powers of ten · {machine}");
    text(area, &below, (MARGIN, 48), 13, &FAINT_INK, HPos::Left, false)?;
    let mut top = HEAD;
    let width = WIDTH as i32 / COLUMNS as i32;
    for (row, height) in panels.chunks(COLUMNS).zip(heights) {
        for (column, panel) in row.iter().enumerate() {
            let left = width * column as i32;
            let part = area.clone().shrink((left, top), (width, *height));
            panel.draw(&part, width)?;
        }
        top += height + GAP;
    }
    area.present()?;
    Ok(())
}

impl Panel<'_> {
    fn height(&self) -> i32 {
        TITLE + BAR * self.bars.len() as i32 + AXIS
    }

    fn draw(&self, area: &Area<'_>, width: i32) -> Drawn {
        text(area, self.title, (MARGIN, TITLE / 2), 15, &INK, HPos::Left, true)?;
        let (from, to) = (MARGIN + NAMES, width - FIGURES);
        let values = self.bars.iter().map(|(_, ns)| *ns);
        let (least, most) = values.fold((f64::MAX, 0f64), |(l, m), ns| (l.min(ns), m.max(ns)));
        // Whole decades, so that the shortest bar can be seen.
        let (low, high) = ((least / 2.0).log10().floor() as i32, most.log10().ceil() as i32);
        let scale: LogCoord<f64> = (10f64.powi(low)..10f64.powi(high)).log_scale().into();
        let x = |ns: f64| scale.map(&ns, (from, to));
        let bottom = TITLE + BAR * self.bars.len() as i32;
        for power in low..=high {
            let ns = 10f64.powi(power);
            let line = vec![(x(ns), TITLE), (x(ns), bottom)];
            area.draw(&PathElement::new(line, GRID))?;
            text(area, &duration(ns), (x(ns), bottom + 12), 12, &FAINT_INK, HPos::Center, false)?;
        }
        for (n, (name, ns)) in self.bars.iter().enumerate() {
            let y = TITLE + BAR * n as i32;
            let ours = name.starts_with(FIRST);
            let colour = if ours { OURS } else { OTHERS };
            let bar = [(from, y + 4), (x(*ns), y + BAR - 4)];
            area.draw(&Rectangle::new(bar, colour.filled()))?;
            let middle = y + BAR / 2;
            text(area, name, (from - 8, middle), 13, &INK, HPos::Right, ours)?;
            text(area, &duration(*ns), (x(*ns) + 6, middle), 13, &INK, HPos::Left, ours)?;
        }
        Ok(())
    }
}

fn text(
    area: &Area<'_>,
    what: &str,
    at: (i32, i32),
    size: i32,
    colour: &RGBColor,
    side: HPos,
    bold: bool,
) -> Drawn {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FontFamily::SansSerif, f64::from(size), style);
    let style = font.color(colour).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(what.to_owned(), at, style))?;
    Ok(())
}

/// With three digits at most.
fn duration(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let (unit, name) = units.into_iter().find(|(unit, _)| ns >= *unit).unwrap_or((1.0, "ns"));
    let value = ns / unit;
    let digits =
        if value >= 99.95 || value.fract() == 0.0 { 0 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    const LINES: &str = r#"{"name":"append 1 KiB: Plasmite","unit":"ns","median":1000.0,"q1":1000.0,"q3":1000.0,"group":"append 1 KiB","system":"Plasmite"}
{"name":"append 1 KiB: SQLite","unit":"ns","median":23456.0,"q1":23456.0,"q3":23456.0,"group":"append 1 KiB","system":"SQLite"}
{"name":"append 1 KiB: Redis","unit":"ns","missing":"no server","group":"append 1 KiB","system":"Redis"}"#;

    #[test]
    fn each_system_that_was_measured_has_a_bar_and_its_figure() {
        let path = tempfile::tempdir().unwrap().keep().join("chart.svg");
        let (rows, _) = report::parse(LINES).unwrap();
        draw(&rows, "a machine", &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        for word in ["Plasmite", "1 µs", "SQLite", "23.5 µs", "a machine", "Append a message"] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        assert!(!svg.contains("Redis"));
    }

    #[test]
    fn rows_of_one_system_make_no_chart() {
        let why = draw(&[], "a machine", Path::new("nowhere.svg")).unwrap_err();
        assert!(why.contains("--peers"));
    }

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        for (ns, text) in [
            (1.0, "1 ns"),
            (12.34, "12.3 ns"),
            (999.0, "999 ns"),
            (1000.0, "1 µs"),
            (150_600.0, "151 µs"),
            (2.5e9, "2.5 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
