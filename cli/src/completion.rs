//! `plasmite completion`, and the answers to what it makes a shell ask at each press of Tab.
//!
//! The shell's script asks this command, so that names of pools can be completed, as they are at that moment.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter as _, Fish, Zsh};

use crate::args::{Cli, CompletionArgs};
use crate::errors::{Failure, Outcome, SUCCESS};
use crate::output;
use crate::pools;

/// Set by the scripts, to the shell's name.
const VARIABLE: &str = "PLASMITE_COMPLETE";
const NAME: &str = "plasmite";

/// A shell with completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// source <(plasmite completion bash)
    Bash,
    /// source <(plasmite completion zsh)
    Zsh,
    /// plasmite completion fish | source
    Fish,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionArgs) -> Outcome {
    let mut script = Vec::new();
    let written = match args.shell {
        Shell::Bash => Bash.write_registration(VARIABLE, NAME, NAME, NAME, &mut script),
        Shell::Zsh => Zsh.write_registration(VARIABLE, NAME, NAME, NAME, &mut script),
        Shell::Fish => Fish.write_registration(VARIABLE, NAME, NAME, NAME, &mut script),
    };
    written.map_err(|error| Failure::stdout(&error))?;
    output::write_stdout(&script)?;
    Ok(SUCCESS)
}

/// Answers a script that asks; None when this is a call like any other.
pub(crate) fn answer() -> Option<Outcome> {
    std::env::var_os(VARIABLE)?;
    let here = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .completer(NAME)
        .try_complete(std::env::args_os(), here.as_deref());
    match answered {
        Ok(true) => Some(Ok(SUCCESS)),
        // The variable is empty.
        Ok(false) => None,
        Err(_) => Some(Ok(crate::errors::INTERNAL)),
    }
}

/// Completes names of pools.
pub(crate) fn of_pools() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| candidates(&begun.to_string_lossy()))
}

fn candidates(begun: &str) -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").collect();
    let client = pools::client(directory(&words));
    let names = client.and_then(|client| client.names()).unwrap_or_default();
    let fitting = names.into_iter().filter(|(name, _)| name.starts_with(begun));
    fitting.map(|(name, _)| CompletionCandidate::new(name)).collect()
}

/// What `--dir` says in the words typed so far.
fn directory(words: &[OsString]) -> Option<PathBuf> {
    let mut found = None;
    for (i, word) in words.iter().enumerate() {
        let text = word.to_string_lossy();
        if let Some(dir) = text.strip_prefix("--dir=") {
            found = Some(expanded(dir));
        } else if text == "--dir" {
            found = words.get(i + 1).map(|dir| expanded(&dir.to_string_lossy())).or(found);
        }
    }
    found
}

/// The shell has not put its home directory in yet.
fn expanded(dir: &str) -> PathBuf {
    match (dir.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_one_of_the_command_line() {
        let of = |words: &[&str]| directory(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of(&["plasmite", "feed", ""]), None);
        assert_eq!(of(&["plasmite", "--dir", "/p", "feed", ""]), Some(PathBuf::from("/p")));
        assert_eq!(of(&["plasmite", "feed", "--dir=/q", ""]), Some(PathBuf::from("/q")));
        assert_eq!(of(&["plasmite", "feed", "--dir"]), None);
    }
}
