//! `plasmite feed`.

use std::fmt::Write as _;
use std::path::Path;

use plasmite_core::{Client, Durability, Error, ErrorKind, Pool, Receipt};

use crate::args::FeedArgs;
use crate::errors::{Failure, Outcome, SKIPPED, SUCCESS};
use crate::input::{Input, Records};
use crate::mount::quoted;
use crate::output::{self, printable};
use crate::pools::{self, Appender};
use crate::render::time_text;

pub(crate) fn run(client: &Client, args: &FeedArgs) -> Outcome {
    let pool = pools::open_for_writing(client, &args.pool, &args.creation)?;
    let feeder = Feeder {
        pool: &pool,
        args,
        durability: args.durability.into(),
        receipts: Receipts::new(&args.pool, &args.tags),
    };
    if let Some(json) = args.json.as_deref().filter(|json| *json != "-") {
        return feeder.feed_one(json);
    }
    let input = Input::open(args.file.as_deref())?;
    if input.is_terminal() {
        output::talk("Type JSON objects, such as {\"hello\":\"world\"}; Ctrl-D ends.");
    }
    feeder.feed_stream(input)
}

struct Feeder<'a> {
    pool: &'a Appender,
    args: &'a FeedArgs,
    durability: Durability,
    receipts: Receipts,
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
        self.receipts.counted_only = records.progress.is_some() && output::stdout_is_terminal();
        loop {
            let block = input.read()?;
            let more = !block.is_empty();
            // With `flush` what arrived together shares one sync, before the receipts.
            let fed = if more {
                records.push(block, |document| {
                    let tags = &self.args.tags;
                    let append =
                        |pool: &Pool| pool.append_document(document, tags, Durability::Fast);
                    self.receipts.push(self.pool.run(append)?);
                    Ok(())
                })
            } else {
                records.finish()
            };
            // What was committed has its receipt, whatever came after it.
            if self.durability == Durability::Flush && self.receipts.are_due() {
                self.pool.run(Pool::flush)?;
            }
            self.print_receipts(&input, more)?;
            if !more || fed.is_err() {
                // The bar goes before anything is said.
                records.progress = None;
                self.receipts.summarise();
            }
            fed?;
            if !more {
                return Ok(if records.skipped() { SKIPPED } else { SUCCESS });
            }
        }
    }

    /// Without a reader of the receipts feeding ends, as a pipeline does when its right end goes. What is not fed
    /// because of that is told.
    fn print_receipts(&mut self, input: &Input, more: bool) -> Result<(), Failure> {
        let printed = self.receipts.print();
        if matches!(printed, Err(Failure::ClosedPipe)) && more && !input.is_at_end() {
            let fed = self.receipts.count;
            let text = format!(
                "the reader of the receipts has gone, so feeding ends after {fed} messages; \
                 with > /dev/null everything is fed"
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
    /// What follows the time: the tags are the same in every receipt.
    Json {
        end: String,
    },
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
            let tags = serde_json::Value::from(tags);
            ReceiptForm::Json { end: format!("\",\"meta\":{{\"tags\":{tags}}}}}\n") }
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
        let Receipt { seq, time } = receipt;
        // Writing into a String can't fail.
        let _ = match &self.form {
            ReceiptForm::Json { end } => {
                write!(self.out, "{{\"seq\":{seq},\"time\":\"{time}{end}")
            }
            ReceiptForm::Text { end } => write!(self.out, "{seq} {}{end}", time_text(time)),
        };
    }

    /// What was only counted, for people.
    fn summarise(&self) {
        if let Some(last) = self.last.filter(|_| self.counted_only) {
            let (count, pool) = (self.count, printable(&self.pool));
            output::talk(&format!("{count} messages appended to {pool}, the last is {}", last.seq));
        }
    }

    fn print(&mut self) -> Result<(), Failure> {
        self.uncounted = false;
        let printed = output::write_stdout(self.out.as_bytes());
        self.out.clear();
        printed
    }
}
