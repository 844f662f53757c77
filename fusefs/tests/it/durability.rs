//! `O_SYNC`, `fsync`: what was written survives power loss, and nobody else waits for it.

use std::process::{Command, Stdio};
use std::time::Duration;

use plasmite_core::{Client, Durability};

use crate::fixture::{Fixture, Running, wait_for};

/// A child process of `a_slow_sync_holds_up_nobody_else`.
#[test]
fn child_that_syncs_without_end() {
    let Ok(dir) = std::env::var("PLASMITE_TEST_SYNCS_IN") else { return };
    let pool = Client::new(dir).open("docs").unwrap();
    while pool.append::<&str>(b"{\"child\":true}", &[], Durability::Flush).is_ok() {}
}

/// SEMANTICS: O_SYNC and fsync mean on disk
#[test]
fn a_slow_sync_holds_up_nobody_else() {
    let f = Fixture::sized(8 << 20);
    // Dropped after the child: killed while they wait for its sync they would stay.
    let mut writers = Vec::new();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::child_that_syncs_without_end"])
        .env("PLASMITE_TEST_SYNCS_IN", f.root.path().join("pools"))
        .stdout(Stdio::null())
        .spawn()
        .map(Running)
        .unwrap();
    let newest = || f.pool().bounds().unwrap().newest.get();
    wait_for("the child", || newest() > 3);
    // Stopped in its sync it keeps the lock that syncs share, so every other sync is slow.
    let is_slow = |writers: &mut Vec<Running>| {
        child.signal(19);
        writers.push(f.spawn("exec dd of=docs/x.json oflag=dsync status=none <<< '{\"w\":0}'"));
        std::thread::sleep(Duration::from_millis(300));
        let waits = writers.last_mut().unwrap().0.try_wait().unwrap().is_none();
        if !waits {
            child.signal(18);
        }
        waits
    };
    wait_for("a stop in the middle of a sync", || is_slow(&mut writers));
    let before = newest();
    for i in 1..20 {
        // Names of their own: the kernel lets the writers of one file wait for each other.
        let script = match i % 3 {
            0 => "exec dd of=docs/in$I oflag=sync status=none <<< '{\"w\":1}'",
            1 => "exec dd of=docs/y$I.json conv=fsync status=none <<< '{\"w\":2}'",
            _ => {
                "exec python3 -c \"import os; f = os.open('docs/z$I.json', os.O_WRONLY|os.O_CREAT|os.O_SYNC); os.write(f, b'{}'); os.close(f)\""
            }
        };
        writers.push(f.spawn(&script.replace("$I", &i.to_string())));
    }
    wait_for("their messages", || newest() == before + 19);
    // None of them is answered, and everything else goes on.
    f.sh("ls -l docs > /dev/null; stat docs/1 docs/log > /dev/null; df . > /dev/null; mkdir other && rmdir other").ok();
    f.sh("echo '{\"fast\":1}' > docs/f.json && echo '{\"fast\":2}' >> docs/in && cat docs/latest && head -n 2 docs/tail").ok();
    let waiting =
        writers.iter_mut().map(|w| w.0.try_wait().unwrap()).filter(Option::is_none).count();
    assert_eq!(waiting, 20);
    child.signal(18);
    for writer in writers.iter_mut().rev().take(20) {
        writer.ends_soon();
        assert!(writer.0.wait().unwrap().success());
    }
    assert!(f.pool().info().unwrap().durable.get() >= before + 19);
}
