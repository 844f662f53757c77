//! What the view waits for, from threads that sleep until it happens.

use std::os::raw::c_int;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use plasmite_core::{Error, ErrorKind};
use ratatui::crossterm::event;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use super::screen;
use crate::signals;

/// Something happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key, or another size of the terminal.
    Input(event::Event),
    Signal(c_int),
    /// The terminal is closed.
    Closed,
    /// The pool that is followed has something to say.
    Heard,
    /// The terminal can't be read.
    Failed(String),
}

/// Where what happens can be told, and where it arrives. Signals are caught from now on.
pub(crate) fn listen() -> Result<(Sender<Event>, Receiver<Event>), Error> {
    let (sender, inbox) = mpsc::channel();
    let mut caught = vec![SIGINT, SIGTERM, SIGTSTP, SIGCONT];
    if !signals::ignored(SIGHUP) {
        caught.push(SIGHUP);
    }
    let failed = |e| Error::new(ErrorKind::Io, format!("cannot prepare for signals: {e}"));
    let mut signals = Signals::new(caught).map_err(failed)?;
    let to = sender.clone();
    spawn("signals", move || {
        for signal in &mut signals {
            if to.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    let to = sender.clone();
    spawn("terminal", move || {
        if screen::wait_until_closed() {
            // Nobody listens any more when that fails.
            let _ = to.send(Event::Closed);
        }
    })?;
    Ok((sender, inbox))
}

/// Reads the keys. Not before the terminal is raw.
pub(crate) fn read_keys(to: Sender<Event>) -> Result<(), Error> {
    spawn("keys", move || {
        loop {
            let told = match event::read() {
                Ok(event) => to.send(Event::Input(event)),
                Err(error) => {
                    let _ = to.send(Event::Failed(error.to_string()));
                    return;
                }
            };
            if told.is_err() {
                return;
            }
        }
    })
}

pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop).map_err(|e| Error::new(ErrorKind::Io, format!("cannot start a thread: {e}")))
}
