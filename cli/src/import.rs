//! `plasmite import`: messages with their envelopes, as `export` wrote them, into a pool.

use std::borrow::Cow;
use std::cell::Cell;

use plasmite_core::json::Document;
use plasmite_core::{
    Client, Durability, Error, ErrorKind, Message, OpenOptions, Pool, Receipt, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::args::ImportArgs;
use crate::errors::{Outcome, SKIPPED, SUCCESS};
use crate::input::{Input, Records};
use crate::output::{self, printable};
use crate::pools::{self, Appender};

/// What an envelope may have beside the data: its tags with every character escaped, its time, its number.
const ENVELOPE_BYTES: u64 = 1 << 20;

thread_local! {
    /// The time that the message being imported had.
    static TIME: Cell<Timestamp> = const { Cell::new(Timestamp::from_nanos(0)) };
}

/// The clock of the pool: the message's own time, but none that is still to come.
fn time_of_message() -> Timestamp {
    TIME.get().min(Timestamp::now())
}

pub(crate) fn run(client: &Client, args: &ImportArgs) -> Outcome {
    // Before a pool is created for it.
    let mut input = Input::open(args.file.as_deref())?;
    drop(pools::open_for_writing(client, &args.pool, &args.creation)?);
    let path = client.path_of(&args.pool)?;
    let options = OpenOptions::new().clock(time_of_message);
    let pool = options.open(&path)?;
    let appender = Appender::new(pool.clone(), options);
    if input.is_terminal() {
        output::talk("Type lines as export writes them; Ctrl-D ends.");
    }
    let mut import = Import {
        pool: &appender,
        resume: if args.resume { Resume::of(&pool)? } else { Resume::done() },
        told: Told::default(),
    };
    let room = pool.max_message_bytes().saturating_add(ENVELOPE_BYTES);
    let mut records = Records::new(room, args.errors, input.progress());
    let imported = loop {
        match input.read() {
            Err(error) => break Err(error),
            Ok([]) => break records.finish().and_then(|()| import.resume.finish()),
            Ok(block) => {
                if let Err(error) = records.push(block, |document| import.take(document)) {
                    break Err(error);
                }
            }
        }
    };
    records.refusals.progress = None;
    if args.durability == crate::args::DurabilityArg::Flush && import.told.imported > 0 {
        appender.run(Pool::flush)?;
    }
    // What was imported is told, whatever came after it.
    import.told.tell(&args.pool)?;
    imported?;
    Ok(if records.refusals.skipped { SKIPPED } else { SUCCESS })
}

struct Import<'a> {
    pool: &'a Appender,
    resume: Resume,
    told: Told,
}

/// A message as it was exported.
#[derive(Deserialize)]
struct Envelope<'a> {
    seq: Option<u64>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    meta: Meta<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    tags: Vec<Cow<'a, str>>,
}

/// The place that the parser counts is one in the record, and the record's own is told.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text).to_owned()
}

impl Import<'_> {
    fn take(&mut self, document: &Document<'_>) -> Result<(), Error> {
        let envelope: Envelope<'_> = serde_json::from_str(document.as_str()).map_err(|e| {
            Error::usage(format!("this is no exported message: {}", without_place(&e)))
                .with_hint("import takes what export writes; plasmite feed takes any JSON objects")
        })?;
        let time = Timestamp::parse(&envelope.time)?;
        let data = Document::parse(envelope.data.get().as_bytes())?;
        if self.resume.is_there_already(&envelope, time, &data)? {
            self.told.already_there += 1;
            return Ok(());
        }
        TIME.set(time);
        let tags = &envelope.meta.tags;
        let receipt = self.pool.run(|pool| pool.append_document(&data, tags, Durability::Fast))?;
        self.told.note(receipt, envelope.seq, time);
        Ok(())
    }
}

