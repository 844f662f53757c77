//! `docs/tags`, `docs/since`, `--show-streams`.

use std::io::{BufRead, BufReader};

use plasmite_core::{Durability, Pool};

use crate::fixture::{Fixture, append, wait_for};

fn put(pool: &Pool, tags: &[&str], i: usize) {
    pool.append(format!("{{\"i\":{i}}}").as_bytes(), tags, Durability::Fast).unwrap();
}

/// Messages 1 to 12; every second has tag `a`, every third tag `b`.
fn tagged() -> Fixture {
    let f = Fixture::new();
    let pool = f.pool();
    for i in 1..=12 {
        let tags: &[&str] = match (i % 2, i % 3) {
            (0, 0) => &["a", "b"],
            (0, _) => &["a"],
            (_, 0) => &["b"],
            _ => &[],
        };
        put(&pool, tags, i);
    }
    f
}

/// SEMANTICS: tags is the pool seen through tags
#[test]
fn a_tags_directory_shows_its_messages_in_every_view() {
    let f = tagged();
    for (dir, seqs) in [
        ("docs/tags/a", "2 4 6 8 10 12"),
        ("docs/tags/b", "3 6 9 12"),
        ("docs/tags/a/b", "6 12"),
        ("docs/tags/b/a", "6 12"),
        ("docs/tags/a/tags/b", "6 12"),
        ("docs/tags/a/tags/a/a", "2 4 6 8 10 12"),
        ("docs/tags/c", ""),
        ("docs/tags/a/c", ""),
    ] {
        let lines: Vec<_> = seqs.split_whitespace().collect();
        let listed = lines.iter().map(|seq| format!("{seq}\n")).collect::<String>();
        assert_eq!(f.sh(&format!("ls -1v {dir}")).ok(), listed, "{dir}");
        assert_eq!(
            f.sh(&format!("ls -1vl {dir} | tail -n +2 | wc -l")).ok().trim(),
            lines.len().to_string()
        );
        assert_eq!(f.sh(&format!("jq .seq {dir}/log")).ok(), listed, "{dir}/log");
        assert_eq!(
            f.sh(&format!("stat -c %s {dir}/log")).ok(),
            f.sh(&format!("cat {dir}/log | wc -c")).ok()
        );
        assert_eq!(
            f.sh(&format!("timeout 0.3 cat {dir}/tail | jq .seq")).ok(),
            listed,
            "{dir}/tail"
        );
        for (link, seq) in [("first", lines.first()), ("latest", lines.last())] {
            let read = f.sh(&format!("readlink {dir}/{link}"));
            assert_eq!(read.out.trim(), seq.copied().unwrap_or_default(), "{dir}/{link}");
        }
        if let Some(seq) = lines.first() {
            assert_eq!(
                f.sh(&format!("cat {dir}/{seq} {dir}/first")).ok(),
                f.sh(&format!("cat docs/{seq} docs/{seq}")).ok()
            );
            assert_eq!(f.sh(&format!("cat {dir}/{seq}.json")).ok(), format!("{{\"i\":{seq}}}\n"));
        }
        for seq in ["1", "1.json", "99", "0"] {
            assert!(f.sh(&format!("cat {dir}/{seq}")).err.contains("No such file"), "{dir}/{seq}");
        }
        assert_eq!(f.sh(&format!("cat {dir}/info.json")).ok(), f.sh("cat docs/info.json").ok());
    }
}

/// SEMANTICS: tags is the pool seen through tags
#[test]
fn what_is_written_in_a_tags_directory_gets_the_tags() {
    let f = Fixture::new();
    f.sh("cd docs/tags/a; echo '{}' > x.json; echo '{}{}' >> in; cp x.json b/y.json; echo '{}' > .t; mv .t t.json; echo '{}' > c.jsonl").ok();
    f.sh("mkdir -p docs/tags/a/b; echo '{}' > docs/.m; mv docs/.m docs/tags/b/m.json; rsync docs/1.json docs/tags/r/r.json; echo '{}' > docs/tags/a/s.json; sed -i s/{}/{}/ docs/tags/a/s.json").ok();
    let tags: Vec<_> = f.sh("jq -c .meta.tags docs/log").ok().lines().map(str::to_owned).collect();
    let expected =
        "[\"a\"] [\"a\"] [\"a\"] [\"a\",\"b\"] [\"a\"] [\"a\"] [\"b\"] [\"r\"] [\"a\"] [\"a\"]";
    assert_eq!(tags.join(" "), expected);
    assert_eq!(f.sh("getfattr --only-values -n user.plasmite.seq docs/tags/a/b/y.json").ok(), "4");
    let refused =
        f.sh("echo bad > docs/tags/a/b/bad.json; jq -r .name docs/tags/errors docs/errors");
    assert!(
        refused.err.contains("Invalid argument") && refused.err.contains("directory"),
        "{refused:?}"
    );
    assert_eq!(
        f.sh("jq -r .name docs/errors; jq -r .name docs/tags/zzz/errors").ok(),
        "bad.json\nbad.json\n"
    );
    for script in [
        "mkdir docs/tags/a/new.json",
        "rmdir docs/tags/a",
        "rmdir docs/tags",
        "chmod 700 docs/tags/a",
        "echo '{}' > docs/tags/x.json",
        "rm -r docs/tags/a",
        "mv docs/tags/a docs/tags/b",
        "chmod 0 docs/tags",
    ] {
        assert_ne!(f.sh(script).code, Some(0), "{script}");
    }
    assert_eq!(f.data().len(), 10);
}

