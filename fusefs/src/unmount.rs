//! Taking a mount away, from its own process or from another one.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use plasmite_core::{Error, ErrorKind, Result};

use crate::adapter::END_STREAMS;
use crate::mountinfo::{self, Mounted};
use crate::place::real_path;
use crate::procs::{self, User};
use crate::refusal::no_helper;
use crate::sync::small_thread;
use crate::sys::{self, Unmount};

/// How long after each other an unmount is tried while readers that were sent away still leave.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// How long it waits since the last of them has left.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same at the end of the daemon, which goes in any case.
const PATIENCE_AT_THE_END: Duration = Duration::from_millis(400);

/// Unmounts a mount of this crate, of a live or a dead daemon. Blocked readers get end of file.
///
/// # Errors
/// NotFound when nothing of ours is mounted there; Busy, naming them, when programs stay in it; otherwise what the system says.
pub fn unmount(mountpoint: &Path) -> Result<()> {
    let target = real_path(mountpoint);
    let mounted = ours_at(&target)?;
    if is_dead(&target) {
        return force(&target, &mounted);
    }
    match attempt(&target, PATIENCE, || end_streams(&target))? {
        Left::No => Ok(()),
        Left::Yes => Err(busy(&target)),
    }
}

/// Takes a mount of this crate out of the file system at once. Programs that are in it may go on with what they have open; the
/// daemon ends when the last one has left. Blocked readers get end of file.
///
/// # Errors
/// NotFound when nothing of ours is mounted there, otherwise what the system says.
pub fn unmount_lazily(mountpoint: &Path) -> Result<()> {
    let target = real_path(mountpoint);
    let mounted = ours_at(&target)?;
    if is_dead(&target) {
        return force(&target, &mounted);
    }
    end_streams(&target);
    detach(&target)
}

/// Unmounts although somebody may be in it, for the daemon that ends. `end_streams` gives every blocked reader end of file, and
/// tells how many files are open.
pub(crate) fn unmount_for_good(target: &Path, end_streams: impl Fn() -> u64) -> Result<()> {
    let mounted = ours_at(target)?;
    match attempt(target, PATIENCE_AT_THE_END, || Some(end_streams()))? {
        Left::No => Ok(()),
        Left::Yes => force(target, &mounted),
    }
}

/// Whether somebody has stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    No,
    Yes,
}

/// The mount at `target`, when it is one of this crate and may be unmounted by us.
fn ours_at(target: &Path) -> Result<Mounted> {
    let Some(mounted) = mountinfo::at(target).filter(Mounted::is_ours) else {
        return Err(Error::new(ErrorKind::NotFound, "no pools are mounted there")
            .with_path(target)
            .with_hint("`findmnt -t fuse.plasmite` shows where pools are mounted"));
    };
    let me = sys::euid();
    if me != 0 && mounted.user.is_some_and(|user| user != me) {
        return Err(Error::new(ErrorKind::Permission, "somebody else has mounted the pools there")
            .with_path(target)
            .with_hint("only the user who mounted, or root, may unmount"));
    }
    Ok(mounted)
}

/// True when the daemon is gone.
fn is_dead(target: &Path) -> bool {
    std::fs::metadata(target).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN))
}

