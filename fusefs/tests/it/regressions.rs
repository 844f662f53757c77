//! Faults that were found once, each by its name.

use std::fs;
use std::process::Command;

use plasmite_fusefs::{Mount, MountOptions};

use crate::fixture::{Fixture, append};

#[test]
fn an_echo_into_a_pool_that_was_damaged_meanwhile_fails() {
    let f = Fixture::new();
    f.sh("cd docs; echo '{\"a\":0}' > x.json").ok();
    let file = f.root.path().join("pools/docs.plasmite");
    fs::write(&file, b"").unwrap();
    let done = f.sh("cd docs; echo '{\"a\":1}' > x.json");
    assert_ne!(done.code, Some(0), "{}", done.err);
    assert!(done.err.contains("Input/output error"), "{}", done.err);
}

#[test]
fn nothing_is_written_into_a_pool_file_that_was_cut() {
    let f = Fixture::new();
    f.sh("cd docs; echo '{\"a\":0}' > x.json").ok();
    let file =
        fs::File::options().write(true).open(f.root.path().join("pools/docs.plasmite")).unwrap();
    file.set_len(file.metadata().unwrap().len() - 4096).unwrap();
    for script in [
        "echo '{\"a\":1}' > x.json",
        "echo '{\"a\":1}' >> in",
        "echo '{\"a\":1}' > $ROOT/y; cp $ROOT/y z",
    ] {
        assert_ne!(f.sh(&format!("cd docs; {script}")).code, Some(0), "{script}");
    }
}

#[test]
fn a_document_written_in_pieces_through_one_descriptor_of_a_shell_is_appended() {
    let f = Fixture::new();
    f.sh("cd docs; exec 3>in; echo -n '{\"a\":' >&3; echo '1}' >&3; exec 3>&-").ok();
    f.sh("cd docs; exec 3>x.json; echo '{\"b\":' >&3; echo '2}' >&3; exec 3>&-").ok();
    assert_eq!(f.data(), ["{\"a\":1}", "{\"b\":2}"]);
}

#[test]
fn an_unfinished_document_is_dropped_with_its_last_descriptor() {
    let f = Fixture::new();
    f.sh("cd docs; echo '{\"oops\"' > x.json; echo '{\"oops\"' > in; echo '{\"fine\":1}' >> in")
        .ok();
    assert_eq!(f.data(), ["{\"fine\":1}"]);
}

#[test]
fn a_pool_name_with_a_dot_in_front_is_refused() {
    let f = Fixture::new();
    assert!(f.sh("mkdir .hidden").err.contains("Invalid argument"));
}

#[test]
fn mkdir_on_a_full_disk_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let pools = dir.path().join("small");
    fs::create_dir(&pools).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(&pools).status();
    if !mounted.is_ok_and(|s| s.success()) {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    }
    let mount = Mount::start(MountOptions::new(&pools, dir.path().join("m"))).unwrap();
    fs::create_dir(dir.path().join("m/a")).unwrap();
    let error = [0; 3]
        .iter()
        .enumerate()
        .find_map(|(i, _)| fs::create_dir(dir.path().join(format!("m/b{i}"))).err());
    mount.unmounter().unmount().unwrap();
    mount.wait().unwrap();
    Command::new("umount").arg(&pools).status().unwrap();
    assert_eq!(error.unwrap().kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn a_mount_with_a_pool_size_that_no_pool_can_have_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = MountOptions::new(dir.path().join("p"), dir.path().join("m"));
    options.pool_size_bytes = 1;
    let error = Mount::start(options).map(drop).unwrap_err();
    assert_eq!(error.kind(), plasmite_core::ErrorKind::Usage);
    assert!(error.to_string().contains("8192"));
}

#[test]
fn a_name_has_its_size_at_once_also_when_attributes_were_set_while_it_was_written() {
    let f = Fixture::new();
    let script = "echo '{\"a\":1}' > $ROOT/a.json && cp -p $ROOT/a.json docs/ && stat -c %s docs/a.json && cat docs/a.json && rsync -a docs/a.json docs/b.json && ls docs | wc -l";
    assert_eq!(f.sh(script).ok(), "8\n{\"a\":1}\n2\n");
}

#[test]
fn who_waits_for_edges_is_told_of_each_message_also_after_a_read_that_leaves_nothing() {
    let f = Fixture::new();
    let script = "
import os, select
fd = os.open('docs/follow', os.O_RDONLY | os.O_NONBLOCK)
epoll = select.epoll(); epoll.register(fd, select.EPOLLIN | select.EPOLLET)
assert epoll.poll(0) == []
for n in range(1, 51):
    with open('docs/x.json', 'w') as f: f.write('{}')
    assert len(epoll.poll(10)) == 1, n
    assert b'\"seq\":%d,' % n in os.read(fd, 65536), n
    if n % 2: continue
    try: os.read(fd, 100); assert False
    except BlockingIOError: pass
print('told')";
    fs::write(f.root.path().join("edges.py"), script).unwrap();
    assert_eq!(f.sh("python3 $ROOT/edges.py").ok(), "told\n");
}

/// SEMANTICS: Messages that go during a walk are deleted files
#[test]
fn a_message_that_goes_while_it_is_open_is_still_read_and_looked_at() {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    // With the kernel's checks it asks for attributes each second, else after a read.
    for shared in [false, true] {
        let f = Fixture::with(|options| {
            options.pool_size_bytes = 64 << 10;
            options.allow_other = shared;
        });
        let text = format!("{{\"a\":\"{}\"}}", "x".repeat(9000));
        append(&f.pool(), &text);
        let mut file = fs::File::open(f.docs().join("1")).unwrap();
        let before = file.metadata().unwrap();
        (0..100).for_each(|_| append(&f.pool(), &text));
        assert!(f.pool().bounds().unwrap().oldest.get() > 1);
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read.len() as u64, before.len());
        assert!(read.contains(&text));
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let after = file.metadata().unwrap();
        assert_eq!(
            (after.len(), after.mtime(), after.ino()),
            (before.len(), before.mtime(), before.ino())
        );
        drop(file);
        // By its name the kernel may still know it for a few seconds, but it can not be opened.
        assert!(fs::File::open(f.docs().join("1")).is_err());
    }
}
