//! The terminal while the view has it: raw, on its other page, the cursor hidden. Given back at every end.

use std::io::{self, BufWriter, Stdout, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use plasmite_core::{Error, ErrorKind};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::{cursor, execute, terminal};
use ratatui::{Frame, Terminal};
use rustix::event::{PollFd, PollFlags};

use crate::errors::{self, Failure};

/// True while the terminal is not as we found it.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Held while something is drawn.
static DRAWING: Mutex<()> = Mutex::new(());

/// A frame is written at once; this holds a large one.
const FRAME_BYTES: usize = 64 << 10;

/// The terminal, taken.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal. A panic in any thread gives it back before it is told, and ends the process.
    pub(crate) fn take() -> Result<Self, Failure> {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let tell = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                stop_drawing();
                give_back();
                tell(info);
                std::process::exit(errors::INTERNAL.into());
            }));
        });
        let out = BufWriter::with_capacity(FRAME_BYTES, io::stdout());
        let terminal = Terminal::new(CrosstermBackend::new(out)).map_err(|e| failed(&e))?;
        let mut screen = Self { terminal };
        screen.resume()?;
        Ok(screen)
    }

    /// Takes the terminal again after [`give_back`], and draws everything anew the next time.
    pub(crate) fn resume(&mut self) -> Result<(), Failure> {
        TAKEN.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode().map_err(|e| failed(&e))?;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)
            .map_err(|e| failed(&e))?;
        self.redraw()
    }

    /// Has everything drawn anew the next time, whatever others have left on the screen.
    pub(crate) fn redraw(&mut self) -> Result<(), Failure> {
        // Not Terminal::clear, which asks the terminal where the cursor is: the answer would come among the keys.
        let resized = self.terminal.size().and_then(|size| self.terminal.resize(size.into()));
        resized.map_err(|e| failed(&e))
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
        self.terminal.draw(draw).map(drop).map_err(|e| failed(&e))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Lets nobody draw any more, also not the rest of a frame that is being drawn; unless this thread draws it.
fn stop_drawing() {
    for _ in 0..100 {
        if let Ok(drawing) = DRAWING.try_lock() {
            std::mem::forget(drawing);
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Makes the terminal what it was before [`Screen::take`]. May be called at any time, from any thread.
pub(crate) fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // A terminal that is gone needs nothing.
    let _ = terminal::disable_raw_mode();
    let _ = execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show);
    let _ = io::stdout().flush();
}

/// True for a terminal that has no cursor to move.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Sleeps until the terminal is closed; true then, false when nobody can tell.
pub(crate) fn wait_until_closed() -> bool {
    let stdout = io::stdout();
    loop {
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        match rustix::event::poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            Err(_) => return false,
        }
    }
}

fn failed(error: &io::Error) -> Failure {
    Error::new(ErrorKind::Io, format!("cannot use the terminal: {error}"))
        .with_hint("plasmite top --json needs none")
        .into()
}
