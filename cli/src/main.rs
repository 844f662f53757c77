//! The `plasmite` command: pools from a shell.
//!
//! Each verb has a file of its own. They share the arguments ([`args`]), the way errors are told and
//! turned into exit codes ([`errors`]), what goes to stdout and stderr ([`output`]), and finding a pool
//! by name ([`pools`]).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may end so"))]

mod args;
mod completion;
mod cursor;
mod doctor;
mod duplex;
mod errors;
mod export;
mod expression;
mod feed;
mod fetch;
mod follow;
mod help;
mod import;
mod input;
mod lines;
mod man;
mod mount;
mod output;
mod pace;
mod pool;
mod pools;
mod progress;
mod render;
mod selection;
mod signals;
mod span;
mod tap;
mod top;
mod units;
mod version;
mod wanted;

use std::process::ExitCode;

use crate::args::{Cli, PoolVerb, Verb};
use crate::errors::Outcome;

fn main() -> ExitCode {
    errors::tell_panics_as_internal();
    let code = std::panic::catch_unwind(|| errors::end(run()));
    ExitCode::from(code.unwrap_or(errors::INTERNAL))
}

fn run() -> Outcome {
    if let Some(outcome) = mount::as_helper() {
        return outcome;
    }
    if let Some(outcome) = completion::answer() {
        return outcome;
    }
    let cli = match args::parse()? {
        args::Parsed::Cli(cli) => cli,
        args::Parsed::Answered(code) => return Ok(code),
    };
    dispatch(*cli)
}

fn dispatch(cli: Cli) -> Outcome {
    let dir = cli.dir;
    // A mount unmounts at Ctrl-C, tap passes it on, and top gives the terminal back.
    if !matches!(cli.verb, Verb::Mount(_) | Verb::Tap(_) | Verb::Top(_)) {
        signals::exit_on_interrupt()?;
    }
    match cli.verb {
        Verb::Mount(args) => mount::mount(dir, args),
        Verb::Unmount(args) => mount::unmount(&args),
        Verb::Pool(PoolVerb::Create(args)) => pool::create(&pools::client(dir)?, &args),
        Verb::Pool(PoolVerb::List(args)) => pool::list(&pools::client(dir)?, &args),
        Verb::Pool(PoolVerb::Info(args)) => pool::info(&pools::client(dir)?, &args),
        Verb::Pool(PoolVerb::Delete(args)) => pool::delete(&pools::client(dir)?, &args),
        Verb::Pool(PoolVerb::Resize(args)) => pool::resize(&pools::client(dir)?, &args),
        Verb::Doctor(args) => doctor::run(&pools::client(dir)?, &args),
        Verb::Feed(args) => feed::run(&pools::client(dir)?, &args),
        Verb::Fetch(args) => fetch::run(&pools::client(dir)?, &args),
        Verb::Top(args) => top::run(pools::client(dir)?, &args),
        Verb::Follow(args) => follow::run(&pools::client(dir)?, &args),
        Verb::Duplex(args) => duplex::run(&pools::client(dir)?, &args),
        Verb::Tap(args) => tap::run(&pools::client(dir)?, &args),
        Verb::Export(args) => export::run(&pools::client(dir)?, &args),
        Verb::Import(args) => import::run(&pools::client(dir)?, &args),
        Verb::Completion(args) => completion::run(&args),
        Verb::Man(args) => man::run(&args),
        Verb::Version(args) => version::run(&args),
    }
}
