use std::path::Path;
use std::process::Command;

use plasmite_core::ErrorKind;
use plasmite_fusefs::{Mount, MountOptions, unmount};

use crate::fixture::{Fixture, append, wait_for};

fn start(pools: impl AsRef<Path>, mnt: impl AsRef<Path>) -> plasmite_core::Result<Mount> {
    Mount::start(MountOptions::new(pools.as_ref(), mnt.as_ref()))
}

#[track_caller]
fn refused(result: plasmite_core::Result<Mount>, kind: ErrorKind, text: &str) {
    let error = result.expect_err("must not mount");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

/// SEMANTICS: Mounts do not overlap
#[test]
fn what_cannot_be_mounted_is_refused_with_a_reason() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    std::fs::write(at("file"), "x").unwrap();
    std::fs::create_dir_all(at("full/sub")).unwrap();
    refused(start(at("file"), at("m")), ErrorKind::Usage, "not a directory");
    refused(start(at("p"), at("file")), ErrorKind::Usage, "not a directory");
    refused(start(at("p"), at("full")), ErrorKind::Usage, "not empty");
    refused(start(at("p"), at("p")), ErrorKind::Usage, "is the pool directory");
    refused(start(at("p"), at("p/m/n")), ErrorKind::Usage, "lies inside the pool directory");
    refused(start(at("q/p"), at("q")), ErrorKind::Usage, "lies inside the mountpoint");
    assert!(!at("p/m").exists(), "nothing is created for a mount that is refused");
    assert_eq!(unmount(&at("full")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_live_mount_is_busy_and_unmount_ends_it() {
    let mut f = Fixture::new();
    refused(start(f.root.path().join("pools"), f.mnt()), ErrorKind::Busy, "mounted there already");
    let mount = f.take_mount();
    let mut reader = f.spawn("exec cat docs/tail");
    std::thread::sleep(std::time::Duration::from_millis(200));
    unmount(&f.mnt()).unwrap();
    reader.ends_soon();
    mount.wait().unwrap();
    assert!(std::fs::read_dir(f.mnt()).unwrap().next().is_none());
}

/// SEMANTICS: Mounts do not overlap
#[test]
fn pools_are_not_mounted_inside_a_mount_of_pools() {
    let f = Fixture::new();
    let elsewhere = f.root.path().join("elsewhere");
    let inside = "lies inside a mount of pools";
    refused(start(&elsewhere, f.mnt().join("docs")), ErrorKind::Usage, inside);
    refused(start(&elsewhere, f.mnt().join("new/m")), ErrorKind::Usage, inside);
    refused(start(f.mnt(), f.root.path().join("m")), ErrorKind::Usage, inside);
    refused(start(f.mnt().join("new"), f.root.path().join("m")), ErrorKind::Usage, inside);
    std::os::unix::fs::symlink(f.docs(), f.root.path().join("link")).unwrap();
    refused(start(&elsewhere, f.root.path().join("link")), ErrorKind::Usage, inside);
    assert_eq!(f.client().names().unwrap().len(), 1, "no pool came from the attempts");
}

/// SEMANTICS: Unmounting names those who stay
#[test]
fn an_unmount_of_a_busy_mount_names_the_programs_and_leaves_it_working() {
    let f = Fixture::new();
    let mut inside = f.spawn("cd docs && exec sleep 60");
    let mut open = f.spawn("cd / && exec sleep 60 < $ROOT/mnt/docs/info.json");
    wait_for("the programs", || {
        let link = |pid: u32, what: &str| std::fs::read_link(format!("/proc/{pid}/{what}")).ok();
        link(inside.0.id(), "cwd") == Some(f.docs())
            && link(open.0.id(), "fd/0") == Some(f.docs().join("info.json"))
    });
    let error = unmount(&f.mnt()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let docs = f.docs();
    for told in [
        format!("sleep (pid {}, {})", inside.0.id(), docs.display()),
        format!("sleep (pid {}, {}/info.json)", open.0.id(), docs.display()),
    ] {
        assert!(error.to_string().contains(&told), "{told}: {error}");
    }
    assert!(error.hint().unwrap().contains("--lazy"), "{error:?}");
    // Streams wait again afterwards.
    let mut tail = f.spawn("exec cat docs/tail > $ROOT/got");
    wait_for("the reader to block", || crate::fixture::is_blocked(tail.0.id()));
    append(&f.pool(), "{}");
    wait_for("the message", || !crate::fixture::read(f.root.path().join("got")).is_empty());
    tail.signal(9);
    tail.ends_soon();

    // Out of the way at once, and those inside go on.
    plasmite_fusefs::unmount_lazily(&f.mnt()).unwrap();
    assert!(std::fs::read_dir(f.mnt()).unwrap().next().is_none());
    assert!(std::fs::read_dir(format!("/proc/{}/cwd/", inside.0.id())).is_ok());
    for sleeper in [&mut inside, &mut open] {
        sleeper.signal(9);
        sleeper.ends_soon();
    }
}

#[test]
fn the_unmounter_gives_blocked_readers_end_of_file() {
    let mut f = Fixture::new();
    append(&f.pool(), "{}");
    let mount = f.take_mount();
    let mut reader = f.spawn("cat docs/tail > /dev/null; echo $? > $ROOT/rc");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let unmounter = f.unmounter();
    let thread = std::thread::spawn(move || unmounter.unmount());
    mount.wait().unwrap();
    thread.join().unwrap().unwrap();
    reader.ends_soon();
    assert_eq!(crate::fixture::read(f.root.path().join("rc")), "0\n");
}

#[test]
fn umount_from_outside_ends_the_wait_and_the_next_mount_stays() {
    let root = tempfile::tempdir().unwrap();
    let (pools, mnt) = (root.path().join("p"), root.path().join("m"));
    for _ in 0..5 {
        let mount = start(&pools, &mnt).unwrap();
        assert!(Command::new("umount").arg(&mnt).status().unwrap().success());
        let next = start(&pools, &mnt).unwrap();
        mount.wait().unwrap();
        assert!(std::fs::read_dir(&mnt).is_ok());
        next.unmounter().unmount().unwrap();
        next.wait().unwrap();
    }
}

/// SEMANTICS: A dead mount is cleared away
#[test]
fn a_dead_mount_is_cleared_by_the_next_one() {
    let root = tempfile::tempdir().unwrap();
    let (pools, mnt) = (root.path().join("p"), root.path().join("m"));
    // A daemon of its own, which is killed.
    let exe = std::env::current_exe().unwrap();
    let mut daemon = Command::new(exe)
        .args(["--exact", "lifecycle::daemon_for_the_kill", "--nocapture", "--ignored"])
        .env("PLASMITE_TEST_POOLS", &pools)
        .env("PLASMITE_TEST_MOUNT", &mnt)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the daemon's mount", || mnt.join("docs").exists());
    std::fs::write(mnt.join("docs/x.json"), "{\"a\":1}").unwrap();
    let mut reader = Command::new("cat").arg(mnt.join("docs/tail")).spawn().unwrap();
    wait_for("the reader to block", || crate::fixture::is_blocked(reader.id()));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(!reader.wait().unwrap().success());
    let error = std::fs::metadata(&mnt).unwrap_err();
    assert!(error.to_string().contains("not connected"), "{error}");
    let mount = start(&pools, &mnt).unwrap();
    assert_eq!(std::fs::read_to_string(mnt.join("docs/1.json")).unwrap(), "{\"a\":1}\n");
    mount.unmounter().unmount().unwrap();
    mount.wait().unwrap();
}

#[test]
#[ignore = "started by a_dead_mount_is_cleared_by_the_next_one"]
fn daemon_for_the_kill() {
    let (Some(pools), Some(mnt)) =
        (std::env::var_os("PLASMITE_TEST_POOLS"), std::env::var_os("PLASMITE_TEST_MOUNT"))
    else {
        return;
    };
    let mount = start(Path::new(&pools), Path::new(&mnt)).unwrap();
    std::fs::create_dir(Path::new(&mnt).join("docs")).unwrap();
    mount.wait().unwrap();
}
