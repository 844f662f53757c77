//! The view on a terminal: what is shown, and what each key does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use plasmite_core::{Client, Error, ErrorKind};
use ratatui::Frame;
use ratatui::crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::Color;
use signal_hook::consts::{SIGCONT, SIGTSTP};
use tui_input::backend::crossterm::EventHandler as _;

use super::columns;
use super::events::{self, Event};
use super::filter::Filter;
use super::following::Following;
use super::pool_view::PoolView;
use super::pools_view::{self, Place, STRONG, Theme, put};
use super::prompt;
use super::screen::{self, Screen};
use super::sort::{Order, SortKey};
use super::watch::{Watch, Watched};
use crate::args::TopArgs;
use crate::errors::{Failure, INTERRUPTED, Outcome, SUCCESS};
use crate::output::{self, printable};

/// How long after a frame messages that arrive are waited for to be shown together.
const GATHER: Duration = Duration::from_millis(50);
/// The exit code after a signal is this plus its number.
const SIGNALLED: u8 = 128;
/// The exit code when the terminal is closed: that of SIGHUP, which says the same.
const HUNG_UP: u8 = SIGNALLED + 1;

pub(crate) fn run(client: Client, args: &TopArgs) -> Outcome {
    let mut watch = Watch::new(client);
    watch.look();
    if let Some(error) = watch.trouble {
        return Err(error.into());
    }
    // Before the terminal is taken: no signal finds it so without being caught.
    let (sender, inbox) = events::listen()?;
    let mut screen = Screen::take()?;
    events::read_keys(sender.clone())?;
    let mut view = View {
        watch,
        order: Order { key: args.sort, reversed: args.reverse },
        names: String::new(),
        finding: None,
        place: Place::default(),
        pool: None,
        held: false,
        theme: Theme {
            colour: output::stdout_colour(),
            signs: columns::signs_of(|name| std::env::var(name).ok()),
        },
        sender,
    };
    view.run(&mut screen, &inbox, args.interval)
}

struct View {
    watch: Watch,
    order: Order,
    /// Only pools whose names have this in them are shown.
    names: String,
    /// That line while it is typed.
    finding: Option<tui_input::Input>,
    place: Place,
    /// The pool that was entered.
    pool: Option<PoolView>,
    /// Nothing is looked at until it goes on.
    held: bool,
    theme: Theme,
    sender: Sender<Event>,
}

/// What is to be done after an event.
enum Then {
    /// Draw, some time soon.
    Draw,
    /// Messages have arrived.
    Hear,
    /// Stop as Ctrl-Z does, until it goes on.
    Suspend,
    /// Draw everything anew.
    Redraw,
    End(u8),
}

impl View {
    fn run(&mut self, screen: &mut Screen, inbox: &Receiver<Event>, interval: Duration) -> Outcome {
        let mut next_look = Instant::now() + interval;
        let mut hear_at: Option<Instant> = None;
        loop {
            screen.draw(|frame| self.draw(frame))?;
            let drawn = Instant::now();
            let mut changed = false;
            while !changed {
                let until = hear_at.map_or(next_look, |hear| hear.min(next_look));
                let mut event = inbox.recv_timeout(until.saturating_duration_since(Instant::now()));
                // All that is there, then one frame.
                while let Ok(happened) = event {
                    match self.handle(happened)? {
                        Then::Draw => changed = true,
                        Then::Hear => hear_at = hear_at.or(Some(drawn + GATHER)),
                        Then::Suspend => {
                            suspend(screen)?;
                            changed = true;
                        }
                        Then::Redraw => {
                            screen.redraw()?;
                            changed = true;
                        }
                        Then::End(code) => return Ok(code),
                    }
                    event = inbox.try_recv().map_err(|_| RecvTimeoutError::Timeout);
                }
                let now = Instant::now();
                if hear_at.is_some_and(|hear| now >= hear) {
                    hear_at = None;
                    if let Some(pool) = self.pool.as_mut().filter(|_| !self.held) {
                        pool.hear();
                        changed = true;
                    }
                }
                if now >= next_look {
                    if !self.held {
                        self.look();
                        changed = true;
                    }
                    // From the end of the look: one that takes long does not take all the time.
                    next_look = Instant::now() + interval;
                }
            }
        }
    }

    fn look(&mut self) {
        if let Some(pool) = &mut self.pool {
            let ours = pool.following.as_ref().is_ok_and(Following::waits_for_messages);
            pool.own_readers = ours.into();
        }
        self.watch.look();
    }

