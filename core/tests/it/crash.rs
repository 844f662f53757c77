//! Death at every instruction of an append: a child is led through it step by step (ptrace(2)) and killed.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use plasmite_core::{Durability, Pool, Seq};

use crate::concurrency::{receipts, writer_args};
use crate::support::{Dir, KIB, check_document, child, document, put};

/// The child's part: stops itself, appends one document, stops again.
pub fn stepper(path: &Path, with_heir: bool) {
    let pool = Pool::open(path).unwrap();
    let n = crate::process::number("COUNT");
    let text = document(9, n, crate::process::number("LEN") as usize);
    let flush = crate::process::number("FLUSH") == 1;
    let durability = if flush { Durability::Flush } else { Durability::Fast };
    // Everything that happens once per process is done before.
    put(&pool, &document(8, n, 10));
    unsafe {
        if with_heir && libc::fork() == 0 {
            // Until the test closes the pipe to it.
            let mut byte = 0u8;
            libc::read(0, (&raw mut byte).cast(), 1);
            libc::_exit(0);
        }
        println!("@{}", libc::gettid());
        libc::ptrace(libc::PTRACE_TRACEME);
        libc::raise(libc::SIGSTOP);
    }
    pool.append(text.as_bytes(), crate::support::NO_TAGS, durability).unwrap();
    unsafe { libc::raise(libc::SIGSTOP) };
}

pub struct Stepped {
    child: Child,
    tid: libc::pid_t,
}

impl Stepped {
    /// Leads a child up to its append. The calling thread is its tracer and does all the rest.
    fn start(path: &Path, n: u64, len: u64, flush: bool) -> Self {
        Self::start_as("stepper", path, n, len, flush)
    }

    pub fn start_as(role: &str, path: &Path, n: u64, len: u64, flush: bool) -> Self {
        let mut child = child(role, path, &writer_args(0, n, len, 0, flush));
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        while !line.contains('@') {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0);
        }
        let tid = line.trim().split_once('@').unwrap().1.parse().unwrap();
        let stepped = Self { child, tid };
        assert_eq!(stepped.wait(), Some(libc::SIGSTOP));
        stepped
    }

    /// The signal it stopped with; None when it ended.
    fn wait(&self) -> Option<i32> {
        let mut status = 0;
        // ECHILD: the thread said its number and is not traced yet.
        while unsafe { libc::waitpid(self.tid, &raw mut status, libc::__WALL) } == -1 {
            std::thread::yield_now();
        }
        libc::WIFSTOPPED(status).then(|| libc::WSTOPSIG(status))
    }

    /// Runs one instruction; false at the end of the append.
    pub fn step(&self) -> bool {
        unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, self.tid, 0, 0) };
        self.wait() == Some(libc::SIGTRAP)
    }

    /// Runs on to the next entry into a system call or return from one; false at the end.
    pub fn next_call(&self) -> bool {
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, self.tid, 0, 0) };
        self.wait().is_some_and(|signal| signal & 0x7f == libc::SIGTRAP)
    }

    /// Runs on to the return from one of these system calls; false at the end.
    pub fn up_to_call(&self, numbers: &[libc::c_long]) -> bool {
        while let Some(number) = self.next_entered() {
            if numbers.contains(&number) {
                return self.next_call();
            }
        }
        false
    }

    /// Runs on to the next entry into a system call: its number. None at the end.
    pub fn next_entered(&self) -> Option<libc::c_long> {
        // Only so does the kernel tell system calls from other stops.
        let options = libc::PTRACE_O_TRACESYSGOOD;
        unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, self.tid, 0, options) };
        while self.next_call() {
            let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
            let size = std::mem::size_of_val(&info);
            unsafe {
                libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, self.tid, size, &raw mut info);
            }
            if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                return Some(unsafe { info.u.entry.nr } as libc::c_long);
            }
        }
        None
    }

    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        unsafe { libc::waitpid(self.tid, std::ptr::null_mut(), libc::__WALL) };
        let _ = self.child.wait();
    }
}

/// After the death: what was committed before is there, the message is there whole or not at all, and the next append goes
/// on at once. Returns whether it was there.
fn check_after(pool: &Pool, before: Seq, n: u64, len: u64) -> bool {
    let bounds = pool.bounds().unwrap();
    let there = bounds.newest > before;
    assert!(bounds.newest <= before.next(), "{bounds:?} after {before}");
    for seq in bounds.oldest.get()..=bounds.newest.get() {
        let message = pool.get(Seq::new(seq)).unwrap();
        check_document(message.data());
    }
    if there {
        assert_eq!(pool.get(bounds.newest).unwrap().data(), document(9, n, len as usize));
    }
    let start = Instant::now();
    assert_eq!(put(pool, &document(7, n, 50)).seq, bounds.newest.next());
    // The promise is 100 ms; a shared machine may add to it, a lost lock would end in Busy after 2 s.
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    there
}

fn die_at_every(stride: usize, len: u64, flush: bool, fill: bool) {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    let (mut not_there, mut there, mut n, mut at) = (0, 0, 0, 0);
    loop {
        n += 1;
        while fill && pool.bounds().unwrap().oldest == Seq::FIRST {
            put(&pool, &document(1, n, 200));
        }
        let stepped = Stepped::start(&dir.path("p"), n, len, flush);
        let before = pool.bounds().unwrap().newest;
        let alive = (0..at).all(|_| stepped.step());
        stepped.kill();
        match check_after(&pool, before, n, len) {
            true => there += 1,
            false => not_there += 1,
        }
        if !alive {
            break;
        }
        at += stride;
    }
    assert!(not_there > 10 && there > 0, "{not_there} deaths before the commit, {there} after");
}

