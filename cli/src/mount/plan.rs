//! What is to be mounted where and how, whichever way it was asked for.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum as _;
use plasmite_core::{DEFAULT_POOL_SIZE_BYTES, Error};
use plasmite_fusefs::MountOptions;

use crate::args::{LogLevel, MountArgs};

/// A mount as it was asked for. Its paths are absolute: they are right in any working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) pool_dir: PathBuf,
    pub(crate) mountpoint: PathBuf,
    pub(crate) pool_size: u64,
    pub(crate) read_only: bool,
    pub(crate) show_streams: bool,
    pub(crate) allow_other: bool,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) log_level: LogLevel,
}

impl Plan {
    /// The plan for these two directories, with the defaults of everything else.
    pub(crate) fn new(pool_dir: PathBuf, mountpoint: PathBuf) -> Self {
        Self {
            pool_dir: absolute(pool_dir),
            mountpoint: absolute(mountpoint),
            pool_size: DEFAULT_POOL_SIZE_BYTES,
            read_only: false,
            show_streams: false,
            allow_other: false,
            log_file: None,
            log_level: LogLevel::Warn,
        }
    }

    /// The plan of a command line.
    pub(crate) fn of(dir: Option<PathBuf>, args: MountArgs) -> Result<Self, Error> {
        let mut directories = args.directories;
        let Some(mountpoint) = directories.pop() else {
            return Err(Error::usage("a mountpoint is missing"));
        };
        let pool_dir = match (dir, directories.pop()) {
            (Some(_), Some(_)) => {
                return Err(Error::usage("the pool directory is given twice")
                    .with_hint("give either --dir DIR or POOL_DIR"));
            }
            (Some(dir), None) | (None, Some(dir)) => dir,
            (None, None) => plasmite_core::default_pool_dir()?,
        };
        Ok(Self {
            pool_size: args.pool_size,
            read_only: args.read_only,
            show_streams: args.show_streams,
            allow_other: args.allow_other,
            log_file: args.log_file.map(absolute),
            log_level: args.log_level,
            ..Self::new(pool_dir, mountpoint)
        })
    }

    /// The arguments that give this plan again.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let level = self.log_level.to_possible_value();
        let mut arguments: Vec<OsString> = vec![
            "mount".into(),
            format!("--pool-size={}", self.pool_size).into(),
            format!("--log-level={}", level.as_ref().map_or("warn", |l| l.get_name())).into(),
        ];
        let flags = [
            (self.read_only, "--read-only"),
            (self.show_streams, "--show-streams"),
            (self.allow_other, "--allow-other"),
        ];
        arguments.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag.into()));
        if let Some(file) = &self.log_file {
            arguments.extend(["--log-file".into(), file.into()]);
        }
        arguments.extend(["--".into(), (&self.pool_dir).into(), (&self.mountpoint).into()]);
        arguments
    }

    /// The options for the mount itself.
    pub(crate) fn options(&self) -> MountOptions {
        let mut options = MountOptions::new(&self.pool_dir, &self.mountpoint);
        options.pool_size_bytes = self.pool_size;
        options.read_only = self.read_only;
        options.show_streams = self.show_streams;
        options.allow_other = self.allow_other;
        options
    }
}

/// The path as it is right in any other directory.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Verb};
    use clap::Parser as _;

    #[test]
    fn the_arguments_of_a_plan_give_the_plan() {
        let plain = Plan::new("/p".into(), "/m".into());
        let full = Plan {
            pool_size: 1 << 30,
            read_only: true,
            show_streams: true,
            allow_other: true,
            log_file: Some("/l -x".into()),
            log_level: LogLevel::Debug,
            ..Plan::new("/-p q".into(), "/m".into())
        };
        for plan in [plain, full] {
            let args = std::iter::once(OsString::from("plasmite")).chain(plan.arguments());
            let Verb::Mount(args) = Cli::try_parse_from(args).unwrap().verb else { panic!() };
            assert_eq!(Plan::of(None, args).unwrap(), plan);
        }
    }
}
