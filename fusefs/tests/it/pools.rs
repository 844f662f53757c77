use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::fixture::{Fixture, append};

/// SEMANTICS: Pools are directories
#[test]
fn mkdir_rmdir_and_mv_create_delete_and_rename_pools() {
    let f = Fixture::sized(2 << 20);
    f.sh("mkdir notes && echo '{\"a\":1}' > notes/x.json && mv notes other && ls").ok();
    assert_eq!(f.sh("ls").ok(), "docs\nother\n");
    let other = f.client().open("other").unwrap();
    assert_eq!(other.info().unwrap().size_bytes, 2 << 20);
    assert_eq!(f.sh("cat other/1.json").ok(), "{\"a\":1}\n");
    f.sh("rmdir other").ok();
    assert!(f.client().open("other").is_err());
    let taken = f.sh("mkdir docs");
    assert!(taken.err.contains("File exists"), "{taken:?}");
    assert_ne!(f.sh("rmdir gone").code, Some(0));
}

/// SEMANTICS: Pools are directories
#[test]
fn a_pool_whose_files_were_just_closed_is_not_busy() {
    let f = Fixture::new();
    let docs = f.docs();
    for _ in 0..300 {
        let open: Vec<_> = (0..8).map(|_| fs::File::open(docs.join("tail")).unwrap()).collect();
        drop(open);
        fs::remove_dir(&docs).unwrap();
        fs::create_dir(&docs).unwrap();
    }
}

/// SEMANTICS: Pools are directories
#[test]
fn a_pool_with_open_files_is_busy() {
    let f = Fixture::new();
    let refused = f.sh("exec 3< docs/tail; rmdir docs");
    assert!(refused.err.contains("busy"), "{refused:?}");
    f.sh("rmdir docs").ok();
}

/// SEMANTICS: Pools of other programs appear and vanish at once
#[test]
fn pools_of_other_programs_appear_and_vanish_at_once() {
    let f = Fixture::new();
    for i in 0..50 {
        let pool = f.client().create("other", 1 << 20).unwrap();
        append(&pool, &format!("{{\"round\":{i}}}"));
        let path = f.mnt().join("other");
        assert!(path.is_dir());
        assert_eq!(
            fs::read_to_string(path.join("1.json")).unwrap(),
            format!("{{\"round\":{i}}}\n")
        );
        f.client().delete("other").unwrap();
        assert!(!path.exists());
    }
}

#[test]
fn owner_mode_and_times_come_from_the_pool() {
    let f = Fixture::new();
    append(&f.pool(), "{}");
    let file = f.client().path_of("docs").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(4321)).unwrap();
    let dir = fs::metadata(f.docs()).unwrap();
    assert_eq!((dir.mode() & 0o777, dir.uid(), dir.gid()), (0o750, 1234, 4321));
    let message = fs::metadata(f.docs().join("1")).unwrap();
    assert_eq!((message.mode() & 0o777, message.uid(), message.gid()), (0o440, 1234, 4321));
    let time: std::time::SystemTime =
        f.pool().get(plasmite_core::Seq::FIRST).unwrap().time().into();
    assert_eq!(message.modified().unwrap(), time);
    assert_eq!(dir.modified().unwrap(), time);
    f.sh("chmod 700 docs").ok();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
}

/// SEMANTICS: Pools are directories
#[test]
fn a_damaged_pool_is_listed_fails_inside_and_can_be_removed() {
    let f = Fixture::new();
    fs::write(f.root.path().join("pools/bad.plasmite"), vec![0x55; 9000]).unwrap();
    assert_eq!(f.sh("ls").ok(), "bad\ndocs\n");
    for script in ["ls bad", "cat bad/log", "cat bad/1", "echo '{}' > bad/x.json"] {
        let done = f.sh(script);
        assert_ne!(done.code, Some(0), "{script}");
        assert!(done.err.contains("Input/output error"), "{script}: {done:?}");
    }
    f.sh("rmdir bad").ok();
    assert_eq!(f.sh("ls").ok(), "docs\n");
}

/// SEMANTICS: Pools are directories
#[test]
fn the_root_holds_pools_and_nothing_else() {
    let f = Fixture::new();
    for script in
        ["echo x > file", "mkdir docs/sub", "ln -s a docs/b", "mkfifo docs/p", "mkdir a.b/c"]
    {
        assert_ne!(f.sh(script).code, Some(0), "{script}");
    }
    let long = "x".repeat(256);
    assert!(f.sh(&format!("mkdir {long}")).err.contains("too long"));
    assert!(f.sh("df . && stat -f .").ok().contains("/pools "));
}

/// SEMANTICS: Pools are directories
#[test]
fn whoever_is_in_a_pools_directory_keeps_a_path() {
    let f = Fixture::new();
    let script = "import os, time\nfor i in range(20):\n  os.mkdir('p%d' % i); os.chdir('p%d' % i); time.sleep(0.005); os.getcwd(); os.chdir('..')\nos.chdir('p1'); os.rename('../p1', '../q1'); time.sleep(0.1); print(os.path.basename(os.getcwd()))";
    assert_eq!(f.sh(&format!("python3 -c \"{script}\"")).ok(), "q1\n");
}

/// SEMANTICS: Pools are directories
#[test]
fn whoever_is_in_a_pools_directory_keeps_a_path_while_other_pools_go() {
    let f = Fixture::new();
    let script = "
import os, sys
os.chdir('docs'); here = os.getcwd()
while not os.path.exists(os.environ['ROOT'] + '/stop'):
    assert os.getcwd() == here and os.path.exists(here)
print('kept')";
    fs::write(f.root.path().join("stay.py"), script).unwrap();
    let mut stay = f.spawn("exec python3 $ROOT/stay.py");
    crate::fixture::wait_for("the program to be there", || {
        fs::read_link(format!("/proc/{}/cwd", stay.0.id())).ok() == Some(f.docs())
    });
    for _ in 0..100 {
        f.client().create("other", 64 << 10).unwrap();
        let other = f.mnt().join("other");
        assert!(other.is_dir());
        f.client().delete("other").unwrap();
        crate::fixture::wait_for("the name to go", || !other.exists());
    }
    fs::write(f.root.path().join("stop"), "").unwrap();
    let mut out = String::new();
    stay.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "kept\n");
}

#[test]
fn a_deleted_pool_takes_its_names_along() {
    let f = Fixture::new();
    append(&f.pool(), "{}");
    let message = f.docs().join("1");
    assert!(message.exists());
    f.client().delete("docs").unwrap();
    crate::fixture::wait_for("the message to go", || !message.exists());
    assert!(fs::read(&message).is_err());
    assert_ne!(f.sh("ls docs").code, Some(0));
    assert_ne!(f.sh("echo '{}' > docs/x.json").code, Some(0));
}
