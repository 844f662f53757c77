//! The command line: verbs, their options, and what is said when it can't be understood.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind as ClapKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use plasmite_core::{DEFAULT_POOL_SIZE_BYTES, Durability, Error, Timestamp};

use crate::completion::{self, Shell};
use crate::errors::{Failure, SUCCESS, code, report};
use crate::help;
use crate::selection::Selection;
use crate::top::SortKey;
use crate::units;
use crate::version;

/// Persistent JSON message pools that are just files.
#[derive(Debug, Parser)]
#[command(name = "plasmite", version = version::TEXT, about = help::SHORT, long_about = help::ABOUT, after_help = help::TOP)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// The directory that holds the pools [default: ~/.plasmite/pools]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do. The parser learns the arguments of the verb that is called and of no other: a start executes a fifth less.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Verb {
    /// Create, list, look at, resize and delete pools
    #[command(subcommand, subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
    #[command(after_help = help::POOL)]
    Pool(PoolVerb),
    /// Append messages to a pool
    #[command(after_help = help::FEED)]
    Feed(FeedArgs),
    /// Print messages by their numbers
    #[command(after_help = help::FETCH)]
    Fetch(FetchArgs),
    /// Print messages as they arrive
    #[command(after_help = help::FOLLOW)]
    Follow(FollowArgs),
    /// Read and write a pool from one terminal
    #[command(after_help = help::DUPLEX)]
    Duplex(DuplexArgs),
    /// Run a command and record the lines that it writes
    #[command(after_help = help::TAP, override_usage = "plasmite tap [OPTIONS] <POOL> -- <COMMAND>...")]
    Tap(TapArgs),
    /// Write a pool's messages with their envelopes as JSON Lines
    #[command(after_help = help::EXPORT)]
    Export(ExportArgs),
    /// Append messages that export wrote
    #[command(after_help = help::IMPORT)]
    Import(ImportArgs),
    /// Watch what goes on in all pools
    #[command(after_help = help::TOP_VERB)]
    Top(TopArgs),
    /// Show pools as directories, for every program that can use files
    #[command(after_help = help::MOUNT, override_usage = "plasmite mount [OPTIONS] [POOL_DIR] MOUNTPOINT")]
    Mount(MountArgs),
    /// Take a mount away
    #[command(after_help = help::UNMOUNT)]
    Unmount(UnmountArgs),
    /// Examine pools, and save what is intact of a damaged one
    #[command(after_help = help::DOCTOR)]
    Doctor(DoctorArgs),
    /// Print a script that lets a shell complete verbs, options and names of pools
    #[command(after_help = help::COMPLETION)]
    Completion(CompletionArgs),
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man(ManArgs),
    /// Print the version
    Version(VersionArgs),
}

/// What to do with pools.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum PoolVerb {
    /// Create pools
    #[command(after_help = help::POOL_CREATE)]
    Create(CreateArgs),
    /// List the pools of the directory
    #[command(after_help = help::POOL_LIST)]
    List(ListArgs),
    /// Show the facts of one pool
    #[command(after_help = help::POOL_INFO)]
    Info(InfoArgs),
    /// Give a pool another size; its newest messages stay
    #[command(after_help = help::POOL_RESIZE)]
    Resize(ResizeArgs),
    /// Delete pools and all their messages
    #[command(after_help = help::POOL_DELETE)]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Names of the pools, or paths with a /
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Size of each pool's file: 64K, 1M, 2G
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = units::size, default_value_t = DEFAULT_POOL_SIZE_BYTES, hide_default_value = true)]
    pub(crate) size: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// One JSON object for each pool, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "NAME", add = completion::of_pools())]
    pub(crate) name: String,
    /// One JSON object, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Names of the pools, or paths with a /
    #[arg(value_name = "NAME", required = true, add = completion::of_pools())]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResizeArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "NAME", add = completion::of_pools())]
    pub(crate) name: String,
    /// Size of the pool's file: 64K, 1M, 2G
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = units::size)]
    pub(crate) size: u64,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Name of the pool, or a path with a /; without it all pools of the directory are examined
    #[arg(value_name = "POOL", add = completion::of_pools())]
    pub(crate) pool: Option<String>,
    /// All pools of the directory
    #[arg(long, conflicts_with = "pool")]
    pub(crate) all: bool,
    /// Copy every intact message into a new pool of this name; POOL is only read
    #[arg(long, value_name = "NEW", requires = "pool")]
    pub(crate) salvage: Option<String>,
    /// JSON, one object for each pool, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FeedArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "POOL", add = completion::of_pools())]
    pub(crate) pool: String,
    /// One JSON object to append; without it they are read from stdin
    #[arg(value_name = "JSON")]
    pub(crate) json: Option<String>,
    /// A tag for each message; may be given several times
    #[arg(short, long = "tag", value_name = "TAG", value_parser = units::tag)]
    pub(crate) tags: Vec<String>,
    /// Read JSON objects from this file (- is stdin)
    #[arg(short, long, value_name = "FILE", conflicts_with = "json")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) creation: Creation,
    /// What messages survive once their receipt is out
    #[arg(long, value_enum, default_value_t = DurabilityArg::Fast)]
    pub(crate) durability: DurabilityArg,
    /// What happens at a record that is not one JSON object
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    pub(crate) errors: OnError,
}

