//! Owners, permissions, other users, read-only mounts.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use plasmite_core::{Client, ErrorKind};
use plasmite_fusefs::{Mount, MountOptions};

use crate::fixture::{Fixture, append, is_blocked, is_root, read, wait_for};

const ALICE: u32 = 54_321;
const BOB: u32 = 54_322;

fn shared() -> Fixture {
    let f = Fixture::with(|options| options.allow_other = true);
    // Everybody may make pools, and remove their own only.
    chmod(&f.root.path().join("pools"), 0o1777);
    f
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn file(f: &Fixture, pool: &str) -> std::path::PathBuf {
    f.root.path().join("pools").join(format!("{pool}.plasmite"))
}

/// SEMANTICS: Owner, group and mode are the pool file's
#[test]
fn chmod_and_chown_of_a_pool_directory_act_on_the_pool_file() {
    let f = Fixture::new();
    append(&f.pool(), "{}");
    for (asked, of_file, of_dir, of_message) in [
        ("750", 0o640, 0o750, 0o440),
        ("700", 0o600, 0o700, 0o400),
        ("777", 0o666, 0o777, 0o444),
        ("644", 0o644, 0o755, 0o444),
        ("200", 0o200, 0o200, 0),
    ] {
        f.sh(&format!("chmod {asked} docs")).ok();
        assert_eq!(mode(file(&f, "docs")), of_file, "{asked}");
        assert_eq!(mode(f.docs()), of_dir, "{asked}");
        assert_eq!(mode(f.docs().join("info.json")), of_message, "{asked}");
    }
    if is_root() {
        f.sh(&format!("chown {ALICE}:{BOB} docs && chmod g+w docs")).ok();
        let meta = std::fs::metadata(file(&f, "docs")).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (ALICE, BOB, 0o220));
        let shown = f.sh("stat -c %u:%g docs docs/tail").ok();
        assert_eq!(shown, format!("{ALICE}:{BOB}\n{ALICE}:{BOB}\n"));
    }
    // What is done to the file shows at once.
    chmod(&file(&f, "docs"), 0o604);
    assert_eq!(mode(f.docs()), 0o705);
    assert_eq!(f.sh("truncate -s 0 docs").code, Some(1));
}

/// SEMANTICS: Owner, group and mode are the pool file's
#[test]
fn mkdir_honours_the_umask() {
    let f = Fixture::new();
    for (umask, of_file, of_dir) in
        [("022", 0o644, 0o755), ("077", 0o600, 0o700), ("002", 0o664, 0o775), ("027", 0o640, 0o750)]
    {
        f.sh(&format!("umask {umask}; mkdir p{umask}")).ok();
        assert_eq!(mode(file(&f, &format!("p{umask}"))), of_file, "{umask}");
        assert_eq!(mode(f.mnt().join(format!("p{umask}"))), of_dir, "{umask}");
    }
    f.sh("mkdir -m 750 p").ok();
    assert_eq!(mode(f.mnt().join("p")), 0o750);
}

/// SEMANTICS: Other users see what the owner lets them
#[test]
fn other_users_are_kept_out_of_a_mount_that_is_not_theirs() {
    if !is_root() {
        return;
    }
    let f = Fixture::new();
    append(&f.pool(), "{}");
    chmod(&file(&f, "docs"), 0o666);
    for script in
        ["ls $M", "cat $M/docs/1", "stat $M/docs", "echo '{}' > $M/docs/x.json", "mkdir $M/p"]
    {
        let done = f.sh_as(ALICE, script);
        assert_ne!(done.code, Some(0), "{script}: {done:?}");
        assert!(done.err.contains("Permission denied"), "{script}: {done:?}");
    }
    assert_eq!(f.data().len(), 1);
}

