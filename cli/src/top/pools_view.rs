//! The table of all pools.

use plasmite_core::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::columns::{self, Signs};
use super::sort::{Order, SortKey};
use super::watch::{Watch, Watched};
use crate::output::printable;

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    pub(crate) colour: bool,
    pub(crate) signs: Signs,
}

impl Theme {
    pub(crate) fn in_colour(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub(crate) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

pub(crate) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// Which pool is chosen, and which part of the table is on the screen.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// The name: its row moves when the order changes. None: whatever is in the first row.
    chosen: Option<String>,
    /// The row of the choice in the last frame.
    row: usize,
    /// The first row on the screen.
    top: usize,
    /// Rows on the screen in the last frame.
    rows: usize,
}

impl Place {
    /// Moves the choice by so many rows.
    pub(crate) fn step(&mut self, pools: &[&Watched], by: isize) {
        let row = self.find(pools).saturating_add_signed(by).min(pools.len().saturating_sub(1));
        self.row = row;
        self.chosen = pools.get(row).filter(|_| row > 0).map(|pool| pool.name.clone());
    }

    /// The rows of a page.
    pub(crate) fn page(&self) -> isize {
        isize::try_from(self.rows).unwrap_or(1).max(1)
    }

    /// The pool that is chosen.
    pub(crate) fn pool<'a>(&self, pools: &[&'a Watched]) -> Option<&'a Watched> {
        pools.get(self.find(pools)).copied()
    }

    /// The row of the choice; of one that has gone, the row where it was.
    fn find(&self, pools: &[&Watched]) -> usize {
        let Some(chosen) = &self.chosen else { return 0 };
        let found = pools.iter().position(|pool| pool.name == *chosen);
        found.unwrap_or(self.row.min(pools.len().saturating_sub(1)))
    }

    /// Keeps the choice on the screen.
    fn settle(&mut self, pools: &[&Watched], rows: usize) {
        (self.row, self.rows) = (self.find(pools), rows);
        if self.chosen.is_some() {
            self.chosen = pools.get(self.row).map(|pool| pool.name.clone());
        }
        let lowest = (self.row + 1).saturating_sub(rows);
        let top = self.top.clamp(lowest, self.row.max(lowest));
        self.top = top.min(pools.len().saturating_sub(rows));
    }
}

/// A column on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Figure(SortKey),
    /// The rates of the key as a sparkline.
    Graph(SortKey),
}

/// The columns from left to right, their least width, and when they go if the terminal is narrow: the highest first.
const COLUMNS: [(Column, u16, u8); 9] = [
    (Column::Figure(SortKey::Name), 10, 0),
    (Column::Figure(SortKey::Messages), 5, 1),
    (Column::Graph(SortKey::Messages), 8, 5),
    (Column::Figure(SortKey::Bytes), 7, 3),
    (Column::Graph(SortKey::Bytes), 8, 8),
    (Column::Figure(SortKey::Fill), 4, 2),
    (Column::Figure(SortKey::Oldest), 6, 4),
    (Column::Figure(SortKey::Readers), 7, 6),
    (Column::Figure(SortKey::Writers), 7, 7),
];

/// Which columns fit into `width`, and how wide each is. Names that are longer than their column get half of what is left, graphs
/// the rest.
fn columns_for(width: u16, longest_name: u16) -> Vec<(Column, u16)> {
    let mut fitting = COLUMNS.to_vec();
    let needed = |columns: &[(Column, u16, u8)]| {
        columns.iter().map(|(_, least, _)| least + 1).sum::<u16>().saturating_sub(1)
    };
    while fitting.len() > 1 && needed(&fitting) > width {
        let first_to_go = fitting.iter().map(|(_, _, rank)| *rank).max();
        fitting.retain(|(_, _, rank)| Some(*rank) != first_to_go);
    }
    let left = width.saturating_sub(needed(&fitting));
    let graphs = fitting.iter().filter(|(column, ..)| matches!(column, Column::Graph(_))).count();
    // A name of some length comes before graphs, a long one gets as much as they do.
    let for_name = if graphs == 0 { left } else { (left / 2).max(left.min(6)) };
    let mut columns: Vec<_> = fitting.iter().map(|&(column, least, _)| (column, least)).collect();
    let mut for_graphs = left;
    for (column, columns_width) in &mut columns {
        if *column == Column::Figure(SortKey::Name) {
            let more = longest_name.saturating_sub(*columns_width).min(for_name);
            *columns_width = (*columns_width + more).min(width);
            for_graphs -= more;
        }
    }
    let each = for_graphs.checked_div(graphs as u16).unwrap_or(0).min(32);
    for (column, width) in &mut columns {
        if matches!(column, Column::Graph(_)) {
            *width += each;
        }
    }
    columns
}