// What happens when the pool is not there. No doc comment: the parser would describe each verb with these by it.
#[derive(Debug, Args)]
pub(crate) struct Creation {
    /// Create the pool when it is not there
    #[arg(long)]
    pub(crate) create: bool,
    /// Size of a pool that is created: 64K, 1M, 2G
    #[arg(long, value_name = "SIZE", requires = "create", allow_negative_numbers = true, value_parser = units::size, default_value_t = DEFAULT_POOL_SIZE_BYTES, hide_default_value = true)]
    pub(crate) create_size: u64,
}

/// What a message survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// The end of any process
    Fast,
    /// Power loss too
    Flush,
}

impl From<DurabilityArg> for Durability {
    fn from(durability: DurabilityArg) -> Self {
        match durability {
            DurabilityArg::Fast => Self::Fast,
            DurabilityArg::Flush => Self::Flush,
        }
    }
}

/// What happens at a bad record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// End there; what came before is kept
    Stop,
    /// Leave it out, say so on stderr, and exit with 1 at the end
    Skip,
}

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "POOL", add = completion::of_pools())]
    pub(crate) pool: String,
    /// Number of the message, first, latest, or a range: 10..20 (both included), 10.., ..20
    #[arg(value_name = "SEQ", allow_negative_numbers = true, value_parser = Selection::parse)]
    pub(crate) seq: Selection,
    /// Only the JSON object that was appended, without its envelope
    #[arg(long)]
    pub(crate) data_only: bool,
    /// JSON, one message a line, also on a terminal
    #[arg(long)]
    pub(crate) jsonl: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "POOL", add = completion::of_pools())]
    pub(crate) pool: String,
    /// Begin with the last N messages (of those wanted by --tag and --where)
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = units::count)]
    pub(crate) tail: Option<u64>,
    /// Begin with what came since: 10m, 2h, 1d ago, or 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = units::since)]
    pub(crate) since: Option<Timestamp>,
    /// Only messages with this tag; may be given several times (all must be there)
    #[arg(short, long = "tag", value_name = "TAG", value_parser = units::tag)]
    pub(crate) tags: Vec<String>,
    /// Only messages for whose envelope this jq expression is neither false nor null; may be given several times (all must be so)
    #[arg(long = "where", value_name = "EXPR")]
    pub(crate) expressions: Vec<String>,
    /// End after one message
    #[arg(long)]
    pub(crate) one: bool,
    /// End with exit code 124 when nothing more arrives for this long: 100ms, 5s, 10m
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Keep the pauses between messages, divided by SPEED; begins with the oldest message
    #[arg(long, value_name = "SPEED", allow_negative_numbers = true, value_parser = units::speed)]
    pub(crate) replay: Option<f64>,
    /// Only the JSON objects that were appended, without their envelopes
    #[arg(long)]
    pub(crate) data_only: bool,
    /// JSON, one message a line, also on a terminal
    #[arg(long)]
    pub(crate) jsonl: bool,
    /// Go on where the last run with this file stopped, and keep it up to date; the other beginnings are for the first run
    #[arg(long, value_name = "FILE")]
    pub(crate) cursor_file: Option<PathBuf>,
    /// End with exit code 9 when messages were overwritten before they could be read
    #[arg(long)]
    pub(crate) error_on_gap: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DuplexArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "POOL", add = completion::of_pools())]
    pub(crate) pool: String,
    /// Append each line as {"from":NAME,"msg":LINE}; without it JSON objects are typed
    #[arg(long, value_name = "NAME")]
    pub(crate) me: Option<String>,
    /// Begin with the last N messages (of those wanted by --tag and --where)
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_parser = units::count
    )]
    pub(crate) tail: u64,
    /// A tag for each message that is appended, and only messages with it are shown; may be given several times
    #[arg(short, long = "tag", value_name = "TAG", value_parser = units::tag)]
    pub(crate) tags: Vec<String>,
    /// Show only messages for whose envelope this jq expression is neither false nor null; may be given several times (all must be so)
    #[arg(long = "where", value_name = "EXPR")]
    pub(crate) expressions: Vec<String>,
    /// Show the messages that are appended here too
    #[arg(long)]
    pub(crate) echo: bool,
    /// JSON, one message a line, also on a terminal
    #[arg(long)]
    pub(crate) jsonl: bool,
    #[command(flatten)]
    pub(crate) creation: Creation,
}

