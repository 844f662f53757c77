use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;

use crate::fixture::{Fixture, append, wait_for};

fn fill(f: &Fixture, n: usize) {
    let pool = f.pool();
    for i in 1..=n {
        append(&pool, &format!("{{\"i\":{i},\"pad\":\"{}\"}}", "z".repeat(i % 50)));
    }
}

/// SEMANTICS: log is a true file
#[test]
fn the_log_is_a_true_file() {
    let f = Fixture::new();
    fill(&f, 2000);
    f.sh("cat docs/log > $ROOT/log").ok();
    let len = std::fs::metadata(f.root.path().join("log")).unwrap().len();
    assert_eq!(std::fs::metadata(f.docs().join("log")).unwrap().len(), len);
    for script in [
        "wc -c",
        "wc -l",
        "wc",
        "tail -n 3",
        "tail -n 1500",
        "tail -c 777",
        "head -n 5",
        "head -c 1000",
        "tac",
        "md5sum",
        "grep '\"i\":1999'",
        "sort -r",
        "tail -n +1990",
    ] {
        let [ours, theirs] =
            ["docs/log", "$ROOT/log"].map(|p| f.sh(&format!("{script} < {p}")).ok());
        assert_eq!(ours, theirs, "{script}");
        if script != "md5sum" && !script.starts_with("wc") {
            assert_eq!(f.sh(&format!("{script} docs/log")).ok(), theirs, "{script}");
        }
    }
    f.sh("cp docs/log $ROOT/cp && cmp $ROOT/cp $ROOT/log && dd if=docs/log of=$ROOT/dd bs=333 2>/dev/null && cmp $ROOT/dd $ROOT/log").ok();
    assert_eq!(
        f.sh("n=0; while read -r line; do n=$((n+1)); done < docs/log; echo $n").ok(),
        "2000\n"
    );
}

#[test]
fn tail_f_neither_repeats_nor_stops() {
    for option in ["-f", "-F"] {
        let f = Fixture::new();
        fill(&f, 3);
        let mut tail = f.spawn(&format!("exec tail -s 0.02 -n 2 {option} docs/log"));
        let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(
            [lines.next(), lines.next()].map(|l| l.unwrap().contains("\"seq\":3")),
            [false, true]
        );
        for i in 4..30 {
            append(&f.pool(), &format!("{{\"i\":{i}}}"));
            let line = lines.next().unwrap();
            assert!(line.starts_with(&format!("{{\"seq\":{i},")), "{option} {line}");
        }
    }
}

/// Sequence numbers only grow, every line is whole.
#[track_caller]
fn check_lines(text: &str, after: &mut u64) {
    for line in text.lines() {
        assert!(line.starts_with("{\"seq\":") && line.ends_with('}'), "torn: {line}");
        let seq: u64 = line[7..].split(',').next().unwrap().parse().unwrap();
        assert!(line.contains(&format!("\"data\":{{\"i\":{seq},")), "mixed: {line}");
        assert!(seq > *after, "{seq} after {after}");
        *after = seq;
    }
}

/// SEMANTICS: An open log outlives its oldest messages
#[test]
fn under_eviction_no_line_is_torn_and_no_size_shrinks() {
    let f = Fixture::sized(64 << 10);
    fill(&f, 500);
    let pool = f.pool();
    let path = f.docs().join("log");
    let mut open = File::open(&path).unwrap();
    let (mut i, mut last, mut size) = (500, 0, 0);
    let mut buffer = vec![0; 10_000];
    let mut text = Vec::new();
    while i < 20_000 {
        for _ in 0..300 {
            i += 1;
            append(&pool, &format!("{{\"i\":{i},\"pad\":\"{}\"}}", "z".repeat(i % 50)));
        }
        let now = open.metadata().unwrap().len();
        assert!(now >= size, "{now} after {size}");
        size = now;
        // A bit, from the middle of lines.
        let n = open.read(&mut buffer).unwrap();
        text.extend_from_slice(&buffer[..n]);
        // Fresh readers see exactly what is retained.
        let range = pool.log_range().unwrap();
        let fresh = std::fs::read_to_string(&path).unwrap();
        assert_eq!(fresh.len() as u64, range.end - range.start);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), fresh.len() as u64);
        check_lines(&fresh, &mut 0);
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), open.metadata().unwrap().ino());
    }
    open.read_to_end(&mut text).unwrap();
    check_lines(std::str::from_utf8(&text).unwrap(), &mut last);
    assert_eq!(last, i as u64);
    // Seeking back within what is retained still works on the old descriptor.
    let end = open.stream_position().unwrap();
    open.seek(SeekFrom::Start(end - 100)).unwrap();
    let mut again = Vec::new();
    open.read_to_end(&mut again).unwrap();
    assert_eq!(again, text[text.len() - 100..]);
}

/// SEMANTICS: An open log outlives its oldest messages
#[test]
fn tail_f_survives_eviction() {
    let f = Fixture::sized(64 << 10);
    fill(&f, 1000);
    let out = f.root.path().join("out");
    let mut tail = f.spawn("exec tail -s 0.01 -n 1 -F docs/log > $ROOT/out 2> $ROOT/err");
    wait_for("tail to start", || std::fs::metadata(&out).is_ok_and(|m| m.len() > 0));
    let pool = f.pool();
    for i in 1001..=30_000 {
        append(&pool, &format!("{{\"i\":{i},\"pad\":\"{}\"}}", "z".repeat(i % 50)));
    }
    wait_for("the last line", || {
        std::fs::read_to_string(&out).unwrap().ends_with("\"pad\":\"\"}}\n")
            && std::fs::read_to_string(&out).unwrap().contains("\"seq\":30000,")
    });
    let mut last = 999;
    check_lines(&std::fs::read_to_string(&out).unwrap(), &mut last);
    assert_eq!(last, 30_000);
    assert_eq!(std::fs::read_to_string(f.root.path().join("err")).unwrap(), "");
    tail.signal(15);
    tail.ends_soon();
}

/// SEMANTICS: log is a true file
#[test]
fn the_log_is_mapped_privately_only() {
    let f = Fixture::new();
    fill(&f, 3);
    for (flags, outcome) in [("MAP_SHARED", "ENODEV\n"), ("MAP_PRIVATE", "mapped\n")] {
        let script = format!(
            "import errno, mmap\nf = open('docs/log','rb')\ntry: mmap.mmap(f.fileno(), 0, flags=mmap.{flags}, prot=mmap.PROT_READ); print('mapped')\nexcept OSError as e: print(errno.errorcode[e.errno])"
        );
        assert_eq!(f.sh(&format!("python3 -c \"{script}\"")).ok(), outcome);
    }
}
