//! One pool: its facts, its rate, its messages.

use plasmite_core::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use tui_input::Input;

use super::columns;
use super::following::{Following, Shown};
use super::pools_view::{STRONG, Theme, put};
use super::prompt;
use super::sort::SortKey;
use super::watch::Watched;
use crate::output::{bytes_text, messages, printable};

/// What is shown of a pool.
#[derive(Debug)]
pub(crate) struct PoolView {
    pub(crate) name: String,
    /// What was typed to choose messages.
    pub(crate) filter: String,
    /// The line that is being typed.
    pub(crate) editing: Option<Input>,
    /// None when it could not be started.
    pub(crate) following: Result<Following, String>,
    /// How many of the pool's readers are our own, as of the last look.
    pub(crate) own_readers: u32,
    /// How many messages below the last line that is shown; 0: the newest is shown.
    back: usize,
    /// The first column of the data that is shown.
    column: usize,
    /// Rows of messages in the last frame.
    rows: usize,
}

impl PoolView {
    pub(crate) fn new(name: String, following: Result<Following, String>) -> Self {
        let filter = String::new();
        Self { name, filter, editing: None, following, own_readers: 0, back: 0, column: 0, rows: 0 }
    }

    /// Follows anew, through another filter.
    pub(crate) fn filtered(&mut self, filter: String, following: Result<Following, String>) {
        (self.filter, self.following) = (filter, following);
        (self.back, self.column) = (0, 0);
    }

    /// Takes what has arrived; what is looked at stays where it is.
    pub(crate) fn hear(&mut self) {
        let Ok(following) = &mut self.following else { return };
        let more = following.hear();
        if self.back > 0 {
            self.back += more;
        }
        self.scroll(0);
    }

    /// Scrolls towards older messages, or newer ones.
    pub(crate) fn scroll(&mut self, by: isize) {
        let count = self.following.as_ref().map_or(0, |f| f.messages.len());
        self.back = self.back.saturating_add_signed(by).min(count.saturating_sub(self.rows));
    }

    pub(crate) fn page(&self) -> isize {
        isize::try_from(self.rows).unwrap_or(1).max(1)
    }

    /// Shows what is further right, or left.
    pub(crate) fn pan(&mut self, by: isize) {
        let widest = self.following.as_ref().map_or(0, |f| {
            f.messages.iter().map(|message| message.data.chars().count()).max().unwrap_or(0)
        });
        self.column = self.column.saturating_add_signed(by).min(widest.saturating_sub(1));
    }

    /// Draws everything, and says where the cursor is if a line is typed.
    pub(crate) fn draw(
        &mut self,
        buffer: &mut Buffer,
        area: Rect,
        theme: Theme,
        pool: Option<&Watched>,
    ) -> Option<(u16, u16)> {
        if area.is_empty() {
            return None;
        }
        let mut rest = Lines { area };
        let input = rest.last();
        facts(buffer, &mut rest, theme, pool, self.own_readers);
        if area.height >= 12 {
            graph(buffer, &mut rest, theme, pool, &self.name);
        }
        self.messages(buffer, rest.area, theme);
        input.and_then(|line| self.input(buffer, line, theme))
    }

    fn messages(&mut self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        self.rows = area.height.into();
        self.scroll(0);
        let following = match &self.following {
            Ok(following) => following,
            Err(why) => {
                put(
                    buffer,
                    area.x,
                    area.y,
                    area.right(),
                    &printable(why),
                    theme.in_colour(Color::Red),
                );
                return;
            }
        };
        let last = following.messages.len() - self.back;
        let first = last.saturating_sub(self.rows);
        for (message, y) in following.messages.range(first..last).zip(area.y..) {
            self.message(buffer, Rect { y, height: 1, ..area }, theme, message);
        }
    }

    fn message(&self, buffer: &mut Buffer, line: Rect, theme: Theme, message: &Shown) {
        let end = line.right();
        let cyan = theme.in_colour(Color::Cyan);
        let mut x = put(buffer, line.x, line.y, end, &format!("{} ", message.seq), cyan);
        if line.width >= 60 {
            x = put(buffer, x, line.y, end, &format!("{} ", message.time), theme.faint());
        }
        x = put(buffer, x, line.y, end, &message.tags, cyan);
        let data: String = message.data.chars().skip(self.column).take(line.width.into()).collect();
        put(buffer, x, line.y, end, &data, Default::default());
    }

    /// The line below: what is typed, what went wrong, or how things stand.
    fn input(&self, buffer: &mut Buffer, line: Rect, theme: Theme) -> Option<(u16, u16)> {
        const PROMPT: &str = "filter: ";
        let end = line.right();
        if let Some(input) = &self.editing {
            return Some(prompt::draw(buffer, line, PROMPT, input));
        }
        let mut x = line.x;
        if !self.filter.is_empty() {
            x = put(buffer, x, line.y, end, PROMPT, STRONG);
            x = put(
                buffer,
                x,
                line.y,
                end,
                &format!("{}  ", printable(&self.filter)),
                theme.in_colour(Color::Yellow),
            );
        }
        let Ok(following) = &self.following else { return None };
        if let Some(why) = &following.ended {
            put(buffer, x, line.y, end, &printable(why), theme.in_colour(Color::Red));
            return None;
        }
        x = put(buffer, x, line.y, end, &format!("{}  ", messages(following.count)), theme.faint());
        if self.back > 0 {
            x = put(buffer, x, line.y, end, &format!("{} newer below  ", self.back), STRONG);
        }
        if let Some(notice) = &following.notice {
            put(buffer, x, line.y, end, &printable(notice), theme.in_colour(Color::Yellow));
        }
        None
    }
}

