//! Readers of a small pool that turns over while a writer runs at full speed.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::fixture::{Done, Fixture, append, wait_for};

/// Appends `{"i":SEQ,…}` until it is dropped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// A writer whose numbers are the messages' own, that rests after so many messages, and has filled the pool already.
    fn start(f: &Fixture, burst: u64, rest: Duration) -> Self {
        let pool = f.pool();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for i in pool.bounds().unwrap().newest.get() + 1.. {
                append(
                    &pool,
                    &format!("{{\"i\":{i},\"pad\":\"{}\"}}", "z".repeat(i as usize % 50)),
                );
                if i % burst == 0 {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    std::thread::sleep(rest);
                }
            }
        });
        let pool = f.pool();
        wait_for("the pool to turn over", || pool.bounds().unwrap().oldest.get() > 1);
        Self { stop, thread: Some(thread) }
    }

    pub(crate) fn full_speed(f: &Fixture) -> Self {
        Self::start(f, 1000, Duration::ZERO)
    }

    /// A writer to whose last message programs come: one comes to the end of a growing file only if it is faster than what makes
    /// it grow.
    pub(crate) fn paced(f: &Fixture) -> Self {
        Self::start(f, 20, Duration::from_millis(10))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The seqs of whole lines; what is wrong with the first that is not whole.
pub(crate) fn seqs(text: &str) -> Result<Vec<u64>, String> {
    let whole = |line: &str| {
        let seq: u64 = line.strip_prefix("{\"seq\":")?.split(',').next()?.parse().ok()?;
        let data =
            format!("\"data\":{{\"i\":{seq},\"pad\":\"{}\"}}}}", "z".repeat(seq as usize % 50));
        line.ends_with(&data).then_some(seq)
    };
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(format!("cut at the end: {}", &text[text.len().saturating_sub(200)..]));
    }
    text.lines().map(|line| whole(line).ok_or_else(|| format!("torn: {line}"))).collect()
}

/// Without what those find who look back at lines that are gone.
pub(crate) fn without_blanks(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.trim().is_empty()).collect()
}

const READERS: &[&str] = &[
    "cat docs/log",
    "head -n 30 docs/log",
    "tail -n +3 docs/log",
    "grep . docs/log",
    "rg -N . docs/log",
    "jq -c . docs/log",
    "sed -n p docs/log",
    "mawk 1 docs/log",
    "gawk 1 docs/log",
    "perl -ne print docs/log",
    "cp docs/log $OUT/copy && cat $OUT/copy",
    "dd if=docs/log bs=333 status=none",
    "dd if=docs/log bs=1M status=none",
    "xargs -a docs/log -d '\\n' printf '%s\\n'",
    "python3 -c 'for line in open(\"docs/log\"): print(line, end=\"\")'",
    "python3 -c 'import sys; sys.stdout.write(open(\"docs/log\").read())'",
    "node -e 'fs.createReadStream(\"docs/log\").pipe(process.stdout)'",
];

pub(crate) fn run(f: &Fixture, script: &str) -> Done {
    let out = tempfile::tempdir_in(f.root.path()).unwrap();
    f.sh(&format!(
        "export OUT={}; exec timeout 120 bash -c {}",
        out.path().display(),
        quoted(script)
    ))
}

pub(crate) fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', "'\\''"))
}