#[derive(Debug, Args)]
pub(crate) struct TapArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "POOL", add = completion::of_pools())]
    pub(crate) pool: String,
    /// The command, with its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<OsString>,
    /// A tag for each message; may be given several times
    #[arg(short, long = "tag", value_name = "TAG", value_parser = units::tag)]
    pub(crate) tags: Vec<String>,
    #[command(flatten)]
    pub(crate) creation: Creation,
    /// What messages survive
    #[arg(long, value_enum, default_value_t = DurabilityArg::Fast)]
    pub(crate) durability: DurabilityArg,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "POOL", add = completion::of_pools())]
    pub(crate) pool: String,
    /// Only these: 10..20 (both included), 10.., ..20, 17, first, latest
    #[arg(value_name = "SEQS", allow_negative_numbers = true, value_parser = Selection::parse, default_value = "..", hide_default_value = true)]
    pub(crate) seqs: Selection,
    /// Write to this file, which must not exist yet, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Go on behind the last message that is in the file already
    #[arg(long, requires = "file")]
    pub(crate) resume: bool,
    /// Only messages with this tag; may be given several times (all must be there)
    #[arg(short, long = "tag", value_name = "TAG", value_parser = units::tag)]
    pub(crate) tags: Vec<String>,
    /// Only messages for whose envelope this jq expression is neither false nor null; may be given several times (all must be so)
    #[arg(long = "where", value_name = "EXPR")]
    pub(crate) expressions: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Name of the pool, or a path with a /
    #[arg(value_name = "POOL", add = completion::of_pools())]
    pub(crate) pool: String,
    /// Read from this file (- is stdin) instead of stdin
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Leave out what an earlier run has imported from the same input
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) creation: Creation,
    /// What messages survive once the command has ended
    #[arg(long, value_enum, default_value_t = DurabilityArg::Fast)]
    pub(crate) durability: DurabilityArg,
    /// What happens at a record that is no exported message
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    pub(crate) errors: OnError,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// How long from one look to the next: 500ms, 1s, 1m
    #[arg(long, value_name = "DURATION", value_parser = units::interval, default_value = "1s")]
    pub(crate) interval: Duration,
    /// What the pools are sorted by
    #[arg(long, value_enum, value_name = "COLUMN", default_value_t = SortKey::Messages)]
    pub(crate) sort: SortKey,
    /// Sort the other way round
    #[arg(long)]
    pub(crate) reverse: bool,
    /// One look, one JSON object for each pool, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// Where the directories of pools appear; before it, the directory that holds the pools [default: --dir, or ~/.plasmite/pools]
    #[arg(value_name = "MOUNTPOINT", required = true, num_args = 1..=2)]
    pub(crate) directories: Vec<PathBuf>,
    /// Size of pools that mkdir creates: 64K, 1M, 2G
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = units::size, default_value_t = DEFAULT_POOL_SIZE_BYTES, hide_default_value = true)]
    pub(crate) pool_size: u64,
    /// Let ls show the streams, links and controls of a pool too, not its messages alone
    #[arg(long)]
    pub(crate) show_streams: bool,
    /// Only for reading: nothing can be appended, created or removed
    #[arg(short, long)]
    pub(crate) read_only: bool,
    /// Let other users in, as far as owner and mode of each pool allow
    #[arg(long)]
    pub(crate) allow_other: bool,
    /// Return as soon as the mount is ready, and serve it in the background
    #[arg(short, long)]
    pub(crate) background: bool,
    /// Append what is logged to this file instead of writing it to stderr
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// How much is logged
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Warn)]
    pub(crate) log_level: LogLevel,
    /// This is the process that --background starts
    #[arg(long, hide = true, conflicts_with = "background")]
    pub(crate) detached: bool,
}

