//! `plasmite mount` and `plasmite unmount`.

mod background;
mod helper;
mod logging;
mod notify;
mod plan;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use plasmite_core::{Error, ErrorKind};
use plasmite_fusefs::{Mount, Unmounter};
use rustix::fs::Mode;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::{MountArgs, UnmountArgs};
use crate::errors::{Failure, INTERRUPTED, Outcome, SUCCESS, report};
use crate::output;
use crate::signals;
use notify::Manager;
use plan::Plan;

pub(crate) fn mount(dir: Option<PathBuf>, args: MountArgs) -> Outcome {
    let (in_background, detached) = (args.background, args.detached);
    let plan = Plan::of(dir, args)?;
    if in_background { background::start(&plan) } else { serve(&plan, detached) }
}

pub(crate) fn unmount(args: &UnmountArgs) -> Outcome {
    if args.lazy {
        plasmite_fusefs::unmount_lazily(&args.mountpoint)?;
    } else {
        plasmite_fusefs::unmount(&args.mountpoint)?;
    }
    Ok(SUCCESS)
}

/// Does what mount(8) asks for, if it was mount(8) that called.
pub(crate) fn as_helper() -> Option<Outcome> {
    let arguments = helper::arguments()?;
    let outcome = helper::parse(&arguments)
        .map_err(Failure::from)
        .and_then(|asked| if asked.fake { Ok(SUCCESS) } else { background::start(&asked.plan) });
    Some(match outcome {
        Err(Failure::Error(error)) => {
            report(&error);
            Ok(helper::code(&error))
        }
        // The process that serves has said why.
        Ok(code) if code != SUCCESS => Ok(helper::code_of(code)),
        other => other,
    })
}

/// Mounts, and serves until somebody unmounts.
fn serve(plan: &Plan, detached: bool) -> Outcome {
    logging::start(plan.log_file.as_deref(), plan.log_level)?;
    if detached {
        background::leave_terminal();
    }
    // Before the mount is there, so that no signal can leave it behind.
    let signals = unmount_signals()?;
    let manager = Manager::from_env();
    let mount = Mount::start(plan.options())?;
    // Pools are nobody else's until they are given to their makers.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    unmount_on(signals, mount.unmounter(), manager.clone())?;
    let status = format!("{} is mounted at {}", plan.pool_dir.display(), plan.mountpoint.display());
    log::info!("{status}");
    if detached {
        if let Err(error) = background::ready() {
            mount.unmounter().unmount()?;
            return Err(error.into());
        }
    } else {
        output::talk(&welcome(&plan.pool_dir, &plan.mountpoint));
    }
    manager.ready(&status);
    mount.wait()?;
    log::info!("{} is unmounted", plan.mountpoint.display());
    Ok(SUCCESS)
}

fn unmount_signals() -> Result<Signals, Error> {
    let mut wanted = vec![SIGINT, SIGTERM];
    // Under nohup a hang-up is no reason to end.
    if !signals::ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    Signals::new(wanted).map_err(|e| cannot_prepare(&e))
}

/// Unmounts at the first signal; the next one ends the process at once.
fn unmount_on(mut signals: Signals, unmounter: Unmounter, manager: Manager) -> Result<(), Error> {
    let wait = move || {
        let mut unmounted = false;
        for signal in signals.forever() {
            log::info!("unmounting: signal {signal}");
            manager.stopping();
            if unmounted {
                std::process::exit(i32::from(INTERRUPTED));
            }
            match unmounter.unmount() {
                Ok(()) => unmounted = true,
                // Somebody else was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => unmounted = true,
                Err(error) => report(&error),
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(drop)
        .map_err(|e| cannot_prepare(&e))
}

fn cannot_prepare(error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot prepare for signals: {error}"))
}

fn welcome(pool_dir: &Path, mountpoint: &Path) -> String {
    let dir = quoted(pool_dir);
    let at = quoted(mountpoint);
    let is_default = plasmite_core::default_pool_dir().is_ok_and(|default| default == pool_dir);
    let dir_option = if is_default { String::new() } else { format!(" --dir {dir}") };
    format!(
        "The pools of {dir} are directories in {at} now. Try, in another terminal:
  mkdir {at}/docs
  echo '{{\"hello\":\"world\"}}' > {at}/docs/first.json
  cat {at}/docs/1
  plasmite follow docs --tail 10{dir_option}
Ctrl-C unmounts; the pools stay."
    )
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    output::printable(&format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn the_welcome_shows_the_real_paths() {
        let text = welcome(Path::new("/srv/my pools"), Path::new("/mnt/p"));
        assert!(text.contains("mkdir /mnt/p/docs"), "{text}");
        assert!(text.contains("--dir '/srv/my pools'"), "{text}");
    }
}
