//! Root that is kept out by file modes as everybody else is.

use rustix::thread::{
    CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities,
};

/// Makes file modes count for this process and all that it starts, also when it is root.
///
/// Another user id would do the same, but such a user may not reach the workdir, which lies wherever the manifest does.
/// Must come before the first thread.
///
/// # Errors
/// The system refuses to take the privilege away.
pub(crate) fn obey_file_modes() -> Result<(), String> {
    let privileges = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    let fail = |e: rustix::io::Errno| format!("cannot give up root's right to ignore modes: {e}");
    let mut sets = capabilities(None).map_err(fail)?;
    if !sets.permitted.intersects(privileges) {
        return Ok(());
    }
    // What a program gets that root starts is limited by the bounding set.
    for privilege in privileges.iter() {
        remove_capability_from_bounding_set(privilege).map_err(fail)?;
    }
    sets.effective.remove(privileges);
    sets.permitted.remove(privileges);
    sets.inheritable.remove(privileges);
    set_capabilities(None, sets).map_err(fail)
}
