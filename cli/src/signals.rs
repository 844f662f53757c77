//! What signals do to the command.

use std::fs;
use std::sync::atomic::AtomicBool;

use plasmite_core::{Error, ErrorKind};
use signal_hook::consts::SIGINT;

use crate::errors::INTERRUPTED;

/// Ctrl-C ends the process at once, wherever it waits, with exit code 130. A pool survives that at any instruction.
pub(crate) fn exit_on_interrupt() -> Result<(), Error> {
    static ALWAYS: AtomicBool = AtomicBool::new(true);
    signal_hook::flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), &ALWAYS)
        .map(drop)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot prepare for Ctrl-C: {e}")))
}

/// True when whoever started us has this signal ignored, as nohup does with SIGHUP.
pub(crate) fn ignored(signal: i32) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

fn ignores(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    u32::try_from(signal - 1).ok().and_then(|bit| mask.checked_shr(bit)).is_some_and(|m| m & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::{SIGHUP, SIGTERM};

    #[test]
    fn ignored_signals_are_bits_of_the_mask() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
        assert!(ignores(status, SIGHUP));
        assert!(!ignores(status, SIGINT));
        assert!(!ignores(status, SIGTERM));
        assert!(!ignores("", SIGHUP));
        assert!(!ignores(status, 0));
        assert!(!ignores(status, 99));
    }
}
