//! Who may do what, where the kernel does not check it: in a mount of its owner alone.
//!
//! There every caller is the user of this process, so this process' own rights decide. A pool that is open already, or
//! pages that the kernel keeps, are no way around them. Nor is a written name in a mount that others share: the kernel takes it for
//! its maker's, who may not append to the pool any more.

use std::fs::Metadata;

use super::{Caller, Tree};
use crate::attr::Owner;
use crate::errno::{Errno, Reply};
use crate::pools::PoolDir;
use crate::{procs, sys};

/// What somebody is about to do with a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Read messages, enter the directory.
    Read,
    /// Append messages.
    Write,
}

impl Tree {
    /// What the pool file is, when it is there and the caller may do that; otherwise ESTALE or EACCES.
    pub(super) fn permit(&self, dir: &PoolDir, want: Want) -> Reply<Metadata> {
        let facts = dir.metadata()?;
        if self.settings.shared || permits(Owner::of(&facts), dir, want) {
            Ok(facts)
        } else {
            Err(Errno::EACCES)
        }
    }

    /// The same for one who comes back to a written name in order to append.
    pub(super) fn permit_return(&self, dir: &PoolDir, caller: Caller) -> Reply<Metadata> {
        let facts = self.permit(dir, Want::Write)?;
        if !self.settings.shared
            || may_write(Owner::of(&facts), caller.uid, caller.gid, || procs::groups(caller.tid))
        {
            Ok(facts)
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

/// What the kernel says of a directory with the pool file's owner and mode. Groups of which nothing can be known do not count.
fn may_write(owner: Owner, uid: u32, gid: u32, groups: impl FnOnce() -> Vec<u32>) -> bool {
    let bit = if uid == 0 {
        return true;
    } else if uid == owner.uid {
        0o200
    } else if gid == owner.gid || groups().contains(&owner.gid) {
        0o020
    } else {
        0o002
    };
    owner.mode & bit != 0
}

fn permits(owner: Owner, dir: &PoolDir, want: Want) -> bool {
    let bit = if want == Want::Read { 0o400 } else { 0o200 };
    if owner.uid == sys::euid() && owner.mode & bit != 0 {
        return true;
    }
    // Groups, access lists, and whether root may ignore modes, as it may not in every container: the system knows.
    dir.may_access(want == Want::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pools_owner_its_group_and_others_have_a_bit_each() {
        let may = |mode, uid, gid, groups: &[u32]| {
            may_write(Owner { uid: 10, gid: 20, mode }, uid, gid, || groups.to_vec())
        };
        assert!(may(0o000, 0, 0, &[]), "root");
        assert!(may(0o600, 10, 1, &[]) && !may(0o466, 10, 20, &[20]));
        assert!(may(0o020, 11, 20, &[]) && may(0o020, 11, 1, &[5, 20]) && !may(0o020, 11, 1, &[5]));
        assert!(may(0o002, 11, 1, &[5]) && !may(0o602, 11, 20, &[]) && !may(0o664, 11, 1, &[]));
    }
}