/// SEMANTICS: An open log outlives its oldest messages
#[test]
fn every_program_reads_whole_lines_of_a_log_that_turns_over_and_comes_to_its_end() {
    let f = Fixture::sized(64 << 10);
    let _writer = Writer::paced(&f);
    let mut wrong = Vec::new();
    for script in READERS {
        let done = run(&f, script);
        let lines = seqs(&without_blanks(&done.out));
        let rises = lines.as_ref().is_ok_and(|l| !l.is_empty() && l.is_sorted_by(|a, b| a < b));
        if done.code != Some(0) || !done.err.is_empty() || !rises {
            wrong.push(format!(
                "{script}: {:?} {:?} {:?}",
                done.code,
                done.err,
                lines.map(|l| l.len())
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// SEMANTICS: The first read of a log has no gap
#[test]
fn a_fresh_reader_gets_a_run_of_messages_without_a_gap_however_fast_it_turns_over() {
    let f = Fixture::sized(64 << 10);
    let pool = f.pool();
    let _writer = Writer::full_speed(&f);
    for _ in 0..200 {
        let before = pool.bounds().unwrap();
        let text = f.sh("exec dd if=docs/log bs=64K count=1 status=none").ok();
        // One read may end within a line, as of any file.
        let lines = seqs(text.rfind('\n').map_or("", |end| &text[..=end])).unwrap();
        let after = pool.bounds().unwrap();
        assert!(lines.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap in {lines:?}");
        assert!(lines[0] >= before.oldest.get() && lines[lines.len() - 1] <= after.newest.get());
    }
}

/// Reads a file block by block from its end, as `tail -n` does, and prints it.
const BACKWARDS: &str = "
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size, text = os.fstat(fd).st_size, b''
while size > 0:
    block = size % 4096 or 4096
    size -= block
    text = os.pread(fd, block, size) + text
sys.stdout.buffer.write(text)";

/// SEMANTICS: An open log outlives its oldest messages
#[test]
fn who_reads_a_log_backwards_while_it_turns_over_gets_no_torn_line() {
    let f = Fixture::sized(64 << 10);
    fs::write(f.root.path().join("back.py"), BACKWARDS).unwrap();
    let _writer = Writer::full_speed(&f);
    for _ in 0..30 {
        let text = run(&f, "python3 -S $ROOT/back.py docs/log").ok();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let lines = seqs(&without_blanks(whole)).unwrap();
        assert!(!lines.is_empty() && lines.is_sorted_by(|a, b| a < b), "{lines:?}");
    }
}

/// Programs that read as many bytes as the size said when they began, not to the end.
const SIZED: &[&str] = &[
    "less docs/log",
    "{ head -n 3; tail -n 3; } < docs/log",
    "tail -n 30 docs/log",
    "tail -n 100000 docs/log",
    "tar cf $OUT/t docs/log 2> /dev/null; tar xOf $OUT/t",
    "python3 -c 'import os; o = os.open(os.environ[\"OUT\"] + \"/o\", os.O_CREAT | os.O_WRONLY); f = open(\"docs/log\")\nwhile os.sendfile(o, f.fileno(), None, 1 << 20): pass' && cat $OUT/o",
];

/// SEMANTICS: An open log outlives its oldest messages
#[test]
fn programs_that_go_by_the_size_may_end_within_a_line_and_tear_no_other() {
    let f = Fixture::sized(64 << 10);
    let _writer = Writer::full_speed(&f);
    for script in SIZED {
        let text = run(&f, script).ok();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let lines = seqs(&without_blanks(whole)).unwrap_or_else(|e| panic!("{script}: {e}"));
        assert!(!lines.is_empty() && lines.is_sorted_by(|a, b| a < b), "{script}: {lines:?}");
    }
}

/// What a program says of a file that goes while it walks the directory.
const WALKERS: &[(&str, &[i32], &str)] = &[
    ("cp -r docs $OUT/c", &[1], "No such file or directory"),
    ("cp -a docs $OUT/c", &[1], "No such file or directory"),
    ("rsync -a docs/ $OUT/c/", &[24], "vanished"),
    (
        "tar cf $OUT/t docs; r=$?; tar xf $OUT/t -C $OUT; exit $r",
        &[0, 1, 2],
        "File removed before we read it",
    ),
    ("mkdir $OUT/c; find docs -type f -exec cp {} $OUT/c \\;", &[0], "No such file or directory"),
    ("cat docs/* > /dev/null", &[1], "No such file or directory"),
    ("grep -r nowhere docs", &[2], "No such file or directory"),
    ("rg nowhere docs", &[2], "No such file or directory"),
    ("wc docs/*  > /dev/null", &[1], "No such file or directory"),
    ("md5sum docs/* > /dev/null", &[1], "No such file or directory"),
    ("jq . docs/* > /dev/null", &[2], "No such file or directory"),
    ("zip -qr $OUT/z.zip docs", &[0, 18], "No such file or directory"),
];

/// SEMANTICS: Messages that go during a walk are deleted files
#[test]
fn messages_that_go_during_a_walk_are_to_programs_files_that_were_deleted() {
    let f = Fixture::sized(64 << 10);
    let _writer = Writer::start(&f, 20, Duration::from_millis(1));
    for (script, codes, words) in WALKERS {
        wait_for(&format!("a message to go during {script}"), || {
            let out = tempfile::tempdir_in(f.root.path()).unwrap();
            let done = f.sh(&format!("export OUT={}; {script}", out.path().display()));
            for dir in ["c", "docs"] {
                let dir = out.path().join(dir);
                let Ok(copies) = fs::read_dir(&dir) else { continue };
                for copy in copies {
                    let copy = copy.unwrap();
                    let text = fs::read_to_string(copy.path()).unwrap();
                    let name = copy.file_name().into_string().unwrap();
                    assert_eq!(seqs(&text).map(|s| s[0].to_string()), Ok(name), "{script}");
                }
            }
            if done.err.is_empty() {
                return false;
            }
            let messages = |line: &&str| line.contains("docs/") && !line.contains("rsync error");
            let other = done.err.lines().filter(messages).find(|line| {
                // It had the file open, and asks for its attributes after the message has gone.
                let stale =
                    script.starts_with("tar") && line.ends_with("Cannot stat: Stale file handle");
                !line.contains(words) && !stale
            });
            assert_eq!(other, None, "{script}");
            assert!(done.code.is_some_and(|code| codes.contains(&code)), "{script}: {done:?}");
            true
        });
    }
}
