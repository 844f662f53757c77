//! `plasmite feed`.

use std::fmt::Write as _;
use std::path::Path;

use plasmite_core::json::Document;
use plasmite_core::{Batch, Client, Durability, Envelopes, Error, ErrorKind, Pool, Receipt};

use crate::args::FeedArgs;
use crate::errors::{Failure, Outcome, SKIPPED, SUCCESS};
use crate::input::{Input, Record, Records, Refusals};
use crate::mount::quoted;
use crate::output::{self, printable};
use crate::pools::{self, Appender};
use crate::render::time_text;

/// A batch takes no more bytes, so that the lock is never kept for long,
const BATCH_BYTES: u64 = 64 << 10;
/// and no larger part of a pool, so that a reader who keeps up is not overtaken by one,
const PARTS_OF_POOL: u64 = 8;
/// and no more messages.
const BATCH_MESSAGES: usize = 1024;

pub(crate) fn run(client: &Client, args: &FeedArgs) -> Outcome {
    let source = match args.json.as_deref().filter(|json| *json != "-") {
        Some(json) => Source::One(json),
        // Before a pool is created for it.
        None => Source::Stream(Input::open(args.file.as_deref())?),
    };
    let pool = pools::open_for_writing(client, &args.pool, &args.creation)?;
    let feeder = Feeder {
        pool: &pool,
        args,
        durability: args.durability.into(),
        receipts: Receipts::new(&args.pool, &args.tags),
        pending: Pending::for_pool(&pool.pool()),
    };
    match source {
        Source::One(json) => feeder.feed_one(json),
        Source::Stream(input) => {
            if input.is_terminal() {
                output::talk("Type JSON objects, such as {\"hello\":\"world\"}; Ctrl-D ends.");
            }
            feeder.feed_stream(input)
        }
    }
}

/// Where messages come from.
enum Source<'a> {
    One(&'a str),
    Stream(Input),
}

struct Feeder<'a> {
    pool: &'a Appender,
    args: &'a FeedArgs,
    durability: Durability,
    receipts: Receipts,
    pending: Pending,
}

impl Feeder<'_> {
    fn feed_one(mut self, json: &str) -> Outcome {
        let append =
            self.pool.run(|pool| pool.append(json.as_bytes(), &self.args.tags, self.durability));
        let receipt = append.map_err(|error| perhaps_a_file(error, json))?;
        self.receipts.push(receipt);
        self.receipts.print()?;
        Ok(SUCCESS)
    }

    fn feed_stream(mut self, mut input: Input) -> Outcome {
        let room = pools::room_for_data(&self.pool.pool(), &self.args.tags);
        let mut records = Records::new(room, self.args.errors, input.progress());
        // Receipts of a whole file would drive the bar, and everything before it, off the screen.
        self.receipts.counted_only =
            records.refusals.progress.is_some() && output::stdout_is_terminal();
        loop {
            let block = input.read()?;
            let more = !block.is_empty();
            // With `flush` what arrived together shares one sync, before the receipts.
            let fed = if more {
                records.push_to(block, |document, record, refusals| {
                    self.take(document, record, refusals)
                })
            } else {
                records.finish()
            };
            // Those before a bad record are kept; nothing waits for more input.
            let fed = self.commit(&mut records.refusals).and(fed);
            // What was committed has its receipt, whatever came after it.
            if self.durability == Durability::Flush && self.receipts.are_due() {
                self.pool.run(Pool::flush)?;
            }
            self.print_receipts(&input, more)?;
            if !more || fed.is_err() {
                // The bar goes before anything is said.
                records.refusals.progress = None;
                self.receipts.summarise();
            }
            fed?;
            if !more {
                return Ok(if records.refusals.skipped { SKIPPED } else { SUCCESS });
            }
        }
    }

    /// Puts a document into the batch; appends the batch when it is full.
    fn take(
        &mut self,
        document: &Document<'_>,
        record: Record,
        refusals: &mut Refusals,
    ) -> Result<(), Error> {
        let bytes = document.as_bytes().len() as u64;
        if !self.pending.has_room(bytes) {
            self.commit(refusals)?;
        }
        let tags = &self.args.tags;
        let taken = if self.pending.has_room(bytes) {
            self.pending.push(document, tags, record)
        } else {
            // Larger than a batch: it is not copied for one.
            let append = |pool: &Pool| pool.append_document(document, tags, Durability::Fast);
            self.pool.run(append).map(|receipt| self.receipts.push(receipt))
        };
        taken.or_else(|error| refusals.refuse(&error, record))
    }

    /// Appends the batch, but for what is refused of it. It is empty afterwards in any case: nothing is appended twice.
    fn commit(&mut self, refusals: &mut Refusals) -> Result<(), Error> {
        let appended = self.append_batch(refusals);
        self.pending.clear();
        appended
    }

    fn append_batch(&mut self, refusals: &mut Refusals) -> Result<(), Error> {
        let Pending { batch, records, receipts, .. } = &mut self.pending;
        let (mut from, mut to) = (0, batch.len());
        while from < batch.len() {
            receipts.clear();
            let appended = self.pool.run(|pool| {
                let rest = from + receipts.len()..to;
                pool.append_prepared(batch, rest, Durability::Fast, receipts)
            });
            receipts.iter().for_each(|&receipt| self.receipts.push(receipt));
            from += receipts.len();
            let refused = appended.as_ref().err().filter(|e| e.kind() == ErrorKind::Usage);
            let index = refused.and_then(Error::offset).map(|index| index as usize);
            match (appended, index.filter(|index| (from..to).contains(index))) {
                (Ok(()), _) => to = batch.len(),
                // Those before it first: none of them was appended.
                (Err(_), Some(index)) if index > from => to = index,
                (Err(error), Some(_)) => {
                    refusals.refuse_in_batch(&error, records[from])?;
                    from += 1;
                    to = batch.len();
                }
                (Err(error), None) => return Err(error),
            }
        }
        Ok(())
    }

    /// Without a reader of the receipts feeding ends, as a pipeline does when its right end goes. What is not fed
    /// because of that is told.
    fn print_receipts(&mut self, input: &Input, more: bool) -> Result<(), Failure> {
        let printed = self.receipts.print();
        if matches!(printed, Err(Failure::ClosedPipe)) && more && !input.is_at_end() {
            let fed = self.receipts.count;
            let text = format!(
                "the reader of the receipts has gone, so feeding ends after {}; \
                 with > /dev/null everything is fed",
                output::messages(fed)
            );
            output::notice("Ended", &text, &[("messages", fed)]);
        }
        printed
    }
}