/// Unmounts if nobody stays in it once the waiting readers have been sent away.
fn attempt(
    target: &Path,
    patience: Duration,
    end_streams: impl Fn() -> Option<u64>,
) -> Result<Left> {
    let mut leaving = Leaving::since(Instant::now());
    for round in 0_u32.. {
        if plain(target)? == Left::No {
            return Ok(Left::No);
        }
        // Those who come back, as a loop in a shell does, are sent away again.
        if round.is_multiple_of(5)
            && let Some(open) = end_streams()
        {
            leaving.note(open, Instant::now());
        }
        if leaving.stands_still(patience, Instant::now()) {
            break;
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    Ok(Left::Yes)
}

/// Whether those inside still leave. A thousand of them take as long as the machine lets them; those who come back do not
/// make it longer.
struct Leaving {
    fewest: u64,
    since: Instant,
}

impl Leaving {
    fn since(now: Instant) -> Self {
        Self { fewest: u64::MAX, since: now }
    }

    /// So many files are open now.
    fn note(&mut self, open: u64, now: Instant) {
        if open < self.fewest {
            *self = Self { fewest: open, since: now };
        }
    }

    /// True when nobody has left for so long.
    fn stands_still(&self, patience: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= patience
    }
}

fn plain(target: &Path) -> Result<Left> {
    match sys::unmount(target, Unmount::Plain) {
        Ok(()) => Ok(Left::No),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(Left::Yes),
        // Without the right to unmount, the helper does it; it says no more than that it could not.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Ok(if fusermount(target, &["-u"])? { Left::No } else { Left::Yes })
        }
        // The daemon has unmounted meanwhile.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Left::No),
        Err(error) => Err(Error::io("unmount", target, &error)),
    }
}

/// Ends the connection, so that nobody waits for an answer for ever; then out of the tree.
fn force(target: &Path, mounted: &Mounted) -> Result<()> {
    if sys::unmount(target, Unmount::Force).is_err() {
        // The connection belongs to the user who mounted, where the system shows it.
        let abort = format!("/sys/fs/fuse/connections/{}/abort", mounted.minor);
        let _ = std::fs::write(abort, "1");
    }
    detach(target)
}

fn detach(target: &Path) -> Result<()> {
    match sys::unmount(target, Unmount::Lazy) {
        Ok(()) => Ok(()),
        // An earlier call was enough.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            if fusermount(target, &["-u", "-z"])? {
                return Ok(());
            }
            Err(Error::new(ErrorKind::Permission, "fusermount3 could not unmount")
                .with_path(target)
                .with_hint("only the user who mounted, or root, may unmount"))
        }
        Err(error) => Err(Error::io("unmount", target, &error)),
    }
}

fn busy(target: &Path) -> Error {
    const SHOWN: usize = 5;
    let users = procs::users_of(target);
    let named: Vec<_> = users.iter().take(SHOWN).map(User::to_string).collect();
    let rest = users.len().saturating_sub(SHOWN);
    let message = match (named.is_empty(), rest) {
        // Without root's rights the programs of others can't be looked at.
        (true, _) => "programs of other users have files or directories of it open".to_owned(),
        (false, 0) => format!("in use by {}", named.join(", ")),
        (false, rest) => format!("in use by {} and {rest} more", named.join(", ")),
    };
    Error::new(ErrorKind::Busy, message)
        .with_path(target)
        .with_hint("end or leave them first; `plasmite unmount --lazy` takes the mount away at once and lets them finish")
}

/// Asks the daemon to give every blocked reader end of file, and how many files are open. None from a daemon that does not answer,
/// for which nobody waits.
fn end_streams(target: &Path) -> Option<u64> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (done, answer) = channel();
    let target = target.to_owned();
    small_thread("pool-unmount", move || {
        let _ = done.send(sys::xattr(&target, END_STREAMS));
    })
    .ok()?;
    let open = answer.recv_timeout(PATIENCE).ok()?.ok()?;
    std::str::from_utf8(&open).ok()?.parse().ok()
}

fn fusermount(target: &Path, options: &[&str]) -> Result<bool> {
    // A service's PATH may not name the usual places.
    for helper in ["fusermount3", "/usr/bin/fusermount3", "/bin/fusermount3"] {
        match Command::new(helper).args(options).arg("--").arg(target).output() {
            Ok(output) => return Ok(output.status.success()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("run fusermount3", target, &error)),
        }
    }
    Err(no_helper(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_lasts_as_long_as_somebody_leaves_and_no_longer() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut leaving = Leaving::since(start);
        assert!(!leaving.stands_still(PATIENCE, at(999)));
        assert!(leaving.stands_still(PATIENCE, at(1000)), "no answer at all");
        // A thousand readers that take a minute.
        for n in 0..1000 {
            leaving.note(1000 - n, at(60 * n));
            assert!(!leaving.stands_still(PATIENCE, at(60 * n + 59)));
        }
        // One that comes back again and again.
        for n in 0..100 {
            leaving.note(1 + n % 2, at(60_000 + 10 * n));
        }
        assert!(leaving.stands_still(PATIENCE, at(61_000)));
    }
}
