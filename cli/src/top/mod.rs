//! `plasmite top`: what goes on in the pools of a directory.
//!
//! [`watch`] looks at the pools at intervals. On a terminal [`live`] shows what it sees until it is told to end;
//! otherwise [`snapshot`] prints it once.

mod columns;
mod events;
mod filter;
mod following;
mod live;
mod pool_view;
mod pools_view;
mod prompt;
mod screen;
mod snapshot;
mod sort;
mod watch;

use plasmite_core::Client;

use crate::args::TopArgs;
use crate::errors::Outcome;
use crate::output;
use crate::signals;

pub(crate) use sort::SortKey;

pub(crate) fn run(client: Client, args: &TopArgs) -> Outcome {
    allow_many_files();
    if args.json || !output::stdout_is_terminal() || screen::is_dumb() {
        signals::exit_on_interrupt()?;
        return snapshot::run(client, args);
    }
    live::run(client, args)
}

/// Each pool is kept open: as many as the system lets us.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, pools beyond the limit are told as errors.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
