//! `plasmite version`, and what `--version` says.

use serde::Serialize;

use crate::args::VersionArgs;
use crate::errors::{Outcome, SUCCESS};
use crate::output;

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Empty when it was built from sources of which nobody knew the commit.
const COMMIT: &str = env!("PLASMITE_COMMIT");

/// `0.1.0 (0123456789ab)`, or the version alone.
pub(crate) const TEXT: &str = env!("PLASMITE_VERSION");

/// What is not known is left out.
#[derive(Serialize)]
struct Told {
    name: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    commit: &'static str,
}

pub(crate) fn run(args: &VersionArgs) -> Outcome {
    let mut line = if args.json || !output::stdout_is_terminal() {
        // Strings always have a JSON form.
        serde_json::to_string(&Told { name: NAME, version: VERSION, commit: COMMIT })
            .unwrap_or_default()
    } else {
        format!("{NAME} {}", TEXT)
    };
    line.push('\n');
    output::write_stdout(line.as_bytes())?;
    Ok(SUCCESS)
}