#[test]
fn death_at_any_instruction_of_an_append_on_a_ring_with_room() {
    die_at_every(151, 100, false, false);
}

#[test]
fn death_at_any_instruction_of_an_append_that_evicts() {
    die_at_every(233, 700, false, true);
}

#[test]
fn death_at_any_instruction_of_an_append_that_flushes_and_evicts() {
    die_at_every(211, 300, true, true);
}

/// A child that stands in the middle of an append, stopped, with the lock in its hands.
pub struct Holder(Stepped);

impl Holder {
    pub fn pid(&self) -> u32 {
        self.0.child.id()
    }

    pub fn go_on(mut self) {
        unsafe {
            libc::ptrace(libc::PTRACE_DETACH, self.0.tid, 0, 0);
            libc::kill(self.0.child.id() as libc::pid_t, libc::SIGCONT);
        }
        // Its second stop of itself may come after the first SIGCONT.
        while self.0.child.try_wait().unwrap().is_none() {
            unsafe { libc::kill(self.0.child.id() as libc::pid_t, libc::SIGCONT) };
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub fn stopped_in_the_lock(path: &Path) -> Holder {
    let stepped = Stepped::start(path, 1, 100, false);
    step_into_the_lock(&stepped, path);
    Holder(stepped)
}

fn step_into_the_lock(stepped: &Stepped, path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    let mut word = [0; 4];
    while word == [0; 4] {
        assert!(stepped.step(), "the append ended without taking the lock");
        file.read_exact_at(&mut word, 512).unwrap();
    }
}

#[test]
fn writers_killed_at_random_lose_nothing_that_they_had_acknowledged() {
    let dir = Dir::new();
    let pool = dir.pool("p", 512 * KIB);
    let mut tail = pool.tail(Default::default()).unwrap();
    let mut seen = std::collections::HashMap::new();
    let mut acknowledged = Vec::new();
    for round in 0..40u64 {
        let mut children: Vec<_> = (0..3)
            .map(|i| {
                child(
                    "writer",
                    &dir.path("p"),
                    &writer_args(round * 3 + i, 1_000_000, 10, 300, false),
                )
            })
            .collect();
        std::thread::sleep(Duration::from_millis(5 + round % 7 * 3));
        for (i, c) in children.iter_mut().enumerate() {
            c.kill().unwrap();
            let who = round * 3 + i as u64;
            acknowledged.extend(receipts(c).into_iter().map(|(n, seq)| (seq, who, n)));
            c.wait().unwrap();
        }
        while let Some(message) = tail.try_next().unwrap() {
            seen.insert(message.seq().get(), check_document(message.data()));
        }
        put(&pool, &document(0, 0, 1));
    }
    let mut lost_to_the_ring = 0;
    for (seq, who, n) in &acknowledged {
        match seen.get(seq) {
            Some(found) => assert_eq!(found, &(*who, *n)),
            None => lost_to_the_ring += 1,
        }
    }
    assert!(acknowledged.len() > 100, "{} acknowledged", acknowledged.len());
    assert!(lost_to_the_ring <= tail.dropped(), "{lost_to_the_ring} of {}", acknowledged.len());
}

#[test]
fn a_forked_child_is_a_writer_of_its_own() {
    // In a process without other threads, where fork is safe.
    let dir = Dir::new();
    let pool = dir.pool("p", 512 * KIB);
    let status = child("forker", &dir.path("p"), &[]).wait_with_output().unwrap().status;
    assert!(status.success());
    let mut per_writer = std::collections::HashMap::new();
    for seq in 1..=pool.bounds().unwrap().newest.get() {
        let (w, n) = check_document(pool.get(Seq::new(seq)).unwrap().data());
        assert_eq!(per_writer.insert(w, n).unwrap_or(0) + 1, n);
    }
    assert_eq!(
        per_writer
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .collect::<Vec<_>>(),
        [(1, 300), (2, 300), (3, 300)]
    );
}

/// A process that appends, forks two children that do too, and does so beside them.
pub fn forker(path: &Path) {
    let pool = Pool::open(path).unwrap();
    put(&pool, &document(1, 1, 10));
    let append = |w: u64, from: u64| {
        (from..=300).for_each(|n| {
            put(&pool, &document(w, n, 10));
        })
    };
    let children: Vec<_> = [2, 3]
        .into_iter()
        .map(|w| match unsafe { libc::fork() } {
            0 => {
                append(w, 1);
                unsafe { libc::_exit(0) }
            }
            pid => pid,
        })
        .collect();
    append(1, 2);
    for pid in children {
        let mut status = 0;
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
    }
}

#[test]
fn a_dead_writer_whose_forked_child_lives_on_is_replaced() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    // Its forked child keeps the parent's open file description, and so the lock on its place.
    let stepped = Stepped::start_as("stepper_with_heir", &dir.path("p"), 1, 100, false);
    step_into_the_lock(&stepped, &dir.path("p"));
    stepped.kill();
    let start = Instant::now();
    put(&pool, "{}");
    assert!(start.elapsed() < Duration::from_secs(1));
}
