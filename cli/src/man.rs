//! The manual pages, from the same definitions as `--help`.

use std::fs;

use clap::CommandFactory as _;
use plasmite_core::Error;

use crate::args::{Cli, ManArgs};
use crate::errors::{Outcome, SUCCESS};

/// Writes `plasmite.1` and a page for each verb.
pub(crate) fn run(args: &ManArgs) -> Outcome {
    let dir = &args.pages;
    let fail = |e: std::io::Error| {
        Error::io("write the manual pages", dir, &e)
            .with_hint("name a directory that can be written")
    };
    fs::create_dir_all(dir).map_err(fail)?;
    let mut command = Cli::command();
    // What each verb has too is told once.
    command.build();
    clap_mangen::generate_to(command, dir).map_err(fail)?;
    Ok(SUCCESS)
}
