//! Where two processes run. Left to itself the scheduler moves them together and apart as it sees fit, and a wake-up costs many
//! times more between two CPUs than on one: all three are measured, each with its own limit.

#![allow(unsafe_code)]

use std::mem::{size_of, zeroed};

/// The CPUs of a process and of the one that it wakes.
#[derive(Clone, Copy)]
pub(crate) struct Cpus {
    allowed: libc::cpu_set_t,
    here: libc::cpu_set_t,
    there: libc::cpu_set_t,
}

impl Cpus {
    /// Where the scheduler puts them.
    pub(crate) fn any() -> Self {
        let allowed = allowed();
        Self { allowed, here: allowed, there: allowed }
    }

    /// One CPU for both.
    pub(crate) fn one() -> Self {
        let allowed = allowed();
        let first = set_of(members(&allowed).next().unwrap());
        Self { allowed, here: first, there: first }
    }

    /// A CPU for each. None where there is only one.
    pub(crate) fn two() -> Option<Self> {
        let allowed = allowed();
        let (here, there) = (members(&allowed).next()?, members(&allowed).last()?);
        (here != there).then(|| Self { allowed, here: set_of(here), there: set_of(there) })
    }

    /// Starts the other process in its place, and then takes its own.
    pub(crate) fn place<T>(&self, start: impl FnOnce() -> T) -> T {
        keep_to(&self.there);
        let started = start();
        keep_to(&self.here);
        started
    }

    /// Lets this process run anywhere again.
    pub(crate) fn release(&self) {
        keep_to(&self.allowed);
    }

    /// Has every thread of these processes run where the other process does, and this one in its own place, while `work` is done.
    pub(crate) fn with(&self, processes: &[u32], work: impl FnOnce()) {
        keep_all_to(processes, &self.there);
        keep_to(&self.here);
        work();
        keep_all_to(processes, &self.allowed);
        self.release();
    }
}

fn keep_all_to(processes: &[u32], set: &libc::cpu_set_t) {
    let tasks = processes.iter().map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")));
    for task in tasks.flat_map(Result::unwrap) {
        let thread = task.unwrap().file_name().to_str().unwrap().parse().unwrap();
        // One that has ended meanwhile needs no place.
        let _ = keep(thread, set);
    }
}

fn allowed() -> libc::cpu_set_t {
    // SAFETY: a set of bits, for which zeros are good; the call writes no more than its size.
    unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set), 0);
        set
    }
}

fn members(set: &libc::cpu_set_t) -> impl Iterator<Item = usize> + '_ {
    // SAFETY: the number is below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, set) })
}

fn set_of(cpu: usize) -> libc::cpu_set_t {
    // SAFETY: a set of bits, for which zeros are good; the number is below its size.
    unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    }
}

fn keep_to(set: &libc::cpu_set_t) {
    assert!(keep(0, set), "this thread can't be given a CPU");
}

/// Gives a thread, 0 for this one, its CPUs.
fn keep(thread: i32, set: &libc::cpu_set_t) -> bool {
    // SAFETY: the set lives through the call, which reads it.
    unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), set) == 0 }
}
