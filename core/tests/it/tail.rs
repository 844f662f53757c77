use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use plasmite_core::{Durability, ErrorKind, GapPolicy, Pool, Seq, TailOptions};

use crate::support::{Dir, KIB, check_document, child, document, put};

const SHORT: Option<Duration> = Some(Duration::from_millis(20));

fn seqs(pool: &Pool, options: TailOptions) -> Vec<u64> {
    let mut tail = pool.tail(options).unwrap();
    std::iter::from_fn(|| tail.next(SHORT).unwrap().map(|m| m.seq().get())).collect()
}

#[test]
fn a_tail_starts_at_the_oldest_or_at_since_and_ends_at_max() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    (0..5).for_each(|_| {
        put(&pool, "{}");
    });
    let with = |since: Option<u64>, max| TailOptions {
        since: since.map(Seq::new),
        max,
        ..Default::default()
    };
    assert_eq!(seqs(&pool, with(None, None)), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&pool, with(Some(0), None)), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&pool, with(Some(4), None)), [4, 5]);
    assert_eq!(seqs(&pool, with(Some(2), Some(2))), [2, 3]);
    assert_eq!(seqs(&pool, with(None, Some(0))), [0u64; 0]);
    assert_eq!(seqs(&pool, with(Some(9), None)), [0u64; 0]);
}

#[test]
fn a_since_beyond_the_newest_is_waited_for() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let mut tail =
        pool.tail(TailOptions { since: Some(Seq::new(3)), ..Default::default() }).unwrap();
    put(&pool, "{}");
    put(&pool, "{}");
    assert!(tail.next(SHORT).unwrap().is_none());
    put(&pool, "{}");
    assert_eq!(tail.next(SHORT).unwrap().unwrap().seq().get(), 3);
}

#[test]
fn tags_filter_with_and() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    for tags in [&["a"][..], &["b", "a"], &["b"], &[], &["a", "b", "c"], &["ab"]] {
        pool.append(b"{}", tags, Durability::Fast).unwrap();
    }
    let with = |tags: &[&str]| TailOptions {
        tags: tags.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    assert_eq!(seqs(&pool, with(&["a"])), [1, 2, 5]);
    assert_eq!(seqs(&pool, with(&["a", "b"])), [2, 5]);
    assert_eq!(seqs(&pool, TailOptions { max: Some(2), ..with(&["b"]) }), [2, 3]);
}

#[test]
fn an_overtaken_reader_goes_on_or_is_told_once() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    put(&pool, "{}");
    let mut lenient = pool.tail(TailOptions::default()).unwrap();
    let strict =
        TailOptions { gap: GapPolicy::Error, tags: vec!["x".into()], ..Default::default() };
    let mut strict = pool.tail(strict).unwrap();
    (0..1000).for_each(|_| {
        put(&pool, "{}");
    });
    let oldest = pool.bounds().unwrap().oldest;
    assert_eq!(lenient.try_next().unwrap().unwrap().seq(), oldest);
    assert_eq!(lenient.dropped(), oldest.get() - 1);
    let error = strict.try_next().unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::RetentionGap, Some(Seq::FIRST)));
    assert!(strict.is_done());
    assert!(strict.next(None).unwrap().is_none());
}

#[test]
fn a_timeout_ends_a_wait_and_does_not_end_the_tail() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let mut tail = pool.tail(TailOptions::default()).unwrap();
    let start = Instant::now();
    assert!(tail.next(Some(Duration::from_millis(30))).unwrap().is_none());
    assert!(start.elapsed() >= Duration::from_millis(30));
    put(&pool, "{}");
    assert!(tail.next(Some(Duration::ZERO)).unwrap().is_some());
}

#[test]
fn sleeping_readers_of_other_processes_are_woken_for_each_message() {
    use std::io::{BufRead, BufReader};
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    for read_only in ["0", "1"] {
        let next = pool.bounds().unwrap().newest.get() + 1;
        let count = next - 1 + 20;
        let mut reader = child(
            "waiter",
            &dir.path("p"),
            &[("COUNT", count.to_string()), ("READ_ONLY", read_only.into())],
        );
        let mut lines = BufReader::new(reader.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .filter_map(|l| l.split_once('@').map(|(_, rest)| rest.to_owned()));
        assert_eq!(lines.next().unwrap(), "ready");
        for seq in 1..next {
            assert!(lines.next().unwrap().starts_with(&format!("{seq} ")));
        }
        for seq in next..=count {
            // Only when the reader has the last message does the next one come.
            put(&pool, &format!("{{\"n\":{seq}}}"));
            assert_eq!(lines.next().unwrap(), format!("{seq} {{\"n\":{seq}}}"));
        }
        assert!(reader.wait().unwrap().success());
    }
}

#[test]
fn a_timeout_ends_the_wait_while_messages_without_the_tags_keep_coming() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let wanted = TailOptions { tags: vec!["wanted".into()], ..Default::default() };
    let mut tail = pool.tail(wanted).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                put(&pool, "{}");
            }
        });
        // The watchdog ends this if it does not.
        assert!(tail.next(Some(Duration::from_millis(50))).unwrap().is_none());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Everything that the tail gives, in portions of lines.