/// What was imported, and what of it is not as it was.
#[derive(Default, Serialize)]
struct Told {
    imported: u64,
    already_there: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    times_changed: u64,
    seqs_changed: u64,
}

impl Told {
    fn note(&mut self, receipt: Receipt, seq: Option<u64>, time: Timestamp) {
        self.imported += 1;
        self.first_seq.get_or_insert(receipt.seq.get());
        self.last_seq = Some(receipt.seq.get());
        self.times_changed += u64::from(receipt.time != time);
        self.seqs_changed += u64::from(seq.is_some_and(|seq| seq != receipt.seq.get()));
    }

    fn tell(&self, pool: &str) -> Result<(), crate::errors::Failure> {
        let line = if output::stdout_is_terminal() {
            let mut line = output::messages(self.imported);
            line.push_str(&format!(" imported into {}", printable(pool)));
            if let (Some(first), Some(last)) = (self.first_seq, self.last_seq) {
                line.push_str(&format!(", as {first} to {last}"));
            }
            if self.already_there > 0 {
                line.push_str(&format!("; {} were there already", self.already_there));
            }
            line.push('\n');
            line
        } else {
            output::json_line(self)
        };
        output::write_stdout(line.as_bytes())?;
        if self.seqs_changed > 0 {
            let which = output::counted(
                self.seqs_changed,
                "message has another number than it had",
                "messages have other numbers than they had",
            );
            let text = format!("{which}: a pool numbers its messages from 1, without holes");
            output::notice("SeqsChanged", &text, &[("messages", self.seqs_changed)]);
        }
        if self.times_changed > 0 {
            let which = output::counted(
                self.times_changed,
                "message has another time than it had",
                "messages have other times than they had",
            );
            let text = format!("{which}: a pool's times don't go backwards, nor beyond now");
            output::notice("TimesChanged", &text, &[("messages", self.times_changed)]);
        }
        Ok(())
    }
}

/// `--resume`: records that an earlier run has imported are left out. Exported times never go backwards, so these are the
/// ones before the pool's newest message; of those with its very time, as many as the pool has.
struct Resume {
    /// The newest message; None when there is none, or all that is to be left out was.
    newest: Option<Message>,
    /// How many messages of its time are still to be met.
    same_time: u64,
    /// The record before this one was the newest message.
    met: bool,
}

impl Resume {
    fn done() -> Self {
        Self { newest: None, same_time: 0, met: false }
    }

    fn of(pool: &Pool) -> Result<Self, Error> {
        let bounds = pool.bounds()?;
        if bounds.is_empty() {
            return Ok(Self::done());
        }
        let newest = pool.get(bounds.newest)?;
        let same_time = bounds.newest.get() + 1 - pool.seq_at(newest.time())?.get();
        Ok(Self { newest: Some(newest), same_time, met: false })
    }

    fn is_there_already(
        &mut self,
        envelope: &Envelope<'_>,
        time: Timestamp,
        data: &Document<'_>,
    ) -> Result<bool, Error> {
        let Some(newest) = &self.newest else { return Ok(false) };
        let same_time = time == newest.time();
        if time < newest.time() || same_time && self.same_time > 0 {
            self.same_time -= u64::from(same_time);
            let same_tags = newest.tags().eq(envelope.meta.tags.iter().map(Cow::as_ref));
            self.met = same_time && same_tags && newest.data() == data.as_str();
            return Ok(true);
        }
        self.finish()?;
        self.newest = None;
        Ok(false)
    }

    /// The pool's newest message has to be one of the file's, the last that was left out.
    fn finish(&self) -> Result<(), Error> {
        match &self.newest {
            Some(newest) if !self.met || self.same_time > 0 => Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "where to go on can't be told: message {} of the pool is not of this input",
                    newest.seq()
                ),
            )
            .with_seq(newest.seq())
            .with_hint(
                "something else was appended to the pool since; import into a new pool instead",
            )),
            _ => Ok(()),
        }
    }
}
