//! Who may do what, where the kernel does not check it: in a mount of its owner alone.
//!
//! There every caller is the user of this process, so this process' own rights decide. A pool that is open already, or
//! pages that the kernel keeps, are no way around them.

use super::Tree;
use crate::attr::Owner;
use crate::errno::{Errno, Reply};
use crate::pools::PoolDir;
use crate::sys;

/// What somebody is about to do with a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Read messages, enter the directory.
    Read,
    /// Append messages.
    Write,
}

impl Tree {
    /// The pool's owner, when the pool is there and the caller may do that; otherwise ESTALE or EACCES.
    pub(super) fn permit(&self, dir: &PoolDir, want: Want) -> Reply<Owner> {
        let owner = Owner::of(&dir.metadata()?);
        if self.settings.shared || permits(owner, dir, want) {
            Ok(owner)
        } else {
            Err(Errno::EACCES)
        }
    }

    /// The same for one who looks for something that is not there: who is in a directory whose pool has gone learns nothing else.
    pub(super) fn permit_looking(&self, dir: &PoolDir) -> Reply<()> {
        if self.settings.shared || permits(dir.owner()?, dir, Want::Read) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }
}

fn permits(owner: Owner, dir: &PoolDir, want: Want) -> bool {
    let bit = if want == Want::Read { 0o400 } else { 0o200 };
    if owner.uid == sys::euid() && owner.mode & bit != 0 {
        return true;
    }
    // Groups, access lists, and whether root may ignore modes, as it may not in every container: the system knows.
    dir.may_access(want == Want::Write)
}
