//! What this process does at signals (sigaction(2), signal(7)).

use std::{mem, ptr};

/// True when a signal may come to a handler that has system calls start again (SA_RESTART), where they would otherwise fail with
/// EINTR. Some sixty system calls. A handler that is set afterwards is not seen.
pub(crate) fn may_restart_calls() -> bool {
    // Those that an instruction of the thread itself brings about come to nobody who is in a system call.
    let own = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
    (1..=libc::SIGRTMAX()).filter(|signal| !own.contains(signal)).any(|signal| {
        // SAFETY: all zeros is a value of this structure, which sigaction fills; without a new action it changes nothing.
        let (result, action) = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            (libc::sigaction(signal, ptr::null(), &raw mut action), action)
        };
        let has_handler = ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction);
        result == 0 && has_handler && action.sa_flags & libc::SA_RESTART != 0
    })
}
