//! `plasmite mount` and `plasmite unmount`.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use plasmite_core::{Error, ErrorKind};
use plasmite_fusefs::{Mount, MountOptions, Unmounter};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::{MountArgs, UnmountArgs};
use crate::errors::{INTERRUPTED, Outcome, SUCCESS, report};
use crate::output;
use crate::signals;

pub(crate) fn mount(dir: Option<PathBuf>, args: MountArgs) -> Outcome {
    let pool_dir = match (dir, args.pool_dir) {
        (Some(_), Some(_)) => {
            return Err(Error::usage("the pool directory is given twice")
                .with_hint("give either --dir DIR or POOL_DIR")
                .into());
        }
        (Some(dir), None) | (None, Some(dir)) => absolute(dir),
        (None, None) => plasmite_core::default_pool_dir()?,
    };
    let mountpoint = absolute(args.mountpoint);
    let mut options = MountOptions::new(&pool_dir, &mountpoint);
    options.pool_size_bytes = args.pool_size;

    // Before the mount is there, so that no signal can leave it behind.
    let signals = unmount_signals()?;
    let mount = Mount::start(options)?;
    unmount_on(signals, mount.unmounter())?;
    output::talk(&welcome(&pool_dir, &mountpoint));
    mount.wait()?;
    Ok(SUCCESS)
}

pub(crate) fn unmount(args: &UnmountArgs) -> Outcome {
    plasmite_fusefs::unmount(&args.mountpoint)?;
    Ok(SUCCESS)
}

/// The path as it is right in any other terminal.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
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
fn unmount_on(mut signals: Signals, unmounter: Unmounter) -> Result<(), Error> {
    let wait = move || {
        let mut unmounted = false;
        for _ in signals.forever() {
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
