//! Rows of how long a blocked reader takes to be woken: where the scheduler puts it, on another CPU and on the writer's own.

use crate::cpus::Cpus;
use crate::processes;
use crate::python;
use crate::report::quantile;
use crate::rows::Bench;

pub(crate) fn rows(bench: &mut Bench) {
    placed(bench, Cpus::any(), &ANY_CPUS);
    if let Some(cpus) = Cpus::two() {
        placed(bench, cpus, &TWO_CPUS);
        spinning(bench, cpus);
    }
    placed(bench, Cpus::one(), &ONE_CPU);
}

/// The names of the rows.
struct Names {
    futex: &'static str,
    futex_p99: &'static str,
    awake: &'static str,
    awake_p99: &'static str,
    message: &'static str,
    /// What ctypes and the interpreter take without Plasmite.
    python_futex: &'static str,
    python: &'static str,
}

const ANY_CPUS: Names = Names {
    futex: "futex → awake, p50",
    futex_p99: "futex → awake, p99",
    awake: "append → awake, p50",
    awake_p99: "append → awake, p99",
    message: "append → message, p50",
    python_futex: "futex → awake, Python, p50",
    python: "append → message, Python, p50",
};

const TWO_CPUS: Names = Names {
    futex: "futex → awake, two CPUs, p50",
    futex_p99: "futex → awake, two CPUs, p99",
    awake: "append → awake, two CPUs, p50",
    awake_p99: "append → awake, two CPUs, p99",
    message: "append → message, two CPUs, p50",
    python_futex: "futex → awake, Python, two CPUs, p50",
    python: "append → message, Python, two CPUs, p50",
};

const ONE_CPU: Names = Names {
    futex: "futex → awake, one CPU, p50",
    futex_p99: "futex → awake, one CPU, p99",
    awake: "append → awake, one CPU, p50",
    awake_p99: "append → awake, one CPU, p99",
    message: "append → message, one CPU, p50",
    python_futex: "futex → awake, Python, one CPU, p50",
    python: "append → message, Python, one CPU, p50",
};

fn placed(bench: &mut Bench, cpus: Cpus, names: &Names) {
    let count = (bench.count / 200).max(200);
    let ups = processes::wake_ups(&bench.dir, count, cpus);
    bench.note(names.futex, quantile(&ups.futex, 0.5), None, None);
    bench.note_seen(names.futex_p99, 0.99, &ups.futex, None, None);
    let limit = Some((names.futex, 1.3));
    bench.note(names.awake, quantile(&ups.awake, 0.5), limit, None);
    let late = Some(100_000.0);
    bench.note_seen(names.awake_p99, 0.99, &ups.awake, Some(names.futex_p99), late);
    bench.note_beside(names.message, quantile(&ups.message, 0.5), names.futex, None);
    let python_futex = python::wake_floor(&bench.dir, count, cpus);
    bench.note(names.python_futex, python_futex, None, None);
    let python = python::wake_up(&bench.dir, count, cpus);
    bench.note(names.python, python, Some((names.python_futex, 2.0)), None);
}

/// A reader that does not sleep, beside a bare word that two processes look at.
fn spinning(bench: &mut Bench, cpus: Cpus) {
    let seen = processes::spins(&bench.dir, (bench.count / 200).max(200), cpus);
    let floor = "store → seen, spinning, two CPUs, p50";
    bench.note(floor, quantile(&seen.word, 0.5), None, None);
    let message = quantile(&seen.message, 0.5);
    bench.note_beside("append → message, spinning, two CPUs, p50", message, floor, Some(1000.0));
    let busy = quantile(&seen.busy, 0.5);
    let name = "append of a busy writer → message, spinning, two CPUs, p50";
    bench.note_beside(name, busy, floor, Some(1000.0));
    let floor_p99 = "store → seen, spinning, two CPUs, p99";
    bench.note_seen(floor_p99, 0.99, &seen.word, None, None);
    let name = "append → message, spinning, two CPUs, p99";
    bench.note_seen(name, 0.99, &seen.message, Some(floor_p99), None);
    let python = python::spin(&bench.dir, (bench.count / 200).max(200), cpus);
    bench.note_beside("append → message, Python, spinning, two CPUs, p50", python, floor, None);
}