/// SEMANTICS: Other users see what the owner lets them
#[test]
fn a_pool_made_through_a_shared_mount_belongs_to_its_maker() {
    if !is_root() {
        return;
    }
    let f = shared();
    f.sh_as(ALICE, "umask 027; mkdir $M/hers && echo '{\"by\":\"alice\"}' > $M/hers/x.json").ok();
    let meta = std::fs::metadata(file(&f, "hers")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (ALICE, ALICE, 0o640));
    assert_eq!(f.sh_as(ALICE, "cat $M/hers/1.json").ok(), "{\"by\":\"alice\"}\n");
    // Nobody else reads it, through any view, writes it, changes it or takes it away.
    for script in [
        "cat $M/hers/1",
        "cat $M/hers/1.json",
        "cat $M/hers/log",
        "cat $M/hers/tail",
        "cat $M/hers/follow",
        "cat $M/hers/info.json",
        "cat $M/hers/latest",
        "readlink -f $M/hers/latest && false",
        "ls $M/hers",
        "cat $M/hers/x.json",
        "echo '{}' > $M/hers/y.json",
        "echo '{}' >> $M/hers/in",
        "touch $M/hers/.draft",
        "chmod 777 $M/hers",
        "chown $(id -u) $M/hers",
        "rmdir $M/hers",
        "mv $M/hers $M/his",
    ] {
        let done = f.sh_as(BOB, script);
        assert_ne!(done.code, Some(0), "{script}: {done:?}");
        assert_eq!(done.out, "", "{script}");
    }
    // Until she lets them.
    f.sh_as(ALICE, "chmod 755 $M/hers").ok();
    assert_eq!(f.sh_as(BOB, "cat $M/hers/1.json; ls $M/hers").ok(), "{\"by\":\"alice\"}\n1\n");
    assert_ne!(f.sh_as(BOB, "echo '{}' > $M/hers/y.json").code, Some(0));
    f.sh_as(ALICE, "chmod 777 $M/hers && echo '{}' >> $M/hers/in").ok();
    f.sh_as(BOB, "echo '{\"by\":\"bob\"}' > $M/hers/y.json && echo '{\"n\":2}' >> $M/hers/in").ok();
    assert_eq!(f.sh_as(ALICE, "ls $M/hers | wc -l").ok(), "4\n");
    f.sh_as(ALICE, "rmdir $M/hers").ok();
    assert!(!file(&f, "hers").exists());
}

/// SEMANTICS: Other users see what the owner lets them
#[test]
fn permission_that_is_taken_back_ends_at_once_and_permission_given_comes_within_a_second() {
    if !is_root() {
        return;
    }
    let f = shared();
    append(&f.pool(), "{\"a\":1}");
    f.sh_as(ALICE, "cat $M/docs/1").ok();
    f.sh("chmod 700 docs").ok();
    for script in ["cat $M/docs/1", "cat $M/docs/log", "ls $M/docs", "stat $M/docs/1"] {
        let done = f.sh_as(ALICE, script);
        assert!(done.err.contains("Permission denied"), "{script}: {done:?}");
    }
    // The kernel knows the message with the mode that nobody else may read.
    f.sh("cat docs/1").ok();
    f.sh("chmod 755 docs").ok();
    wait_for("the message to be readable", || f.sh_as(ALICE, "cat $M/docs/1").code == Some(0));
    // And by groups.
    f.sh(&format!("chmod 770 docs && chgrp {ALICE} docs")).ok();
    wait_for("the group to get in", || f.sh_as(ALICE, "cat $M/docs/1").code == Some(0));
    assert_ne!(f.sh_as(BOB, "cat $M/docs/1").code, Some(0));
}

