//! `plasmite fetch`.

use plasmite_core::{Client, ErrorKind, Seq};

use crate::args::FetchArgs;
use crate::errors::{Outcome, SUCCESS, reworded};
use crate::output;
use crate::pools;
use crate::render::Form;

pub(crate) fn run(client: &Client, args: &FetchArgs) -> Outcome {
    let pool = pools::open_read_only(client, &args.pool)?;
    let message = pool.get(Seq::new(args.seq)).map_err(|error| {
        let bounds = pool.bounds().ok().filter(|_| error.kind() == ErrorKind::NotFound);
        match bounds {
            Some(bounds) if bounds.is_empty() => {
                let hint = format!("the pool {} holds no messages", args.pool);
                reworded(&error, error.message().to_owned(), Some(hint))
            }
            Some(bounds) => {
                let hint =
                    format!("the pool {} holds {} to {}", args.pool, bounds.oldest, bounds.newest);
                reworded(&error, error.message().to_owned(), Some(hint))
            }
            None => error,
        }
    })?;
    let form = if args.data_only { Form::Data } else { Form::Envelope };
    let mut line = String::new();
    form.write_line(&message, &mut line);
    output::write_stdout(line.as_bytes())?;
    Ok(SUCCESS)
}
