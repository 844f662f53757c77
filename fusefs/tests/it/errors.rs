//! `docs/errors`.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::fixture::{Fixture, read};

/// The lines of `docs/errors`.
fn errors(f: &Fixture) -> Vec<Value> {
    read(f.docs().join("errors")).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Runs a script that fails; the one line that it leaves.
#[track_caller]
fn refused(f: &Fixture, script: &str) -> Value {
    let before = errors(f).len();
    let done = f.sh(script);
    assert_ne!(done.code, Some(0), "{script}");
    let mut after = errors(f).split_off(before);
    assert_eq!(after.len(), 1, "{script}: {after:?}");
    after.remove(0)
}

/// SEMANTICS: errors tells why
#[test]
fn each_refusal_is_told_with_name_program_place_and_reason() {
    let f = Fixture::sized(64 << 10);
    f.sh("printf '{\"a\":' > $ROOT/half; printf '{\"a\":1}{\"b\":2}' > $ROOT/two; printf '{\"a\":\"' > $ROOT/big; head -c 100000 /dev/zero | tr '\\0' x >> $ROOT/big").ok();
    for (script, name, program, errno, offset, reason) in [
        ("echo bad > docs/x.json", "x.json", "bash", "EINVAL", 0, "must be a JSON object"),
        ("dash -c 'echo [1] > docs/x.json'", "x.json", "dash", "EINVAL", 0, "not an array"),
        ("echo '{\"a\":tru}' >> docs/in", "in", "bash", "EINVAL", 8, "found '}'"),
        (
            "printf '{\"a\":1}\\n{\"b\":x}\\n' > docs/in",
            "in",
            "bash",
            "EINVAL",
            13,
            "expected value",
        ),
        (
            "printf '{\"a\":1}\\n{\"b\":x}\\n' > docs/.t; mv docs/.t docs/t.txt",
            "t.txt",
            "mv",
            "EBADMSG",
            13,
            "expected value",
        ),
        ("cp $ROOT/half docs/h.json", "h.json", "cp", "EINVAL", 5, "unfinished"),
        ("cat $ROOT/half > docs/h", "h", "cat", "EINVAL", 5, "unfinished"),
        (
            "cp $ROOT/half docs/.h; mv docs/.h docs/h.json",
            "h.json",
            "mv",
            "EBADMSG",
            5,
            "unfinished",
        ),
        ("cp $ROOT/two docs/2.txt.json", "2.txt.json", "cp", "EINVAL", 7, "second one begins here"),
        (
            "mv $ROOT/two docs/.2; mv docs/.2 docs/two.json",
            "two.json",
            "mv",
            "EBADMSG",
            7,
            "second one",
        ),
        ("cat $ROOT/big > docs/big.json", "big.json", "cat", "EFBIG", -1, "message too large"),
        ("cat $ROOT/big > docs/.big", ".big", "cat", "EFBIG", -1, "draft is too large"),
        (
            "printf '\\xff{}' > docs/\"a$(printf '\\xff')b\"",
            "a\u{fffd}b",
            "bash",
            "EINVAL",
            0,
            "JSON object",
        ),
    ] {
        let line = refused(&f, script);
        assert_eq!((&line["name"], &line["program"]), (&name.into(), &program.into()), "{script}");
        assert_eq!(line["errno"], errno, "{script}");
        if offset >= 0 {
            assert_eq!(line["offset"], offset, "{script}: {line}");
        }
        let text = line["reason"].as_str().unwrap();
        assert!(text.contains(reason), "{script}: {text}");
        assert!(line["pid"].as_u64().unwrap() > 1, "{script}");
    }
}

/// SEMANTICS: errors tells why
#[test]
fn a_close_that_nobody_looks_at_is_told_too() {
    let f = Fixture::new();
    f.sh("printf '{\"lost\"' > docs/x.json; printf '{\"lost\":1' >> docs/in").ok();
    let told: Vec<_> = errors(&f).iter().map(|l| l["offset"].as_u64().unwrap()).collect();
    assert_eq!(told, [7, 9]);
    // Of a document that its writer finishes through another descriptor there is nothing to tell.
    f.sh("exec 3> docs/y.json; echo '{\"a\":' >&3; echo '1}' >&3; { /bin/echo '{\"a\":'; /bin/echo '1}'; } >> docs/in").ok();
    assert_eq!(f.data(), ["{\"a\":1}", "{\"a\":1}"]);
    assert_eq!(errors(&f).len(), 2);
    // Its writers are killed.
    f.sh("python3 -c \"import os, signal; f = os.open('docs/k.json', os.O_WRONLY|os.O_CREAT); os.write(f, b'{'); os.kill(os.getpid(), 9)\" || true").ok();
    crate::fixture::wait_for("the line", || errors(&f).len() == 3);
}

/// SEMANTICS: errors tells why
#[test]
fn errors_is_a_true_file_and_not_listed() {
    let f = Fixture::new();
    assert_eq!(f.sh("cat docs/errors; stat -c %s docs/errors").ok(), "0\n");
    f.sh("for i in 1 2 3; do echo bad$i > docs/$i-x.json; done 2>/dev/null; true").ok();
    assert_eq!(f.sh("stat -c %s docs/errors").ok(), f.sh("wc -c < docs/errors").ok());
    assert_eq!(f.sh("jq -r .name docs/errors").ok(), "1-x.json\n2-x.json\n3-x.json\n");
    assert_eq!(
        f.sh("tail -n 1 docs/errors | jq -r .name; tac docs/errors | head -n 1 | jq -r .name").ok(),
        "3-x.json\n3-x.json\n"
    );
    assert_eq!(f.sh("ls -A docs").ok(), "");
    let times = f.sh("jq -r .time docs/errors | sort -c && date -d \"$(tail -n 1 docs/errors | jq -r .time)\" +%s.%N; stat -c %.9Y docs/errors").ok();
    let (told, mtime) = times.split_once('\n').unwrap();
    assert_eq!(told, mtime.trim());
    for script in ["echo '{}' > docs/errors", "rm -f docs/errors", "mv docs/errors docs/e"] {
        assert!(f.sh(script).err.contains("not permitted"), "{script}");
    }
}

/// SEMANTICS: errors tells why
#[test]
fn tail_f_of_errors_shows_each_refusal_while_old_ones_are_forgotten() {
    let f = Fixture::new();
    f.sh("echo bad > docs/first.json");
    let mut tail = f.spawn("exec tail -s 0.02 -n +1 -f docs/errors");
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["name"], "first.json");
    for i in 0..400 {
        std::fs::write(f.docs().join(format!("x{i}.json")), "bad").unwrap_err();
        assert_eq!(next()["name"], format!("x{i}.json"));
    }
    assert!(errors(&f).len() < 400);
}
