//! What appending and reading do without: memory from the allocator, system calls, and the lock while a text is checked.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use plasmite_core::json::{self, Document};
use plasmite_core::{
    Batch, Durability, ErrorKind, Message, OpenOptions, Pool, Receipt, Tail, TailOptions, Timestamp,
};

use crate::crash::{Stepped, stopped_in_the_lock};
use crate::support::{Dir, KIB, NO_TAGS};

/// The system's allocator, which counts for each thread what it is asked for.
pub struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
    static HELD_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(more_bytes: isize) {
    // A thread that is ending has no count.
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
    hold(more_bytes);
}

fn hold(more_bytes: isize) {
    let _ = HELD_BYTES.try_with(|held| held.set(held.get() + more_bytes));
}

// SAFETY: the system's allocator does everything.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        count(new.cast_signed() - layout.size().cast_signed());
        unsafe { System.realloc(at, layout, new) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        hold(-layout.size().cast_signed());
        unsafe { System.dealloc(at, layout) }
    }
}

/// Everything that is done often.
struct HotPaths {
    pool: Pool,
    tail: Tail,
    dense: String,
    spaced: String,
    batch: Batch,
    receipts: Vec<Receipt>,
    message: Message,
}

impl HotPaths {
    fn new(path: &Path) -> Self {
        // Several times a second the system's clock tells a handle to look whether its file still has a name.
        let pool = OpenOptions::new().clock(|| Timestamp::from_nanos(1)).open(path).unwrap();
        let dense: String = (0..40).map(|n| format!("\"key{n}\":[{n},true,{n}.5],")).collect();
        let dense = format!("{{{dense}\"z\":\"é\"}}");
        let spaced = dense.replace(',', ", ").replace(':', ": ");
        Self {
            tail: pool.tail(TailOptions::default()).unwrap(),
            pool,
            dense,
            spaced,
            batch: Batch::new(),
            receipts: Vec::new(),
            message: Message::default(),
        }
    }

    fn run(&mut self) {
        let (dense, spaced) = (self.dense.as_bytes(), self.spaced.as_bytes());
        let pool = &self.pool;
        pool.append(dense, NO_TAGS, Durability::Fast).unwrap();
        pool.append(spaced, NO_TAGS, Durability::Fast).unwrap();
        pool.append(dense, &["a", "b"], Durability::Fast).unwrap();
        assert_eq!(Document::parse(spaced).unwrap().as_bytes(), dense);
        let document = Document::parse(dense).unwrap();
        pool.append_document(&document, NO_TAGS, Durability::Fast).unwrap();
        self.batch.clear();
        self.batch.push(&document, NO_TAGS).unwrap();
        self.batch.push(&document, &["a"]).unwrap();
        self.receipts.clear();
        pool.append_prepared(&self.batch, 0..2, Durability::Fast, &mut self.receipts).unwrap();
        let newest = pool.bounds().unwrap().newest;
        pool.get_into(newest, &mut self.message).unwrap();
        assert!(self.message.has_tags(&["a"]));
        while self.tail.try_next_into(&mut self.message).unwrap() {}
        assert_eq!(self.message.seq(), newest);
    }
}

#[test]
fn appends_and_reads_ask_for_no_memory() {
    let dir = Dir::new();
    drop(dir.pool("p", 64 * KIB));
    let mut paths = HotPaths::new(&dir.path("p"));
    (0..3).for_each(|_| paths.run());
    let before = ASKED.get();
    (0..100).for_each(|_| paths.run());
    assert_eq!(ASKED.get() - before, 0);
    assert_ne!(paths.pool.bounds().unwrap().oldest.get(), 1, "room was made too");
    drop(vec![0; 8]);
    assert_eq!(ASKED.get() - before, 1, "whatever asks is counted");
}

#[test]
fn documents_of_a_batch_hold_no_memory_for_what_follows_them() {
    let text = format!("[{}]", vec![r#"{ "a": 1 }"#; 10_000].join(", "));
    let before = HELD_BYTES.get();
    let documents = json::documents(text.as_bytes()).unwrap();
    assert_eq!(documents.len(), 10_000);
    let held = HELD_BYTES.get() - before;
    assert!((70_000..2_000_000).contains(&held), "{held} bytes for {} of text", text.len());
}

/// Marks the beginning and the end, and is made by nothing else here.
const MARK: libc::c_long = libc::SYS_getppid;

/// The child's part: does everything a hundred times, between two marks.
pub fn silent(path: &Path) {
    let mut paths = HotPaths::new(path);
    paths.run();
    let flush = crate::process::number("FLUSH") == 1;
    unsafe {
        println!("@{}", libc::gettid());
        libc::ptrace(libc::PTRACE_TRACEME);
        libc::raise(libc::SIGSTOP);
        libc::syscall(MARK);
    }
    (0..100).for_each(|_| paths.run());
    if flush {
        paths.pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap();
    }
    unsafe {
        libc::syscall(MARK);
        libc::raise(libc::SIGSTOP);
    }
}

#[test]
fn appends_and_reads_make_no_system_call() {
    let dir = Dir::new();
    drop(dir.pool("p", 64 * KIB));
    for (flush, is_silent) in [(false, true), (true, false)] {
        let stepped = Stepped::start_as("silent", &dir.path("p"), 0, 0, flush);
        assert!(stepped.up_to_call(&[MARK]));
        let next = stepped.next_entered();
        assert_eq!(next == Some(MARK), is_silent, "system call {next:?}");
    }
}

#[test]
fn a_text_is_checked_before_the_lock_is_asked_for() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let holder = stopped_in_the_lock(&dir.path("p"));
    let pool = pool.with_patience(Duration::from_millis(20));
    let refused = |text: &[u8]| pool.append(text, NO_TAGS, Durability::Fast).unwrap_err().kind();
    assert_eq!(refused(b"{\"a\":}"), ErrorKind::Usage);
    assert_eq!(refused(b"{}"), ErrorKind::Busy);
    holder.go_on();
    pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap();
}