/// Draws the table into `area`: headings, then a row for each pool of the part that is shown.
pub(crate) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    theme: Theme,
    pools: &[&Watched],
    place: &mut Place,
    order: Order,
) {
    if area.is_empty() {
        return;
    }
    let longest = pools.iter().map(|pool| pool.name.chars().count()).max().unwrap_or(0);
    let columns = columns_for(area.width, longest.min(usize::from(u16::MAX)) as u16);
    headings(buffer, area, theme, &columns, order);
    let rows = usize::from(area.height - 1);
    place.settle(pools, rows);
    let now = Timestamp::now();
    let shown = pools.iter().enumerate().skip(place.top).take(rows);
    for ((index, pool), y) in shown.zip(area.y + 1..) {
        let row = Rect { y, height: 1, ..area };
        draw_row(buffer, row, theme, &columns, pool, now);
        if index == place.row {
            mark(buffer, row, &columns, pool);
        }
    }
}

/// Marks the row that is chosen. Not its sparklines: reversed they would show the opposite of what they mean.
fn mark(buffer: &mut Buffer, row: Rect, columns: &[(Column, u16)], pool: &Watched) {
    let marked = Style::new().add_modifier(Modifier::REVERSED);
    if pool.facts.is_err() {
        buffer.set_style(row, marked);
        return;
    }
    let mut x = row.x;
    for &(column, width) in columns {
        if let Column::Figure(_) = column {
            // With the blank behind it.
            let figure = Rect { x, width: width + 1, ..row };
            buffer.set_style(figure.intersection(row), marked);
        }
        x += width + 1;
    }
}

fn headings(
    buffer: &mut Buffer,
    area: Rect,
    theme: Theme,
    columns: &[(Column, u16)],
    order: Order,
) {
    let mut x = area.x;
    for &(column, width) in columns {
        if let Column::Figure(key) = column {
            let title = key.title();
            let at =
                x + if key == SortKey::Name { 0 } else { width.saturating_sub(title.len() as u16) };
            let style = if key == order.key {
                STRONG.patch(theme.in_colour(Color::Cyan))
            } else {
                theme.faint()
            };
            put(buffer, at, area.y, area.right(), title, style);
            // The letter that sorts by it.
            put(
                buffer,
                at,
                area.y,
                area.right(),
                &title[..1],
                style.add_modifier(Modifier::UNDERLINED),
            );
        }
        x += width + 1;
    }
}

fn draw_row(
    buffer: &mut Buffer,
    row: Rect,
    theme: Theme,
    columns: &[(Column, u16)],
    pool: &Watched,
    now: Timestamp,
) {
    let mut x = row.x;
    for &(column, width) in columns {
        match (column, &pool.facts) {
            (Column::Figure(SortKey::Name), _) => {
                let name = fitted(&printable(&pool.name), width, theme.signs.cut);
                put(buffer, x, row.y, x + width, &name, STRONG);
            }
            (Column::Figure(key), Ok(facts)) => {
                let figure = columns::figure(pool, facts, key, now);
                let style = if figure.is_some() { Style::new() } else { theme.faint() };
                let text = figure.unwrap_or_else(|| theme.signs.unknown.to_string());
                let text = format!("{text:>width$}", width = usize::from(width));
                put(buffer, x, row.y, row.right(), &text, style);
            }
            (Column::Graph(key), Ok(_)) => {
                let rates = pool.history.iter().map(|rates| match key {
                    SortKey::Bytes => rates.bytes,
                    _ => rates.messages,
                });
                let line = columns::sparkline(rates, width.into(), &theme.signs);
                let colour = if key == SortKey::Bytes { Color::Blue } else { Color::Green };
                put(buffer, x, row.y, row.right(), &line, theme.in_colour(colour));
            }
            (_, Err(error)) => {
                let text = format!("{}: {}", error.kind().name(), printable(error.message()));
                put(buffer, x, row.y, row.right(), &text, theme.in_colour(Color::Red));
                return;
            }
        }
        x += width + 1;
    }
}