/// How much is logged. Messages of pools are never logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing
    Off,
    /// What keeps the mount from working
    Error,
    /// What somebody should look at
    Warn,
    /// Mounting and unmounting too
    Info,
    /// Each request of the kernel too
    Debug,
}

#[derive(Debug, Args)]
pub(crate) struct UnmountArgs {
    /// Where the mount is
    #[arg(value_name = "MOUNTPOINT")]
    pub(crate) mountpoint: PathBuf,
    /// Take it away at once although programs are in it; they may finish what they have open
    #[arg(short, long)]
    pub(crate) lazy: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where the pages go
    #[arg(value_name = "DIR")]
    pub(crate) pages: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// One JSON object, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the command line turned out to be.
pub(crate) enum Parsed {
    /// Something to do.
    Cli(Box<Cli>),
    /// It was a question (`--help`, `--version`), or wrong, and has been answered: the exit code.
    Answered(u8),
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Parsed, Failure> {
    match Cli::try_parse() {
        Ok(cli) => Ok(Parsed::Cli(Box::new(cli))),
        Err(answer) => answered(&answer).map(Parsed::Answered),
    }
}

fn answered(answer: &clap::Error) -> Result<u8, Failure> {
    match answer.kind() {
        ClapKind::DisplayHelp | ClapKind::DisplayVersion => {
            answer.print().map_err(|e| Failure::stdout(&e))?;
            Ok(SUCCESS)
        }
        ClapKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let error = Error::usage("a verb is missing")
                .with_hint("plasmite --help shows the verbs and a first workflow");
            if io::stderr().is_terminal() {
                // Nobody is listening when that fails.
                let _ = answer.print();
            } else {
                report(&error);
            }
            Ok(code(&error))
        }
        _ => {
            let error = usage(&answer.render().to_string());
            let args: Vec<String> =
                std::env::args_os().filter_map(|a| a.into_string().ok()).collect();
            Err(match help_asked(answer).or_else(|| dashed_value(answer, &args)) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
            .into())
        }
    }
}

/// What to do for who asks for help as for a verb.
fn help_asked(answer: &clap::Error) -> Option<String> {
    let verb = answer.get(ContextKind::InvalidSubcommand);
    let asked = matches!(verb, Some(ContextValue::String(verb)) if verb == "help");
    asked.then(|| "plasmite --help shows the verbs, --help after a verb its options".to_owned())
}

/// How to write a value that begins with a dash, when one was taken for an option of its own.
fn dashed_value(answer: &clap::Error, args: &[String]) -> Option<String> {
    if answer.kind() != ClapKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(value)) = answer.get(ContextKind::InvalidArg) else {
        return None;
    };
    let (option, value) = args.windows(2).find_map(|pair| match pair {
        // -xyz is refused for its x.
        [option, given] if given.starts_with(value.as_str()) => Some((option, given)),
        _ => None,
    })?;
    let mut command = Cli::command();
    // Down to the last verb.
    command.build();
    let long = long_of(&command, option)?;
    Some(format!("a value that begins with a dash is written --{long}={value}"))
}

/// The long name of the option that is called so here or in a verb, if it takes a value.
fn long_of(command: &clap::Command, option: &str) -> Option<String> {
    let is_it = |arg: &&clap::Arg| match option.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| option == format!("-{short}")),
    };
    let found = command.get_arguments().find(|arg| arg.get_action().takes_values() && is_it(arg));
    let here = found.and_then(|arg| arg.get_long()).map(str::to_owned);
    here.or_else(|| command.get_subcommands().find_map(|verb| long_of(verb, option)))
}