/// SEMANTICS: tags is the pool seen through tags
#[test]
fn tags_lists_the_tags_of_what_is_retained() {
    let f = tagged();
    let pool = f.pool();
    for tags in [["zz", "a/b"], [".", ".."], ["nul\0", "ünï"]] {
        put(&pool, &tags, 0);
    }
    assert_eq!(
        f.sh("ls -1 docs/tags; echo; ls -1 docs/tags/a/tags; echo; ls -A docs/tags/c/tags").ok(),
        "a\nb\nzz\nünï\n\nb\n\n"
    );
    assert_eq!(
        f.sh("ls -l docs/tags | tail -n +2 | wc -l; find docs/tags | wc -l").ok(),
        "4\n17\n"
    );
    assert_eq!(
        f.sh("ls docs/tags/log docs/tags/17 docs/tags/x.json docs/since").ok().matches(':').count(),
        4
    );
    put(&pool, &["log", "17"], 99);
    assert_eq!(f.sh("cat docs/tags/log/tags/17/latest | jq .data.i").ok(), "99\n");
    assert!(f.sh("ls -d docs/tags/$(printf '\\xff')").err.contains("No such file"));
}

/// SEMANTICS: tags is the pool seen through tags
#[test]
fn of_very_many_tags_ten_thousand_are_listed() {
    let f = Fixture::sized(4 << 20);
    let pool = f.pool();
    for i in 0..25 {
        let tags: Vec<_> = (0..410).map(|n| format!("tag-{i}-{n}")).collect();
        put(&pool, &tags.iter().map(String::as_str).collect::<Vec<_>>(), i);
    }
    assert_eq!(f.sh("ls docs/tags | wc -l; ls docs/tags/tag-24-409").ok(), "10000\n25\n");
}

/// SEMANTICS: tags is the pool seen through tags
#[test]
fn a_filtered_stream_waits_for_its_own_messages() {
    let f = tagged();
    let mut tail = f.spawn("exec cat docs/tags/b/tail");
    let mut follow = f.spawn("exec cat docs/tags/a/b/follow");
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    for seq in [3, 6, 9, 12] {
        assert!(lines.next().unwrap().starts_with(&format!("{{\"seq\":{seq},")));
    }
    let mut followed = BufReader::new(follow.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    wait_for("follow to wait", || crate::fixture::is_blocked(follow.0.id()));
    let pool = f.pool();
    for (i, tags) in [["a", "x"], ["b", "x"], ["a", "b"]].iter().enumerate() {
        put(&pool, tags, 100 + i);
    }
    assert!(lines.next().unwrap().contains("\"i\":101"));
    assert!(lines.next().unwrap().contains("\"i\":102"));
    assert!(followed.next().unwrap().contains("\"i\":102"));
    tail.signal(2);
    tail.ends_soon();
}

/// SEMANTICS: A filtered log is a true file
#[test]
fn a_filtered_log_under_eviction_is_exact_and_tail_f_loses_nothing() {
    let f = Fixture::sized(128 << 10);
    let pool = f.pool();
    put(&pool, &["w"], 0);
    let mut tail = f.spawn("exec tail -s 0.02 -n +1 -f docs/tags/w/log");
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("\"i\":0}"));
    for round in 1..=40 {
        for i in 0..300 {
            put(&pool, if i % 7 == 0 { &["w", "v"] } else { &["v"] }, round * 1000 + i);
        }
        for i in (0..300).step_by(7) {
            let line = lines.next().unwrap();
            assert!(
                line.ends_with(&format!("\"data\":{{\"i\":{}}}}}", round * 1000 + i)),
                "{line}"
            );
        }
        let done = f.sh("set -o pipefail; cat docs/tags/w/log > $ROOT/log; jq -c 'select(.meta.tags | index(\"w\"))' docs/log > $ROOT/theirs; cmp $ROOT/log $ROOT/theirs; stat -c %s docs/tags/w/log; wc -c < $ROOT/log");
        let out = done.ok();
        let (size, read) = out.trim().split_once('\n').unwrap();
        assert_eq!(size, read);
        for script in ["tail -n 3", "tail -c 200", "head -n 4", "tac", "tail -n +5"] {
            assert_eq!(
                f.sh(&format!("{script} docs/tags/w/log")).ok(),
                f.sh(&format!("{script} $ROOT/log")).ok(),
                "{script}"
            );
        }
    }
    tail.signal(15);
    tail.ends_soon();
}