    fn handle(&mut self, event: Event) -> Result<Then, Failure> {
        match event {
            Event::Input(Input::Key(key)) if key.kind != KeyEventKind::Release => Ok(self.key(key)),
            Event::Input(_) => Ok(Then::Draw),
            Event::Heard => Ok(Then::Hear),
            Event::Closed => Ok(Then::End(HUNG_UP)),
            Event::Signal(SIGTSTP) => Ok(Then::Suspend),
            Event::Signal(SIGCONT) => Ok(Then::Redraw),
            Event::Signal(signal) => {
                Ok(Then::End(SIGNALLED + u8::try_from(signal).unwrap_or_default()))
            }
            Event::Failed(why) => {
                Err(Error::new(ErrorKind::Io, format!("cannot read the terminal: {why}")).into())
            }
        }
    }

    fn key(&mut self, key: KeyEvent) -> Then {
        #[cfg(debug_assertions)]
        panic_as_told(key);
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Then::End(INTERRUPTED),
                KeyCode::Char('z') => return Then::Suspend,
                KeyCode::Char('l') => return Then::Redraw,
                _ => {}
            }
        }
        match &mut self.pool {
            Some(pool) if pool.editing.is_some() => self.key_of_input(key),
            Some(_) => self.key_of_pool(key),
            None if self.finding.is_some() => self.key_of_names(key),
            None => self.key_of_pools(key),
        }
    }

    fn key_of_pools(&mut self, key: KeyEvent) -> Then {
        let pools = sorted(&self.watch, self.order, &self.names);
        let page = self.place.page();
        match key.code {
            KeyCode::Esc if !self.names.is_empty() => self.names.clear(),
            KeyCode::Char('q') | KeyCode::Esc => return Then::End(SUCCESS),
            KeyCode::Char('/') => self.finding = Some(self.names.clone().into()),
            KeyCode::Up | KeyCode::Char('k') => self.place.step(&pools, -1),
            KeyCode::Down | KeyCode::Char('j') => self.place.step(&pools, 1),
            KeyCode::PageUp => self.place.step(&pools, -page),
            KeyCode::PageDown => self.place.step(&pools, page),
            KeyCode::Home => self.place.step(&pools, isize::MIN),
            KeyCode::End => self.place.step(&pools, isize::MAX),
            KeyCode::Enter => {
                if let Some(name) = self.place.pool(&pools).map(|pool| pool.name.clone()) {
                    let following = self.follow(&name, "");
                    self.pool = Some(PoolView::new(name, following));
                }
            }
            KeyCode::Char(' ') => self.held = !self.held,
            KeyCode::Char(letter) => {
                if let Some(key) = SortKey::of_letter(letter) {
                    self.order = self.order.chosen(key);
                }
            }
            _ => {}
        }
        Then::Draw
    }

    /// What is typed chooses at once.
    fn key_of_names(&mut self, key: KeyEvent) -> Then {
        let Some(input) = &mut self.finding else { return Then::Draw };
        match key.code {
            KeyCode::Enter => self.finding = None,
            KeyCode::Esc => {
                self.finding = None;
                self.names.clear();
            }
            KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => {
                self.finding = None;
                return self.key_of_pools(key);
            }
            _ => {
                input.handle_event(&Input::Key(key));
                self.names = input.value().to_owned();
            }
        }
        Then::Draw
    }

    fn key_of_pool(&mut self, key: KeyEvent) -> Then {
        let Some(pool) = &mut self.pool else { return Then::Draw };
        let page = pool.page();
        match key.code {
            KeyCode::Char('q') => return Then::End(SUCCESS),
            KeyCode::Esc | KeyCode::Backspace => {
                self.pool = None;
                self.held = false;
            }
            KeyCode::Char('/') => pool.editing = Some(pool.filter.clone().into()),
            KeyCode::Up | KeyCode::Char('k') => pool.scroll(1),
            KeyCode::Down | KeyCode::Char('j') => pool.scroll(-1),
            KeyCode::PageUp => pool.scroll(page),
            KeyCode::PageDown => pool.scroll(-page),
            KeyCode::Home => pool.scroll(isize::MAX),
            KeyCode::End => pool.scroll(isize::MIN),
            KeyCode::Left => pool.pan(-8),
            KeyCode::Right => pool.pan(8),
            KeyCode::Char(' ') => {
                self.held = !self.held;
                // What came meanwhile.
                return Then::Hear;
            }
            _ => {}
        }
        Then::Draw
    }

    fn key_of_input(&mut self, key: KeyEvent) -> Then {
        let Some(pool) = &mut self.pool else { return Then::Draw };
        match key.code {
            KeyCode::Esc => pool.editing = None,
            KeyCode::Enter => {
                let typed = pool.editing.take().map(|input| input.value().trim().to_owned());
                let (name, filter) = (pool.name.clone(), typed.unwrap_or_default());
                let following = self.follow(&name, &filter);
                if let Some(pool) = &mut self.pool {
                    pool.filtered(filter, following);
                }
            }
            _ => {
                if let Some(input) = &mut pool.editing {
                    input.handle_event(&Input::Key(key));
                }
            }
        }
        Then::Draw
    }

    fn follow(&self, name: &str, filter: &str) -> Result<Following, String> {
        Following::start(self.watch.dir(), name, &Filter::parse(filter), &self.sender)
            .map_err(|error| error.message().to_owned())
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if area.is_empty() {
            return;
        }
        let theme = self.theme;
        let [head, body, foot] = parts(area);
        let shown = sorted(&self.watch, self.order, &self.names).len();
        let buffer = frame.buffer_mut();
        let mut x = put(
            buffer,
            head.x,
            head.y,
            head.right(),
            "plasmite top  ",
            STRONG.patch(theme.in_colour(Color::Cyan)),
        );
        if self.held {
            x = put(
                buffer,
                x,
                head.y,
                head.right(),
                "held  ",
                STRONG.patch(theme.in_colour(Color::Yellow)),
            );
        }
        match &self.watch.trouble {
            Some(error) => {
                put(
                    buffer,
                    x,
                    head.y,
                    head.right(),
                    &printable(error.message()),
                    theme.in_colour(Color::Red),
                );
            }
            None => {
                put(
                    buffer,
                    x,
                    head.y,
                    head.right(),
                    &pools_view::summary(&self.watch, shown),
                    Default::default(),
                );
            }
        }
        let mut cursor = None;
        match &mut self.pool {
            Some(pool) => {
                let watched = self.watch.get(&pool.name);
                cursor = pool.draw(buffer, body, theme, watched);
            }
            None => {
                let pools = sorted(&self.watch, self.order, &self.names);
                if self.watch.pools().len() == 0 && self.watch.trouble.is_none() {
                    let hint = "no pools here yet: plasmite pool create docs";
                    put(buffer, body.x, body.y, body.right(), hint, theme.faint());
                } else {
                    pools_view::draw(buffer, body, theme, &pools, &mut self.place, self.order);
                }
            }
        }
        match (&self.pool, &self.finding) {
            (None, Some(input)) if !foot.is_empty() => {
                cursor = Some(prompt::draw(buffer, foot, "names with: ", input));
            }
            _ => {
                put(buffer, foot.x, foot.y, foot.right(), &self.help(), theme.faint());
            }
        }
        if let Some(at) = cursor {
            frame.set_cursor_position(at);
        }
    }

    fn help(&self) -> String {
        let arrows = self.theme.signs.arrows;
        match &self.pool {
            Some(pool) if pool.editing.is_some() => {
                "Enter apply  Esc leave as it was   #tag #tag, then jq: .data.n > 3".to_owned()
            }
            Some(_) => format!("Esc back  / filter  {arrows} PgUp PgDn scroll  Space hold  q quit"),
            None if self.names.is_empty() => format!(
                "q quit  {arrows} Enter follow  / find  Space hold  sort: nmbforw (again: back)"
            ),
            None => format!("names with {}  Esc all pools  / change", printable(&self.names)),
        }
    }
}

