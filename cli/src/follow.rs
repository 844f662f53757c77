//! `plasmite follow`.

use std::time::{Duration, Instant};

use plasmite_core::{
    Bounds, Client, Error, ErrorKind, GapPolicy, Message, Pool, Seq, Tail, TailOptions, Timestamp,
};

use crate::args::FollowArgs;
use crate::cursor::{self, Begin, Cursor};
use crate::errors::{Failure, Outcome, SUCCESS, TIMED_OUT, reworded};
use crate::output::{self, Printer};
use crate::pace::Pace;
use crate::pools;
use crate::render::Form;
use crate::wanted::Wanted;

pub(crate) fn run(client: &Client, args: &FollowArgs) -> Outcome {
    let mut wanted = Wanted::new(&args.tags, &args.expressions)?;
    let pool = pools::open_to_wait(client, &args.pool)?;
    let cursor = args.cursor_file.as_deref().map(|path| Cursor::open(path, &pool, &args.pool));
    let (mut cursor, begin) = match cursor.transpose()? {
        Some((cursor, begin)) => (Some(cursor), begin),
        None => (None, Begin::Anew),
    };
    let bounds = pool.bounds()?;
    let since = match begin {
        Begin::Anew => beginning(&pool, bounds, args, &mut wanted)?,
        Begin::At(next) => next,
        Begin::Recreated => recreated(bounds, args)?,
    };
    if let Some(cursor) = &mut cursor {
        // What arrives until the next run is for that run, also when this one delivers nothing.
        cursor.save(&pool, since, None)?;
    }
    let tail = pool.tail(TailOptions {
        since: Some(since),
        max: None,
        // Chosen here, so that a flood of other messages can't put off the timeout.
        tags: Vec::new(),
        gap: if args.error_on_gap { GapPolicy::Error } else { GapPolicy::Continue },
        spin: Duration::ZERO,
    })?;
    let mut follower = Follower::new(tail, wanted, cursor, args);
    let ended = follower.run();
    // What was read before a failure is delivered before the failure is told.
    follower.flush()?;
    follower.tell_dropped();
    ended.map_err(|failure| named(failure, &args.pool))
}

/// The first message of a pool that took the place of the cursor's: what the old one held is lost.
fn recreated(bounds: Bounds, args: &FollowArgs) -> Result<Seq, Error> {
    let text =
        format!("the pool {} was deleted and created again since the cursor was saved", args.pool);
    if args.error_on_gap {
        return Err(Error::new(ErrorKind::RetentionGap, text)
            .with_seq(bounds.oldest)
            .with_hint("remove the cursor file to begin anew"));
    }
    let text = format!("{text}: its messages are delivered from the first one");
    output::notice("Recreated", &text, &[("seq", bounds.oldest.get())]);
    Ok(bounds.oldest)
}

/// Deleting a pool under a reader gets words of its own.
fn named(failure: Failure, pool: &str) -> Failure {
    match failure {
        Failure::Error(error) if error.kind() == ErrorKind::NotFound => {
            let hint = format!("the pool {pool} was deleted while it was followed");
            reworded(&error, error.message().to_owned(), Some(hint)).into()
        }
        other => other,
    }
}

/// The first message to look at. Without `--tail`, `--since` and `--replay` it is the next to come.
fn beginning(
    pool: &Pool,
    bounds: Bounds,
    args: &FollowArgs,
    wanted: &mut Wanted,
) -> Result<Seq, Error> {
    let edge = bounds.newest.next();
    let since = args.since.map(|time| pool.seq_at(time)).transpose()?;
    match (args.tail, since) {
        (Some(count), since) => last(pool, bounds, since.unwrap_or(Seq::FIRST), count, wanted),
        (None, Some(since)) => Ok(since),
        (None, None) if args.replay.is_some() => Ok(bounds.oldest),
        (None, None) => Ok(edge),
    }
}