/// The error in the parser's text: its first paragraph is what is wrong, tips and usage are what to do.
fn usage(rendered: &str) -> Error {
    let text = rendered.strip_prefix("error: ").unwrap_or(rendered);
    let mut paragraphs =
        text.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut message = paragraphs.next().unwrap_or_default();
    let mut hints = Vec::new();
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            hints.push(tip.replace(" tip: ", "; "));
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            hints.push(format!("usage: {usage}"));
        } else if paragraph.starts_with('[') {
            message = format!("{message} {paragraph}");
        }
    }
    let error = Error::usage(message);
    if hints.is_empty() {
        error.with_hint("--help after a verb shows its options and examples")
    } else {
        error.with_hint(hints.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(args: &[&str]) -> Error {
        usage(&Cli::try_parse_from(args).unwrap_err().render().to_string())
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn verbs_are_described_by_themselves_and_not_by_what_they_share() {
        fn descriptions(command: &clap::Command) -> Vec<(String, Option<String>)> {
            let verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help");
            verbs
                .map(|verb| (verb.get_name().to_owned(), verb.get_about().map(ToString::to_string)))
                .collect()
        }
        let mut command = Cli::command();
        let before = descriptions(&command);
        command.build();
        assert_eq!(descriptions(&command), before);
        assert!(before.len() > 10, "{before:?}");
    }

    #[test]
    fn a_dashed_value_is_told_how_it_is_written_in_any_verb() {
        let hint = |args: &[&str]| {
            let wrong = Cli::try_parse_from(args).unwrap_err();
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            dashed_value(&wrong, &args).unwrap()
        };
        let feed = hint(&["plasmite", "feed", "a", "--tag", "-x"]);
        assert_eq!(feed, "a value that begins with a dash is written --tag=-x");
        let create = hint(&["plasmite", "pool", "resize", "a", "--size", "-x"]);
        assert_eq!(create, "a value that begins with a dash is written --size=-x");
    }

    #[test]
    fn slips_of_a_verb_are_told_with_the_right_one() {
        let error = rendered(&["plasmite", "folow", "docs"]);
        assert_eq!(error.message(), "unrecognized subcommand 'folow'");
        assert!(error.hint().unwrap().contains("'follow'"), "{error:?}");
    }

    #[test]
    fn bad_values_are_told_with_what_is_right() {
        let error = rendered(&["plasmite", "pool", "create", "a", "--size", "64MB"]);
        assert!(error.message().contains("'64MB'"), "{error:?}");
        assert!(error.message().contains("64K, 1M or 2G"), "{error:?}");
        let error = rendered(&["plasmite", "feed", "a", "--errors", "ignore"]);
        assert!(error.message().contains("stop, skip"), "{error:?}");
    }

    #[test]
    fn mount_takes_one_or_two_directories() {
        let mount = |args: &[&str]| match Cli::try_parse_from(args).unwrap().verb {
            Verb::Mount(args) => args.directories,
            other => panic!("{other:?}"),
        };
        let (one, two) = ([PathBuf::from("/m")], [PathBuf::from("/p"), PathBuf::from("/m")]);
        assert_eq!(mount(&["plasmite", "mount", "/m"]), one);
        assert_eq!(mount(&["plasmite", "mount", "/p", "/m"]), two);
        assert_eq!(mount(&["plasmite", "mount", "--read-only", "--", "/p", "/m"]), two);
        assert_eq!(mount(&["plasmite", "mount", "/p", "--read-only", "/m"]), two);
        for wrong in [&[][..], &["/p", "/m", "/x"]] {
            let args = ["plasmite", "mount"].iter().chain(wrong);
            assert!(Cli::try_parse_from(args).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn dir_may_stand_before_or_after_the_verb() {
        for args in [
            ["plasmite", "--dir", "/p", "pool", "list"],
            ["plasmite", "pool", "list", "--dir", "/p"],
        ] {
            assert_eq!(Cli::try_parse_from(args).unwrap().dir, Some(PathBuf::from("/p")));
        }
    }
}