/// The line above, what is between, the line below. Of a very low terminal the middle goes first.
fn parts(area: Rect) -> [Rect; 3] {
    let head = Rect { height: 1, ..area };
    let foot = Rect { y: area.bottom() - 1, height: u16::from(area.height > 1), ..area };
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    [head, body, foot]
}

/// The pools whose names have `part` in them, whatever the case of letters.
fn sorted<'a>(watch: &'a Watch, order: Order, part: &str) -> Vec<&'a Watched> {
    let part = part.to_lowercase();
    let mut pools: Vec<_> =
        watch.pools().filter(|pool| pool.name.to_lowercase().contains(&part)).collect();
    pools.sort_by(|a, b| order.compare(a, b));
    pools
}

/// A debug build panics at F12 when a test wants to see what that leaves, in this thread or in another.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "that is what it is for")]
fn panic_as_told(key: KeyEvent) {
    if key.code != KeyCode::F(12) {
        return;
    }
    match std::env::var("PLASMITE_PANIC_AT_F12").as_deref() {
        Ok("view") => panic!("as told"),
        // Without another thread there is no panic, and the test fails.
        Ok("thread") => drop(events::spawn("panicking", || panic!("as told"))),
        _ => {}
    }
}

/// Stops the process, as Ctrl-Z does where the terminal is not raw. Returns when it is told to go on.
fn suspend(screen: &mut Screen) -> Result<(), Failure> {
    screen::give_back();
    signal_hook::low_level::emulate_default_handler(SIGTSTP)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot stop as Ctrl-Z does: {e}")))?;
    screen.resume()
}