/// Text of one line, cut at column `end`.
pub(crate) fn put(buffer: &mut Buffer, x: u16, y: u16, end: u16, text: &str, style: Style) -> u16 {
    let area = buffer.area;
    if y < area.y || y >= area.bottom() || x < area.x || x >= end.min(area.right()) {
        return x;
    }
    let width = usize::from(end.min(area.right()) - x);
    buffer.set_stringn(x, y, text, width, style).0
}

/// The text in `width` columns, its end cut off visibly.
fn fitted(text: &str, width: u16, cut: char) -> String {
    let width = usize::from(width);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain([cut]).collect()
}

/// The line above the table: where, how many pools of how many are shown, how much.
pub(crate) fn summary(watch: &Watch, shown: usize) -> String {
    let total = watch.total();
    let count = watch.pools().len();
    let shown = if shown == count { String::new() } else { format!("{shown} of ") };
    format!(
        "{}  {shown}{count} pool{}  {} msg/s  {}B/s",
        printable(&watch.dir().display().to_string()),
        if count == 1 { "" } else { "s" },
        columns::count_text(total.messages),
        columns::bytes_text(total.bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widths(columns: &[(Column, u16)]) -> u16 {
        columns.iter().map(|(_, width)| width + 1).sum::<u16>() - 1
    }

    #[test]
    fn everything_fits_into_80_columns_and_less_into_fewer() {
        for width in 1..300 {
            for longest in [0, 10, 30, 500] {
                let columns = columns_for(width, longest);
                assert!(widths(&columns) <= width, "{width}: {columns:?}");
                assert_eq!(columns[0].0, Column::Figure(SortKey::Name));
                assert_eq!(columns.len() == COLUMNS.len(), width >= 70, "{width}: {columns:?}");
            }
        }
    }

    #[test]
    fn sparklines_of_the_chosen_row_are_not_reversed() {
        let dir = tempfile::tempdir().unwrap();
        let client = plasmite_core::Client::new(dir.path());
        client.create("docs", 64 << 10).unwrap();
        let mut watch = Watch::new(client);
        (0..20).for_each(|_| watch.look());
        let pools: Vec<_> = watch.pools().collect();
        let theme = Theme { colour: false, signs: columns::UTF8 };
        let area = Rect::new(0, 0, 80, 2);
        let mut buffer = Buffer::empty(area);
        let order = Order::by(SortKey::Name);
        draw(&mut buffer, area, theme, &pools, &mut Place::default(), order);
        let reversed = |x| buffer[(x, 1)].modifier.contains(Modifier::REVERSED);
        let is_bar =
            |x| columns::UTF8.bars.iter().any(|bar| buffer[(x, 1)].symbol().contains(*bar));
        assert!(reversed(0) && reversed(79) && (0..80).any(is_bar));
        assert!((0..80).all(|x| !(is_bar(x) && reversed(x))));
    }

    #[test]
    fn long_names_get_room_before_graphs_do() {
        let name = |width, longest| columns_for(width, longest)[0].1;
        assert_eq!(name(80, 10), 10);
        assert_eq!(name(80, 14), 14);
        assert_eq!(name(120, 30), 30);
        assert!(name(80, 100) >= 15);
    }
}