/// What of the screen is not used yet.
struct Lines {
    area: Rect,
}

impl Lines {
    fn first(&mut self) -> Option<Rect> {
        let line = self.area.rows().next()?;
        self.area.y += 1;
        self.area.height -= 1;
        Some(line)
    }

    fn last(&mut self) -> Option<Rect> {
        let line = self.area.rows().next_back()?;
        self.area.height -= 1;
        Some(line)
    }
}

fn facts(
    buffer: &mut Buffer,
    rest: &mut Lines,
    theme: Theme,
    pool: Option<&Watched>,
    own_readers: u32,
) {
    let Some(line) = rest.first() else { return };
    let Some(pool) = pool else {
        let red = theme.in_colour(Color::Red);
        put(buffer, line.x, line.y, line.right(), "there is no such pool any more", red);
        return;
    };
    let facts = match &pool.facts {
        Ok(facts) => facts,
        Err(error) => {
            let text = format!("{}: {}", error.kind().name(), printable(error.message()));
            put(buffer, line.x, line.y, line.right(), &text, theme.in_colour(Color::Red));
            return;
        }
    };
    let now = Timestamp::now();
    let or_unknown =
        |known: Option<String>| known.unwrap_or_else(|| theme.signs.unknown.to_string());
    let figure = |key| or_unknown(columns::figure(pool, facts, key, now));
    let others = facts.readers().map(|readers| readers.saturating_sub(own_readers).to_string());
    let info = &facts.info;
    let text = format!(
        "{} msg/s  {}B/s  {} of {}  {} held, oldest {}  readers {}  writers {}",
        figure(SortKey::Messages),
        figure(SortKey::Bytes),
        figure(SortKey::Fill),
        bytes_text(info.size_bytes),
        columns::count_text(info.bounds.count() as f64),
        figure(SortKey::Oldest),
        or_unknown(others),
        figure(SortKey::Writers),
    );
    put(buffer, line.x, line.y, line.right(), &text, Default::default());
}

/// The rate of the last looks: two lines of bars, and a rule.
fn graph(buffer: &mut Buffer, rest: &mut Lines, theme: Theme, pool: Option<&Watched>, name: &str) {
    let (Some(upper), Some(lower), Some(rule)) = (rest.first(), rest.first(), rest.first()) else {
        return;
    };
    let rates = pool.into_iter().flat_map(|pool| pool.history.iter().map(|rates| rates.messages));
    let rates: Vec<f64> = rates.collect();
    let shown = &rates[rates.len().saturating_sub(lower.width.into())..];
    let most = shown.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let bars = theme.signs.bars;
    let steps = bars.len() as f64;
    let green = theme.in_colour(Color::Green);
    let start = lower.right() - shown.len() as u16;
    for (rate, x) in shown.iter().zip(start..) {
        // Eighths of a line, of which there are two.
        let height = (rate / most * 2.0 * steps).ceil() as usize;
        let bar = |part: usize| part.checked_sub(1).map_or(' ', |i| bars[i.min(bars.len() - 1)]);
        let (low, high) = (height.max(1), height.saturating_sub(bars.len()));
        put(
            buffer,
            x,
            lower.y,
            lower.right(),
            bar(low.min(bars.len())).encode_utf8(&mut [0; 4]),
            green,
        );
        put(buffer, x, upper.y, upper.right(), bar(high).encode_utf8(&mut [0; 4]), green);
    }
    let line: String = std::iter::repeat_n(theme.signs.rule, rule.width.into()).collect();
    put(buffer, rule.x, rule.y, rule.right(), &line, theme.faint());
    let title = format!(" {} ", printable(name));
    put(buffer, rule.x + 2, rule.y, rule.right(), &title, STRONG);
}

#[cfg(test)]
mod tests {
    use plasmite_core::Client;

    use super::*;
    use crate::top::columns::UTF8;
    use crate::top::pools_view::{self, Place};
    use crate::top::sort::Order;
    use crate::top::watch::Watch;

    #[test]
    fn no_size_of_the_terminal_is_too_small() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path());
        client.create("docs", 64 << 10).unwrap();
        client.create("längerer Name, 名前も", 64 << 10).unwrap();
        std::fs::write(dir.path().join("x.plasmite"), "damaged").unwrap();
        let mut watch = Watch::new(client);
        watch.look();
        watch.look();
        let pools: Vec<_> = watch.pools().collect();
        let theme = Theme { colour: true, signs: UTF8 };
        let mut view = PoolView::new("docs".into(), Err("it did not start".into()));
        let mut place = Place::default();
        for (width, height) in (0..90).flat_map(|width| (0..14).map(move |height| (width, height)))
        {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            place.step(&pools, 1);
            pools_view::draw(
                &mut buffer,
                area,
                theme,
                &pools,
                &mut place,
                Order::by(SortKey::Name),
            );
            for pool in [None, pools.first().copied(), pools.last().copied()] {
                view.editing = (height % 2 == 0).then(|| Input::from("日本語 and more".to_owned()));
                let cursor = view.draw(&mut buffer, area, theme, pool);
                assert!(cursor.is_none_or(|at| area.contains(at.into())), "{cursor:?} in {area}");
            }
        }
    }
}