/// The first of the last `count` wanted messages, none of them before `floor`.
pub(crate) fn last(
    pool: &Pool,
    bounds: Bounds,
    floor: Seq,
    count: u64,
    wanted: &mut Wanted,
) -> Result<Seq, Error> {
    let edge = bounds.newest.next();
    let floor = floor.max(bounds.oldest);
    if wanted.is_everything() {
        return Ok(Seq::new(edge.get().saturating_sub(count)).max(floor).min(edge));
    }
    let mut message = Message::default();
    let (mut first, mut found) = (edge, 0);
    while found < count && first > floor {
        match pool.get_into(first.prev(), &mut message) {
            Ok(()) => {}
            // Overwritten since: nothing older is left either.
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
        first = first.prev();
        found += u64::from(wanted.accepts(&message));
    }
    Ok(first)
}

struct Follower {
    tail: Tail,
    wanted: Wanted,
    form: Form,
    pace: Option<Pace>,
    cursor: Option<Cursor>,
    /// The last message that was looked at, for the cursor.
    seen: Option<(Seq, Timestamp)>,
    one: bool,
    idle: Idle,
    /// Lines on their way to stdout. Never kept while waiting.
    printer: Printer,
    dropped: Dropped,
    watching_stdout: bool,
}

impl Follower {
    fn new(tail: Tail, wanted: Wanted, cursor: Option<Cursor>, args: &FollowArgs) -> Self {
        Self {
            tail,
            wanted,
            form: Form::choose(args.data_only, args.jsonl),
            pace: args.replay.map(Pace::new),
            cursor,
            seen: None,
            one: args.one,
            idle: Idle { timeout: args.timeout, edge: None, since: None },
            printer: Printer::default(),
            // With --error-on-gap the error tells it.
            dropped: Dropped { told: 0, told_at: None, silent: args.error_on_gap },
            watching_stdout: false,
        }
    }

    fn run(&mut self) -> Outcome {
        let mut message = Message::default();
        loop {
            while self.tail.try_next_into(&mut message)? {
                let offered = self.offer(&message)?;
                self.seen = Some(cursor::seen(&message));
                if let Some(code) = offered {
                    return Ok(code);
                }
                if self.printer.out.len() >= output::BLOCK_BYTES {
                    // With a cursor, what is in the pipe counts as delivered: no more of it than must be.
                    if self.cursor.is_none() {
                        self.printer.widen();
                    }
                    self.flush()?;
                }
            }
            self.flush()?;
            self.tell_dropped();
            self.end_when_stdout_closes();
            let left = self.idle.left();
            if left == Some(Duration::ZERO) {
                return Ok(TIMED_OUT);
            }
            if !self.tail.wait(left)? {
                return Ok(TIMED_OUT);
            }
        }
    }

    /// Delivers the message if it is wanted. Some exit code when nothing is to come after it.
    fn offer(&mut self, message: &Message) -> Result<Option<u8>, Failure> {
        if !self.wanted.accepts(message) {
            return Ok(self.idle.is_over_at(message.seq(), self.tail.pool())?.then_some(TIMED_OUT));
        }
        if let Some(mut pace) = self.pace.take() {
            pace.wait(message.time(), || {
                self.end_when_stdout_closes();
                self.flush()
            })?;
            self.pace = Some(pace);
        }
        self.idle.end();
        self.form.write_line(message, &mut self.printer.out);
        Ok(self.one.then_some(SUCCESS))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.dropped.is_due() {
            self.tell_dropped();
        }
        if let Err(failure) = self.printer.print() {
            // Nothing of this was delivered for certain.
            self.cursor = None;
            return Err(failure);
        }
        // After the delivery: who dies in between delivers again.
        if let (Some(cursor), Some(seen)) = (&mut self.cursor, self.seen) {
            cursor.save(self.tail.pool(), seen.0.next(), Some(seen))?;
        }
        Ok(())
    }

    fn tell_dropped(&mut self) {
        self.dropped.tell(self.tail.dropped());
    }

    fn end_when_stdout_closes(&mut self) {
        if !std::mem::replace(&mut self.watching_stdout, true) {
            output::end_when_stdout_closes();
        }
    }
}

/// How long nothing was delivered although everything that was there had been looked at.
struct Idle {
    timeout: Option<Duration>,
    /// The newest message when the first unwanted one was met: the time starts behind it.
    edge: Option<Seq>,
    since: Option<Instant>,
}

impl Idle {
    /// How long to wait for another message.
    fn left(&mut self) -> Option<Duration> {
        let timeout = self.timeout?;
        Some(timeout.saturating_sub(self.since.get_or_insert_with(Instant::now).elapsed()))
    }

    /// True when the time is over at this message, which is not wanted. Others may follow at once without end.
    fn is_over_at(&mut self, seq: Seq, pool: &Pool) -> Result<bool, Error> {
        if self.timeout.is_none() {
            return Ok(false);
        }
        let edge = match self.edge {
            Some(edge) => edge,
            None => *self.edge.insert(pool.bounds()?.newest),
        };
        Ok((self.since.is_some() || seq > edge) && self.left() == Some(Duration::ZERO))
    }

    fn end(&mut self) {
        self.edge = None;
        self.since = None;
    }
}

/// How many messages were overwritten before they could be read, as far as it was told.
struct Dropped {
    told: u64,
    told_at: Option<Instant>,
    silent: bool,
}

impl Dropped {
    /// A reader that is overtaken all the time says so once a second, not with every block.
    fn is_due(&self) -> bool {
        self.told_at.is_none_or(|time| time.elapsed() >= Duration::from_secs(1))
    }

    fn tell(&mut self, dropped: u64) {
        let new = dropped.saturating_sub(self.told);
        if new == 0 || self.silent {
            return;
        }
        self.told = dropped;
        self.told_at = Some(Instant::now());
        tell_dropped(new, dropped);
    }
}

/// Tells that `new` messages more, and `total` in all, were overwritten before they could be read.
pub(crate) fn tell_dropped(new: u64, total: u64) {
    let text = output::counted(
        new,
        "message was overwritten before it could be read",
        "messages were overwritten before they could be read",
    );
    output::notice("Dropped", &text, &[("dropped", new), ("dropped_total", total)]);
}