/// Something that is no JSON but the name of a file may have been meant as one.
fn perhaps_a_file(error: Error, json: &str) -> Error {
    if error.kind() == ErrorKind::Usage && !json.contains('{') && Path::new(json).is_file() {
        return error.with_hint(format!("to feed the file: --file {}", quoted(Path::new(json))));
    }
    error
}

/// Messages that are appended together: what one read of the input gave, or a part of it.
struct Pending {
    batch: Batch,
    /// Where they come from.
    records: Vec<Record>,
    /// Memory for their receipts.
    receipts: Vec<Receipt>,
    max_bytes: u64,
}

impl Pending {
    fn for_pool(pool: &Pool) -> Self {
        let max_bytes = BATCH_BYTES.min(pool.size_bytes() / PARTS_OF_POOL);
        Self { batch: Batch::new(), records: Vec::new(), receipts: Vec::new(), max_bytes }
    }

    /// True when a document of so many bytes may come in.
    fn has_room(&self, bytes: u64) -> bool {
        self.batch.len() < BATCH_MESSAGES
            && bytes.saturating_add(self.batch.bytes() as u64) <= self.max_bytes
    }

    fn push(
        &mut self,
        document: &Document<'_>,
        tags: &[String],
        record: Record,
    ) -> Result<(), Error> {
        self.batch.push(document, tags)?;
        self.records.push(record);
        Ok(())
    }

    fn clear(&mut self) {
        self.batch.clear();
        self.records.clear();
    }
}

/// Receipts on their way to stdout.
struct Receipts {
    out: String,
    pool: String,
    /// Not one by one, but as a sum at the end.
    counted_only: bool,
    /// Some since the last print were only counted.
    uncounted: bool,
    count: u64,
    last: Option<Receipt>,
    form: ReceiptForm,
}

enum ReceiptForm {
    Json(Envelopes),
    /// What follows the time: the tags are the same in every receipt.
    Text {
        end: String,
    },
}

impl Receipts {
    fn new(pool: &str, tags: &[String]) -> Self {
        let form = if output::stdout_is_terminal() {
            let tags: String = tags.iter().map(|tag| format!(" #{}", printable(tag))).collect();
            ReceiptForm::Text { end: format!(" in {}{tags}\n", printable(pool)) }
        } else {
            ReceiptForm::Json(Envelopes::new(tags))
        };
        Self {
            out: String::new(),
            pool: pool.to_owned(),
            counted_only: false,
            uncounted: false,
            count: 0,
            last: None,
            form,
        }
    }

    fn are_due(&self) -> bool {
        self.uncounted || !self.out.is_empty()
    }

    fn push(&mut self, receipt: Receipt) {
        self.count += 1;
        self.last = Some(receipt);
        if self.counted_only {
            self.uncounted = true;
            return;
        }
        match &self.form {
            ReceiptForm::Json(envelopes) => {
                envelopes.write_receipt(&mut self.out, receipt);
                self.out.push('\n');
            }
            ReceiptForm::Text { end } => {
                // Writing into a String can't fail.
                let _ = write!(self.out, "{} {}{end}", receipt.seq, time_text(receipt.time));
            }
        }
    }

    /// What was only counted, for people.
    fn summarise(&self) {
        if let Some(last) = self.last.filter(|_| self.counted_only) {
            let (count, pool) = (output::messages(self.count), printable(&self.pool));
            output::talk(&format!("{count} appended to {pool}, the last is {}", last.seq));
        }
    }

    fn print(&mut self) -> Result<(), Failure> {
        self.uncounted = false;
        let printed = output::write_stdout(self.out.as_bytes());
        self.out.clear();
        printed
    }
}
