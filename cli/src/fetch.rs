//! `plasmite fetch`.

use plasmite_core::{Client, Error};

use crate::args::FetchArgs;
use crate::errors::{Outcome, SUCCESS, reworded};
use crate::output::Printer;
use crate::pools;
use crate::render::Form;
use crate::selection::missing;
use crate::span;

pub(crate) fn run(client: &Client, args: &FetchArgs) -> Outcome {
    let pool = pools::open_read_only(client, &args.pool)?;
    let found = args.seq.within(pool.bounds()?).map_err(|error| named(&error, &args.pool))?;
    let Some(span) = found else { return Ok(SUCCESS) };
    let form = Form::choose(args.data_only, args.jsonl);
    let mut printer = Printer::default();
    let read = span::for_each(&pool, span, |message| {
        form.write_line(message, &mut printer.out);
        printer.print_blocks()
    });
    // What is there is printed before it is told what is not.
    printer.print()?;
    match read? {
        None => Ok(SUCCESS),
        Some(absent) => Err(named(&missing(absent.span, pool.bounds()?), &args.pool).into()),
    }
}

/// "The pool" is called by its name.
pub(crate) fn named(error: &Error, pool: &str) -> Error {
    let with_name = |text: &str| text.replacen("the pool", &format!("the pool {pool}"), 1);
    let hint = error.hint().map(with_name).or_else(|| Some("feed it first".to_owned()));
    reworded(error, with_name(error.message()), hint)
}