fn lines(pool: &Pool, options: &TailOptions, room: usize) -> (String, Vec<u64>) {
    let mut tail = pool.tail(options.clone()).unwrap();
    let (mut out, mut counts) = (Vec::new(), Vec::new());
    loop {
        let before = out.len();
        match tail.try_lines(&mut out, room).unwrap() {
            0 => return (String::from_utf8(out).unwrap(), counts),
            count => counts.push(count),
        }
        let portion = &out[before..];
        let whole = portion.iter().filter(|b| **b == b'\n').count() as u64;
        assert_eq!((whole, portion.last()), (counts[counts.len() - 1], Some(&b'\n')));
        assert!(portion.len() <= room || whole == 1, "{} in {room}", portion.len());
    }
}

#[test]
fn lines_are_the_messages_one_by_one_however_little_room_there_is() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    for n in 0..500 {
        let text = format!("{{\"n\":{n},\"ü\":\"{}\"}}", "é".repeat(n * 7 % 90));
        let tags: &[&str] = [&[][..], &["a"], &["a", "b\"\\"], &["b"]][n % 4];
        pool.append(text.as_bytes(), tags, Durability::Fast).unwrap();
    }
    let tagged = TailOptions { tags: vec!["a".into()], ..Default::default() };
    let some = TailOptions { max: Some(17), since: Some(Seq::new(300)), ..Default::default() };
    for options in [TailOptions::default(), tagged, some] {
        let mut tail = pool.tail(options.clone()).unwrap();
        let mut expected = String::new();
        while let Some(message) = tail.try_next().unwrap() {
            message.write_line(&mut expected);
        }
        for room in [0, 1, 150, 1000, 4096, usize::MAX] {
            assert_eq!(lines(&pool, &options, room).0, expected, "room {room}");
        }
        let all = lines(&pool, &options, usize::MAX).1;
        assert_eq!(all, [expected.lines().count() as u64]);
    }
}

#[test]
fn lines_before_a_gap_come_before_it() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    (0..3).for_each(|_| {
        put(&pool, "{}");
    });
    for gap in [GapPolicy::Continue, GapPolicy::Error] {
        let mut tail = pool.tail(TailOptions { gap, ..Default::default() }).unwrap();
        let mut out = Vec::new();
        assert_eq!(tail.try_lines(&mut out, 0).unwrap(), 1);
        (0..5000).for_each(|_| {
            put(&pool, "{}");
        });
        let bounds = pool.bounds().unwrap();
        out.clear();
        match gap {
            GapPolicy::Continue => {
                let count = tail.try_lines(&mut out, usize::MAX).unwrap();
                assert_eq!(count, bounds.count());
                let first = format!("{{\"seq\":{},", bounds.oldest);
                assert!(out.starts_with(first.as_bytes()));
            }
            GapPolicy::Error => {
                let error = tail.try_lines(&mut out, usize::MAX).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::RetentionGap);
                assert_eq!(tail.try_lines(&mut out, usize::MAX).unwrap(), 0);
                assert!(out.is_empty() && tail.is_done());
            }
        }
    }
}

#[test]
fn a_reader_that_spins_gets_what_comes_and_sleeps_when_nothing_does() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let spinning = |spin| TailOptions { spin, ..Default::default() };
    let mut tail = pool.tail(spinning(Duration::from_millis(1))).unwrap();
    assert!(tail.next(Some(Duration::from_millis(5))).unwrap().is_none());
    assert!(!pool.spin(Seq::ZERO, Duration::ZERO).unwrap());
    let mut long = pool.tail(spinning(Duration::from_secs(60))).unwrap();
    std::thread::scope(|scope| {
        let short = scope.spawn(move || tail.next(None).unwrap().map(|m| m.seq()));
        let long = scope.spawn(move || {
            assert_eq!(long.next(None).unwrap().map(|m| m.seq()), Some(Seq::FIRST));
            long.next(None)
        });
        std::thread::sleep(Duration::from_millis(10));
        put(&pool, "{}");
        assert_eq!(short.join().unwrap(), Some(Seq::FIRST));
        // Neither a resize nor a deletion is a message, and both are noticed.
        Pool::resize(&dir.path("p"), 128 * KIB).unwrap();
        let pool = Pool::open(&dir.path("p")).unwrap();
        put(&pool, "{\"n\":2}");
        let second = long.join().unwrap().unwrap().unwrap();
        assert_eq!(second.data(), "{\"n\":2}");
    });
    let last = Pool::open(&dir.path("p")).unwrap();
    let mut tail = last
        .tail(TailOptions { since: Some(Seq::new(3)), ..spinning(Duration::from_secs(60)) })
        .unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || tail.next(None).unwrap_err().kind());
        Pool::delete(&dir.path("p")).unwrap();
        assert_eq!(waiting.join().unwrap(), ErrorKind::NotFound);
    });
    assert_eq!(
        last.spin(Seq::new(9), Duration::from_secs(60)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_tail_goes_from_each_message_to_the_one_behind_it_without_the_index() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    (1..=5).for_each(|n| {
        put(&pool, &document(1, n, 100));
    });
    let mut tail = pool.tail(TailOptions::default()).unwrap();
    let first = tail.try_next().unwrap().unwrap();
    assert_eq!(check_document(first.data()), (1, 1));
    // Slot n is that of message n: those after the first say something else.
    pool.file().write_all_at(&[0xff; 4 * 4], 4096 + 4 * 2).unwrap();
    for n in 2..=5 {
        assert_eq!(pool.get(Seq::new(n)).unwrap_err().kind(), ErrorKind::Corrupt);
        let message = tail.try_next().unwrap().unwrap();
        assert_eq!(check_document(message.data()), (1, n));
    }
}
