//! One CPU for each of two processes: how long a wake-up takes depends on where they are.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Where a process and the one that it wakes run.
pub(crate) struct Cpus {
    allowed: CpuSet,
    here: CpuSet,
    there: CpuSet,
}

impl Cpus {
    /// The first and the last that this process may run on: the same one where there is but one.
    pub(crate) fn two() -> Self {
        let allowed = sched_getaffinity(ME).unwrap();
        let members: Vec<usize> =
            (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap()).collect();
        let only = |cpu: Option<&usize>| {
            let mut set = CpuSet::new();
            set.set(*cpu.unwrap()).unwrap();
            set
        };
        Self { allowed, here: only(members.first()), there: only(members.last()) }
    }

    /// Starts the other process in its place, and then takes its own.
    pub(crate) fn place<T>(&self, start: impl FnOnce() -> T) -> T {
        sched_setaffinity(ME, &self.there).unwrap();
        let started = start();
        sched_setaffinity(ME, &self.here).unwrap();
        started
    }

    /// Lets this process run anywhere again.
    pub(crate) fn release(&self) {
        sched_setaffinity(ME, &self.allowed).unwrap();
    }
}

const ME: Pid = Pid::from_raw(0);
