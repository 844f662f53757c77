//! A program that was stopped while it appends keeps its pool's lock: whoever appends there waits, and nobody else.

use std::process::{Command, Stdio};
use std::time::Duration;

use plasmite_core::{Client, Durability, ErrorKind, Pool};

use crate::fixture::{Fixture, Running, wait_for};

/// More than the mount has workers.
const POOLS: [&str; 4] = ["p0", "p1", "p2", "p3"];

/// A child process of the tests below.
#[test]
fn child_that_appends_without_end() {
    let Ok(path) = std::env::var("PLASMITE_TEST_APPENDS_TO") else { return };
    let pool = Pool::open(path.as_ref()).unwrap();
    while pool.append::<&str>(b"{\"child\":true}", &[], Durability::Fast).is_ok() {}
}

/// A process that has stopped with the lock of this pool in its hands.
fn stopped_in(f: &Fixture, name: &str) -> Running {
    let client: Client = f.client();
    let pool = client.create(name, 1 << 20).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "slow_writers::child_that_appends_without_end"])
        .env("PLASMITE_TEST_APPENDS_TO", pool.path())
        .stdout(Stdio::null())
        .spawn()
        .map(Running)
        .unwrap();
    wait_for("the child", || pool.bounds().unwrap().newest.get() > 3);
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.0.id())).unwrap();
    wait_for("a stop in the middle of an append", || {
        child.signal(19);
        wait_for("the stop", || state().rsplit(')').next().unwrap().starts_with(" T"));
        let hasty = pool.with_patience(Duration::from_millis(20));
        let appended = hasty.append::<&str>(b"{}", &[], Durability::Fast);
        if appended.is_ok() {
            child.signal(18);
        }
        appended.is_err_and(|error| error.kind() == ErrorKind::Busy)
    });
    child
}

/// SEMANTICS: A writer that was stopped holds up its own pool alone
#[test]
fn stopped_writers_hold_up_nobody_elsewhere() {
    let f = Fixture::new();
    let stopped = POOLS.map(|name| stopped_in(&f, name));
    f.sh("seq 500 | sed 's/.*/{\"n\":&}/' > docs/in; echo '{}' > p0/.draft").ok();
    // All the time there is more of these than there are workers. Each waits for two seconds: were workers to wait, the walk below
    // would take minutes, and the watchdog end it.
    let _slow: Vec<_> = POOLS
        .iter()
        .flat_map(|name| {
            [
                format!("while :; do echo '{{\"w\":1}}' >> {name}/in; done 2> /dev/null"),
                format!("while :; do echo '{{\"w\":2}}' > {name}/x.json; done 2> /dev/null"),
            ]
        })
        // The kernel keeps a directory locked during a rename, so nothing else is done in that one.
        .chain(["while :; do mv p0/.draft p0/y.json; done 2> /dev/null".to_owned()])
        .map(|script| f.spawn(&script))
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    f.sh("for i in $(seq 25); do
            echo \"{\\\"i\\\":$i}\" >> docs/in && echo '{}' > docs/$i-a.json && cat docs/$i docs/latest > /dev/null || exit
            ls docs p1 > /dev/null && stat p1/log p2/1 > /dev/null; head -n 3 docs/tail > /dev/null || exit
          done; mkdir new && rmdir new && wc -l docs/log && head -n 1 p3/tail")
        .ok();
    assert_eq!(f.data().len(), 550);
    drop(stopped);
}

/// SEMANTICS: A writer that was stopped holds up its own pool alone
#[test]
fn who_appends_to_the_pool_of_a_stopped_writer_is_told_or_gets_in_once() {
    let f = Fixture::new();
    let stopped = stopped_in(&f, "p0");
    for script in [
        "echo '{\"w\":1}' >> p0/in",
        "cp <(echo '{\"w\":2}') p0/x.json",
        "echo '{\"w\":3}' > p0/.d && mv p0/.d p0/d.json",
        "dd of=p0/y.json conv=fsync status=none <<< '{\"w\":4}'",
    ] {
        let done = f.sh(script);
        assert_ne!(done.code, Some(0), "{script}");
        assert!(done.err.contains("busy"), "{script}: {}", done.err);
    }
    // Whether these are told that it is busy depends on how long the stop lasts; they are never in twice, or told and in.
    let block = (0..50).map(|n| format!("{{\"b\":{n}}}\n")).collect::<String>();
    std::fs::write(f.root.path().join("block"), block).unwrap();
    let mut waiting = [
        f.spawn("exec cp $ROOT/block p0/block"),
        f.spawn("exec dd of=p0/z.json status=none <<< '{\"z\":1}'"),
        f.spawn("echo '{\"m\":1}' > p0/.m && exec mv p0/.m p0/m.json"),
    ];
    std::thread::sleep(Duration::from_millis(100));
    stopped.signal(18);
    let succeeded = waiting.each_mut().map(|w| {
        w.ends_soon();
        w.0.wait().unwrap().success()
    });
    stopped.signal(19);
    drop(stopped);
    // The child's own messages turn the pool over, so that it can't be looked into; the receipts tell.
    let receipts = ["p0/block", "p0/z.json", "p0/m.json"];
    for (name, succeeded) in receipts.iter().zip(succeeded) {
        let seq = f.sh(&format!("getfattr --only-values -n user.plasmite.seq {name}"));
        assert_eq!(seq.code == Some(0), succeeded, "{name}: {}", seq.err);
    }
    f.sh(
        "echo '{\"after\":1}' > p0/in && echo '{\"after\":2}' > p0/x.json && grep -q after p0/log",
    )
    .ok();
}
