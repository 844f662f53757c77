//! `plasmite duplex`: one terminal that reads and writes a pool.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use memchr::memchr;
use plasmite_core::json::Document;
use plasmite_core::{
    Bell, Client, Durability, Error, ErrorKind, Message, Seq, Tail, TailOptions, wait_any,
};
use serde::{Deserialize, Serialize};

use crate::args::{DuplexArgs, OnError};
use crate::errors::{self, Failure, Outcome, SUCCESS};
use crate::follow;
use crate::input::{Input, Records};
use crate::output::{self, BOLD, DIM, Printer, paint, printable};
use crate::pools::{self, Appender};
use crate::render::{Form, time_text};
use crate::wanted::Wanted;

/// A longer wait than this is never slept through.
const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn run(client: &Client, args: &DuplexArgs) -> Outcome {
    let mut wanted = Wanted::new(&args.tags, &args.expressions)?;
    let appender = pools::open_for_writing(client, &args.pool, &args.creation)?;
    let pool = appender.pool();
    let bounds = pool.bounds()?;
    let since = follow::last(&pool, bounds, Seq::FIRST, args.tail, &mut wanted)?;
    let tail = pool.tail(TailOptions { since: Some(since), ..Default::default() })?;
    let input = Input::open(None)?;
    let is_terminal = input.is_terminal();
    if is_terminal {
        output::talk(match args.me {
            Some(_) => "Type lines; Ctrl-D ends.",
            None => "Type JSON objects, such as {\"hello\":\"world\"}; Ctrl-D ends.",
        });
    }
    output::end_when_stdout_closes();
    let shared = Shared::default();
    let writer = Writer { pool: &appender, args, is_terminal, shared: &shared };
    let mut reader = Reader {
        tail,
        wanted,
        form: Form::choose(false, args.jsonl),
        shared: &shared,
        echo: args.echo,
        printer: Printer::default(),
    };
    let written = thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let written = writer.run(input);
            writer.shared.ended.store(true, Ordering::SeqCst);
            writer.shared.bell.ring();
            written
        });
        if let Err(failure) = reader.run() {
            // The other thread may be waiting for a line that never comes.
            std::process::exit(i32::from(errors::end(Err(failure))));
        }
        writing.join()
    });
    written.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(SUCCESS)
}

/// What the two threads share.
#[derive(Default)]
struct Shared {
    /// Messages of our own that were not met yet. Locked while one is appended: who meets it finds it here.
    own: Mutex<BTreeSet<Seq>>,
    /// Nothing more will be written.
    ended: AtomicBool,
    bell: Bell,
}

impl Shared {
    fn own(&self) -> MutexGuard<'_, BTreeSet<Seq>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of a talk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    from: String,
    msg: String,
}

struct Writer<'a> {
    pool: &'a Appender,
    args: &'a DuplexArgs,
    is_terminal: bool,
    shared: &'a Shared,
}

impl Writer<'_> {
    fn run(&self, input: Input) -> Result<(), Error> {
        match &self.args.me {
            Some(me) => self.lines(input, me),
            None => self.documents(input),
        }
    }

    fn append(&self, document: &Document<'_>) -> Result<(), Error> {
        let mut own = self.shared.own();
        let tags = &self.args.tags;
        let receipt =
            self.pool.run(|pool| pool.append_document(document, tags, Durability::Fast))?;
        own.insert(receipt.seq);
        Ok(())
    }

    /// A person who mistypes goes on typing; a program's mistake ends it.
    fn on_error(&self) -> OnError {
        if self.is_terminal { OnError::Skip } else { OnError::Stop }
    }

    fn documents(&self, mut input: Input) -> Result<(), Error> {
        let room = pools::room_for_data(&self.pool.pool(), &self.args.tags);
        let mut records = Records::without_choice(room, self.on_error());
        loop {
            match input.read()? {
                [] => return records.finish(),
                block => records.push(block, |document| self.append(document))?,
            }
        }
    }

    fn lines(&self, mut input: Input, me: &str) -> Result<(), Error> {
        let mut pending = Vec::new();
        loop {
            let block = input.read()?;
            let ended = block.is_empty();
            pending.extend_from_slice(block);
            while let Some(end) = memchr(b'\n', &pending) {
                let line: Vec<u8> = pending.drain(..=end).collect();
                self.say(me, &line)?;
            }
            if ended {
                return self.say(me, &pending);
            }
        }
    }

    fn say(&self, me: &str, line: &[u8]) -> Result<(), Error> {
        let msg = String::from_utf8_lossy(line);
        let msg = msg.trim_end_matches(['\n', '\r']);
        if msg.is_empty() {
            return Ok(());
        }
        let said = Said { from: me.to_owned(), msg: msg.to_owned() };
        // Strings always have a JSON form.
        let text = serde_json::to_string(&said).unwrap_or_default();
        match Document::parse(text.as_bytes()).and_then(|document| self.append(&document)) {
            Err(error) if error.kind() == ErrorKind::Usage && self.on_error() == OnError::Skip => {
                errors::report(&error);
                Ok(())
            }
            appended => appended,
        }
    }
}

struct Reader<'a> {
    tail: Tail,
    wanted: Wanted,
    form: Form,
    shared: &'a Shared,
    echo: bool,
    printer: Printer,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let mut message = Message::default();
        let mut dropped = 0;
        loop {
            let heard = self.shared.bell.rings();
            // Looked at first: what was written before the end is delivered.
            let ended = self.shared.ended.load(Ordering::SeqCst);
            while self.tail.try_next_into(&mut message)? {
                self.show(&message)?;
            }
            self.printer.print()?;
            let lost = self.tail.dropped() - dropped;
            if lost > 0 {
                dropped += lost;
                follow::tell_dropped(lost, dropped);
            }
            if ended {
                return Ok(());
            }
            let seen = self.tail.position().prev();
            wait_any(&[(self.tail.pool(), seen)], &self.shared.bell, heard, LONG);
            if let Err(gone) = self.tail.pool().check_alive() {
                // A pool that was resized goes on in another file, which the tail finds when it looks.
                if self.tail.try_next_into(&mut message)? {
                    self.show(&message)?;
                }
                self.tail.pool().check_alive().map_err(|_| gone)?;
            }
        }
    }

    fn show(&mut self, message: &Message) -> Result<(), Failure> {
        let is_own = self.shared.own().remove(&message.seq());
        if (is_own && !self.echo) || !self.wanted.accepts(message) {
            return Ok(());
        }
        match (self.form, serde_json::from_str::<Said>(message.data())) {
            (Form::Text { colour }, Ok(said)) => {
                let time = time_text(message.time());
                // The time of day will do for people who talk.
                let time = time.get(11..19).unwrap_or(&time);
                let line = format!(
                    "{} {} {}\n",
                    paint(time, DIM, colour),
                    paint(&format!("{}:", printable(&said.from)), BOLD, colour),
                    printable(&said.msg)
                );
                self.printer.out.push_str(&line);
            }
            (form, _) => form.write_line(message, &mut self.printer.out),
        }
        self.printer.print_blocks()
    }
}
