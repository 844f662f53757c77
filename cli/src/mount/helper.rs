//! The command as mount(8)'s helper: under the name `mount.plasmite` it takes what mount(8) passes on, so that a line in
//! fstab works.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use plasmite_core::{Error, ErrorKind};

use super::plan::Plan;
use crate::args::LogLevel;
use crate::errors;
use crate::units;

/// The names under which the command is a helper.
const NAMES: &[&str] = &["mount.plasmite", "mount.fuse.plasmite"];

/// Options that say what is so anyhow, or that are for others: mount(8), systemd, file managers.
const PASSED_OVER: &[&str] = &[
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "_rnetdev",
    "async",
    "dev",
    "nodev",
    "suid",
    "nosuid",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "default_permissions",
];

/// What mount(8) asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) plan: Plan,
    /// `-f`: everything but the mount itself.
    pub(crate) fake: bool,
}

/// The arguments, if the command was called as a helper.
pub(crate) fn arguments() -> Option<Vec<OsString>> {
    let mut arguments = std::env::args_os();
    let name = PathBuf::from(arguments.next()?);
    is_helper(&name).then(|| arguments.collect())
}

fn is_helper(name: &Path) -> bool {
    name.file_name().is_some_and(|name| NAMES.iter().any(|helper| name == *helper))
}

/// Reads `SOURCE DIRECTORY [-sfnv] [-o OPTIONS]`, in any order.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Asked, Error> {
    let mut places = Vec::new();
    let mut options = Vec::new();
    let (mut fake, mut sloppy) = (false, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(flags) = argument.to_str().and_then(|a| a.strip_prefix('-')) else {
            places.push(PathBuf::from(argument));
            continue;
        };
        for (at, flag) in flags.char_indices() {
            match flag {
                'f' => fake = true,
                's' => sloppy = true,
                // There is no table to leave out, and nothing more to say.
                'n' | 'v' => {}
                // The value stands behind it, or is the next argument.
                'o' | 't' => {
                    let here = &flags[at + 1..];
                    let value = if here.is_empty() {
                        rest.next().ok_or_else(|| usage(format!("-{flag} has no value")))?.clone()
                    } else {
                        here.into()
                    };
                    if flag == 'o' {
                        options.push(value);
                    }
                    break;
                }
                _ => return Err(usage(format!("unknown flag -{flag}"))),
            }
        }
    }
    let [source, mountpoint] = <[PathBuf; 2]>::try_from(places)
        .map_err(|p| usage(format!("a source and a directory are needed, {} given", p.len())))?;
    let mut plan = Plan::new(source, mountpoint);
    for option in options.iter().flat_map(|list| split(list)) {
        apply(&mut plan, &option?, sloppy)?;
    }
    Ok(Asked { plan, fake })
}

fn split(list: &OsStr) -> Vec<Result<String, Error>> {
    match list.to_str() {
        Some(list) => list.split(',').filter(|o| !o.is_empty()).map(|o| Ok(o.to_owned())).collect(),
        None => vec![Err(usage("the options are not UTF-8".to_owned()))],
    }
}

fn apply(plan: &mut Plan, option: &str, sloppy: bool) -> Result<(), Error> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let bad = |why: String| Error::usage(format!("option {option}: {why}"));
    match (name, value) {
        ("ro", None) => plan.read_only = true,
        ("rw", None) => plan.read_only = false,
        ("allow_other", None) => plan.allow_other = true,
        ("show_streams", None) => plan.show_streams = true,
        ("pool_size", Some(value)) => plan.pool_size = units::size(value).map_err(bad)?,
        ("log_file", Some(value)) if value.starts_with('/') => plan.log_file = Some(value.into()),
        ("log_file", _) => return Err(bad("name a file by its whole path".to_owned())),
        ("log_level", Some(value)) => {
            plan.log_level = LogLevel::from_str(value, false)
                .map_err(|_| bad("write off, error, warn, info or debug".to_owned()))?;
        }
        ("user", Some(_)) | ("comment", _) => {}
        (name, None) if PASSED_OVER.contains(&name) => {}
        (name, _) if name.starts_with("x-") || name.starts_with("X-") => {}
        _ if sloppy => {}
        _ => {
            return Err(Error::usage(format!("unknown option {option}")).with_hint(
                "there are ro, rw, allow_other, show_streams, pool_size=SIZE, log_file=FILE, log_level=LEVEL, and what mount(8) and systemd take for themselves",
            ));
        }
    }
    Ok(())
}

fn usage(message: String) -> Error {
    Error::usage(message)
        .with_hint("usage: mount.plasmite POOL_DIR MOUNTPOINT [-sfnv] [-o OPTIONS]")
}

/// The exit code that mount(8) has for it.
pub(crate) fn code(error: &Error) -> u8 {
    code_of(errors::code(error))
}

/// The exit code that mount(8) has for one of ours.
pub(crate) fn code_of(code: u8) -> u8 {
    const WRONG_CALL: u8 = 1;
    const MOUNT_FAILURE: u8 = 32;
    if i32::from(code) == ErrorKind::Usage.code() { WRONG_CALL } else { MOUNT_FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Asked, Error> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn plan() -> Plan {
        Plan::new("/p".into(), "/m".into())
    }

    #[test]
    fn what_mount_passes_on_is_understood() {
        let asked =
            parsed(&["/p", "/m", "-o", "rw,noauto,x-systemd.automount,_netdev,nofail"]).unwrap();
        assert_eq!(asked, Asked { plan: plan(), fake: false });
        let full = Plan {
            read_only: true,
            allow_other: true,
            show_streams: true,
            pool_size: 64 << 20,
            log_file: Some("/l".into()),
            log_level: LogLevel::Info,
            ..plan()
        };
        let options = "ro,allow_other,,show_streams,pool_size=64M,log_file=/l,log_level=info,user=me,comment=x";
        assert_eq!(parsed(&["/p", "/m", "-n", "-o", options]).unwrap().plan, full);
        assert_eq!(parsed(&["-vo", options, "/p", "/m"]).unwrap().plan, full);
        assert_eq!(parsed(&[&format!("-o{options}"), "/p", "/m"]).unwrap().plan, full);
        assert!(parsed(&["/p", "/m", "-fs", "-t", "plasmite"]).unwrap().fake);
        assert!(!parsed(&["/p", "/m", "-o", "ro,rw"]).unwrap().plan.read_only);
    }

    #[test]
    fn what_is_unknown_is_refused_by_its_name_unless_that_was_asked_for() {
        for option in ["sync", "colour=red", "ro=1", "pool_size", "remount"] {
            let error = parsed(&["/p", "/m", "-o", option]).unwrap_err();
            assert!(error.message().contains(option), "{error:?}");
            assert_eq!(code(&error), 1);
            assert!(parsed(&["/p", "/m", "-s", "-o", option]).is_ok());
        }
        for option in ["pool_size=big", "log_level=loud", "log_file=here"] {
            let error = parsed(&["/p", "/m", "-s", "-o", option]).unwrap_err();
            assert!(error.message().contains(option), "{error:?}");
        }
        for wrong in
            [&["/p"][..], &[], &["/p", "/m", "/x"], &["/p", "/m", "-q"], &["/p", "/m", "-o"]]
        {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_name_decides() {
        assert!(is_helper(Path::new("/sbin/mount.plasmite")));
        assert!(is_helper(Path::new("mount.fuse.plasmite")));
        assert!(!is_helper(Path::new("/usr/bin/plasmite")));
    }
}