/// SEMANTICS: Other users see what the owner lets them
#[test]
fn tools_that_set_attributes_work_for_every_user_of_a_shared_mount() {
    if !is_root() {
        return;
    }
    let f = shared();
    f.sh("chmod 777 docs").ok();
    f.sh("mkdir $ROOT/w && chmod 777 $ROOT/w").ok();
    f.sh_as(
        ALICE,
        "set -e; cd $ROOT/w; echo '{\"a\":1}' > a.json; cp -p a.json $M/docs/; install -m 600 a.json $M/docs/b.json
         mv a.json $M/docs/c.json; rsync -a $M/docs/c.json $M/docs/d.json",
    )
    .ok();
    let each = f.data();
    assert_eq!(each.len(), 4, "{each:?}");
    // Names that somebody else has written are no obstacle.
    f.sh_as(BOB, "set -e; cd $M/docs; echo '{}' > a.json; echo '{}' >> b.json; echo '{}' > c.json")
        .ok();
    assert_eq!(f.data().len(), 7);
}

/// SEMANTICS: A read-only mount changes nothing
#[test]
fn a_read_only_mount_shows_everything_and_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let client = Client::new(root.path().join("pools"));
    let pool = client.create("docs", 1 << 20).unwrap();
    append(&pool, "{\"a\":1}");
    let f = Fixture::with(|options| {
        options.pool_dir = root.path().join("pools");
        options.read_only = true;
    });
    assert_eq!(read(f.docs().join("1.json")), "{\"a\":1}\n");
    for script in [
        "mkdir p",
        "rmdir docs",
        "mv docs d",
        "chmod 700 docs",
        "chown 1 docs",
        "touch docs",
        "echo '{}' > docs/x.json",
        "echo '{}' >> docs/in",
        "rm -f docs/1",
        "mv docs/1 docs/2",
        "ln -s a docs/b",
        "mkfifo docs/f",
        "touch docs/1",
        "setfattr -n user.a -v b docs/1",
        "truncate -s 0 docs/1",
    ] {
        let done = f.sh(script);
        assert_ne!(done.code, Some(0), "{script}");
        assert!(done.err.contains("Read-only file system"), "{script}: {done:?}");
    }
    let table = f.sh("grep \" $PWD \" /proc/self/mounts").ok();
    assert!(table.contains(" ro,") && table.contains(" fuse.plasmite "), "{table}");
    // The daemon has the pool open for reading alone.
    let modes = f.sh(&format!(
        "for d in /proc/{}/fd/*; do case $(readlink $d) in */docs.plasmite) stat -L -c %A $d; stat -c %A $d;; esac; done",
        std::process::id()
    ));
    let path = root.path().join("pools/docs.plasmite");
    assert!(modes.out.contains("lr-x------"), "{modes:?}: {}", path.display());
    // A reader learns of what others append, and unmount ends it.
    let mut tail = f.spawn("exec cat docs/tail > $ROOT/got");
    wait_for("the reader to block", || is_blocked(tail.0.id()));
    append(&pool, "{\"b\":2}");
    wait_for("the message", || read(f.root.path().join("got")).contains("\"b\":2"));
    plasmite_fusefs::unmount(&f.mnt()).unwrap();
    tail.ends_soon();
}

#[test]
fn a_read_only_mount_creates_no_pool_directory() {
    let root = tempfile::tempdir().unwrap();
    let mut options = MountOptions::new(root.path().join("pools"), root.path().join("m"));
    options.read_only = true;
    assert_eq!(Mount::start(options).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

/// SEMANTICS: df shows the file system of the pool directory
#[test]
fn statfs_is_that_of_the_pool_directory() {
    let f = Fixture::new();
    let of = |path: &str| f.sh(&format!("stat -f -c '%S %b %c %l' {path}")).ok();
    assert_eq!(of("docs"), of("$ROOT/pools"));
    let df = f.sh("df --output=size,target . | tail -n 1").ok();
    assert!(df.trim_end().ends_with(f.mnt().to_str().unwrap()), "{df}");
    assert!(df.trim().split(' ').next().unwrap().parse::<u64>().unwrap() > 0, "{df}");
    // While the pool's writer is stopped in the middle of everything, and a reader blocks.
    let reader = f.spawn("exec cat docs/follow");
    wait_for("the reader to block", || is_blocked(reader.0.id()));
    f.sh("timeout 5 df docs docs/follow").ok();
}
