//! `plasmite version`.

use crate::args::VersionArgs;
use crate::errors::{Outcome, SUCCESS};
use crate::output;

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(args: &VersionArgs) -> Outcome {
    let line = if args.json || !output::stdout_is_terminal() {
        format!("{{\"name\":\"{NAME}\",\"version\":\"{VERSION}\"}}\n")
    } else {
        format!("{NAME} {VERSION}\n")
    };
    output::write_stdout(line.as_bytes())?;
    Ok(SUCCESS)
}