/// SEMANTICS: since is the pool from a time on
#[test]
fn a_time_directory_shows_what_is_not_older() {
    let f = Fixture::new();
    let pool = f.pool();
    (1..=3).for_each(|i| put(&pool, &["a"], i));
    let time = pool.get(plasmite_core::Seq::new(2)).unwrap().time();
    for (dir, seqs) in [
        ("docs/since/10m".to_owned(), "1 2 3"),
        ("docs/since/1w/since/1h".to_owned(), "1 2 3"),
        ("docs/since/0s".to_owned(), ""),
        (format!("docs/since/{time}"), "2 3"),
        (format!("docs/since/{time}/tags/a"), "2 3"),
        (format!("docs/tags/a/since/{time}"), "2 3"),
        (format!("docs/since/1970-01-01T00:00:00Z/since/{time}"), "2 3"),
    ] {
        let listed = seqs.split_whitespace().map(|seq| format!("{seq}\n")).collect::<String>();
        assert_eq!(f.sh(&format!("ls -1 {dir}")).ok(), listed, "{dir}");
        assert_eq!(f.sh(&format!("jq .seq {dir}/log")).ok(), listed, "{dir}");
        assert_eq!(f.sh(&format!("timeout 0.3 cat {dir}/tail | jq .seq")).ok(), listed, "{dir}");
        assert_eq!(
            f.sh(&format!("stat -c %s {dir}/log")).ok(),
            f.sh(&format!("cat {dir}/log | wc -c")).ok()
        );
        assert_eq!(
            f.sh(&format!("readlink {dir}/first")).out.trim(),
            seqs.split(' ').next().unwrap()
        );
        assert_eq!(f.sh(&format!("cat {dir}/1")).code, Some(i32::from(!seqs.contains('1'))));
    }
    assert_eq!(f.sh("ls -A docs/since").ok(), "");
    let mut follow = f.spawn("exec cat docs/since/10m/tags/a/follow");
    wait_for("follow to wait", || crate::fixture::is_blocked(follow.0.id()));
    put(&pool, &[], 98);
    put(&pool, &["a"], 99);
    let mut lines = BufReader::new(follow.0.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"i\":99"));
    follow.signal(15);
    follow.ends_soon();
    for name in ["10", "yesterday", "10y", "-5m", "log"] {
        assert!(f.sh(&format!("ls -d docs/since/{name}")).err.contains("No such file"), "{name}");
    }
    f.sh(
        "echo '{\"i\":4}' > docs/since/10m/x.json; echo '{\"i\":5}' > docs/since/10m/tags/b/x.json",
    )
    .ok();
    assert_eq!(
        f.sh("jq -c '[.data.i, .meta.tags]' docs/since/10m/log | tail -n 2").ok(),
        "[4,[]]\n[5,[\"b\"]]\n"
    );
}

/// SEMANTICS: Streams, links and controls can be listed
#[test]
fn show_streams_lists_what_else_there_is() {
    let f = Fixture::with(|options| options.show_streams = true);
    assert_eq!(f.sh("ls -A docs").ok(), "errors\nfollow\ninfo.json\nlog\nsince\ntags\ntail\n");
    (0..3).for_each(|_| append(&f.pool(), "{}"));
    let all = "1\n2\n3\nerrors\nfirst\nfollow\ninfo.json\nlatest\nlog\nsince\ntags\ntail\n";
    assert_eq!(f.sh("ls -A docs").ok(), all);
    assert_eq!(
        f.sh("ls -lA docs | tail -n +2 | wc -l; ls -F docs | tr '\\n' ' '").ok(),
        "12\n1 2 3 errors first@ follow info.json latest@ log since/ tags/ tail "
    );
    assert_eq!(
        f.sh("ls -A docs/tags/none docs/tags").ok(),
        "docs/tags:\n\ndocs/tags/none:\nerrors\nfollow\ninfo.json\nlog\nsince\ntags\ntail\n"
    );
}

/// SEMANTICS: A filtered log is a true file
#[test]
fn a_long_look_for_tags_holds_up_nobody_else() {
    let f = Fixture::sized(64 << 20);
    let pool = f.pool();
    for i in 0..100_000 {
        put(&pool, if i % 1000 == 0 { &["rare"] } else { &["common"] }, i);
    }
    // Each of them looks at every message; other requests come in between.
    let mut busy: Vec<_> = (0..12)
        .map(|i| f.spawn(&format!("cat docs/tags/rare/t{i}/log; wc -l < docs/tags/rare/s{i}/tags/rare/log; stat -c %s docs/tags/none{i}/log; ls -U docs/tags/rare | wc -l; ls docs/tags; timeout 20 head -n 100 docs/tags/rare/tail | wc -l")))
        .collect();
    for i in 0..50 {
        f.sh(&format!("echo '{{\"new\":{i}}}' > docs/x.json && cat docs/latest > /dev/null && stat docs/log docs/1 > /dev/null")).ok();
    }
    for process in &mut busy {
        process.ends_soon();
        let out = std::io::read_to_string(process.0.stdout.take().unwrap()).unwrap();
        assert_eq!(out, "0\n0\n100\ncommon\nrare\n100\n");
    }
}
