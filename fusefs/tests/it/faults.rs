//! What is done to a mount: daemons that die, connections that the kernel ends, clients that are slow or die, hostile names and
//! writes, and files that change places under it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use plasmite_core::{Client, Durability, Pool};
use plasmite_fusefs::{Mount, MountOptions};

use crate::fixture::{Fixture, Running, append, is_blocked, is_root, read, wait_for};

const BOB: u32 = 54_322;

/// A mount whose daemon is a process of its own, which can be killed.
struct Daemon {
    root: tempfile::TempDir,
    process: Running,
}

impl Daemon {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let exe = std::env::current_exe().unwrap();
        let process = Command::new(exe)
            .args(["--exact", "lifecycle::daemon_for_the_kill", "--nocapture", "--ignored"])
            .env("PLASMITE_TEST_POOLS", root.path().join("p"))
            .env("PLASMITE_TEST_MOUNT", root.path().join("m"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Running)
            .unwrap();
        let docs = root.path().join("m/docs/info.json");
        wait_for("the daemon's mount", || docs.exists());
        Self { root, process }
    }

    fn sh(&self, script: &str) -> Running {
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).current_dir("/").stdin(Stdio::null());
        command.env("M", self.root.path().join("m")).env("ROOT", self.root.path());
        Running(command.stderr(Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.process.signal(9);
        self.process.ends_soon();
    }

    fn pool(&self) -> Pool {
        Client::new(self.root.path().join("p")).open("docs").unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.0.kill();
        let _ = Command::new("umount").arg("-l").arg(self.root.path().join("m")).output();
    }
}

#[test]
fn a_daemon_killed_in_the_middle_of_reads_and_writes_ends_them_and_the_pool_is_whole() {
    for round in 0..4 {
        let mut daemon = Daemon::start();
        let mut clients = vec![
            daemon.sh("while echo '{\"by\":\"echo\"}'; do :; done >> $M/docs/in"),
            daemon.sh("i=0; while cp $ROOT/x $M/docs/$((i++)).json; do :; done"),
            daemon.sh("exec cat $M/docs/tail > $ROOT/tail"),
            daemon.sh("while cat $M/docs/log; do :; done > /dev/null"),
            daemon.sh("exec dd if=/dev/zero of=$M/docs/.draft bs=1M status=none"),
        ];
        fs::write(daemon.root.path().join("x"), "{\"by\":\"cp\"}").unwrap();
        let pool = daemon.pool();
        wait_for("some messages", || pool.bounds().unwrap().newest.get() > 30 * (round + 1));
        daemon.kill();
        for client in &mut clients {
            client.ends_soon();
        }
        let bounds = pool.bounds().unwrap();
        let mut tail = pool.tail(Default::default()).unwrap();
        let mut count = 0;
        while let Some(message) = tail.try_next().unwrap() {
            assert!(
                ["{\"by\":\"echo\"}", "{\"by\":\"cp\"}"].contains(&message.data()),
                "{message:?}"
            );
            count += 1;
        }
        assert_eq!(count, bounds.count());
        append(&pool, "{}");
        assert_eq!(pool.bounds().unwrap().newest, bounds.newest.next());
        for line in read(daemon.root.path().join("tail")).split_inclusive('\n') {
            let whole = line.ends_with('\n');
            assert!(!whole || serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }
}

#[test]
fn a_connection_that_the_kernel_aborts_ends_the_daemon_and_the_next_mount_works() {
    if !is_root() {
        return;
    }
    let mut f = Fixture::new();
    append(&f.pool(), "{\"a\":1}");
    let mut readers: Vec<_> = (0..3).map(|_| f.spawn("exec cat docs/follow")).collect();
    for reader in &readers {
        wait_for("the reader to block", || is_blocked(reader.0.id()));
    }
    let control = f.root.path().join("control");
    fs::create_dir(&control).unwrap();
    // Usually at /sys/fs/fuse/connections, where not everybody mounts it.
    let mount = Command::new("mount").args(["-t", "fusectl", "none"]).arg(&control).status();
    assert!(mount.unwrap().success());
    let number = minor(fs::metadata(f.mnt()).unwrap().dev());
    fs::write(control.join(number.to_string()).join("abort"), "1").unwrap();
    assert!(Command::new("umount").arg(&control).status().unwrap().success());
    for reader in &mut readers {
        reader.ends_soon();
        assert!(!reader.0.wait().unwrap().success());
    }
    f.take_mount().wait().unwrap();
    assert!(fs::read_dir(f.mnt()).is_err());
    let options = MountOptions::new(f.root.path().join("pools"), f.mnt());
    let next = Mount::start(options).unwrap();
    assert_eq!(read(f.docs().join("1.json")), "{\"a\":1}\n");
    next.unmounter().unmount().unwrap();
    next.wait().unwrap();
}

/// The minor number of a device, as makedev(3) puts it together.
fn minor(dev: u64) -> u64 {
    (dev & 0xff) | (dev >> 12 & 0xffff_ff00)
}

#[test]
fn clients_that_are_slow_or_die_keep_nobody_else_from_working() {
    let f = Fixture::new();
    append(&f.pool(), "{\"n\":0}");
    let script = "
        for i in $(seq 20); do cat docs/tail | sleep 1000 & done
        for i in $(seq 20); do sh -c 'exec 3> docs/slow'$i'.json; printf \"{\\\"a\\\":\" >&3; exec sleep 1000' & done
        for i in $(seq 20); do cat docs/follow > /dev/null & done
        echo > $ROOT/started; wait";
    // In a process group of its own, which is killed as a whole.
    let mut slow = Command::new("setsid");
    slow.args(["bash", "-c", script]).current_dir(f.mnt()).env("ROOT", f.root.path());
    let slow = Running(slow.stdin(Stdio::null()).spawn().unwrap());
    wait_for("the slow ones", || f.root.path().join("started").exists());
    for n in 1..=100 {
        fs::write(f.docs().join("x.json"), format!("{{\"n\":{n}}}")).unwrap();
        assert_eq!(read(f.docs().join(format!("{}.json", n + 1))), format!("{{\"n\":{n}}}\n"));
    }
    let group = format!("-{}", slow.0.id());
    assert!(Command::new("kill").args(["-9", "--", &group]).status().unwrap().success());
    // Their unfinished documents are no messages, and nothing of theirs stays open.
    wait_for("their files to be closed", || f.sh("rmdir docs").code == Some(0));
}

#[test]
fn ten_thousand_files_can_be_open_at_once() {
    let f = Fixture::new();
    append(&f.pool(), "{\"n\":1}");
    let out = f
        .sh("python3 -c '
import os, resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
count = min(10000, hard - 100)
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, hard))
names = [\"1\", \"1.json\", \"log\", \"tail\", \"info.json\"]
files = [os.open(\"docs/\" + names[i % 5], os.O_RDONLY | os.O_NONBLOCK) for i in range(count)]
line = os.read(files[0], 1000)
for i, file in enumerate(files):
    if names[i % 5] in (\"1\", \"log\", \"tail\"):
        assert os.read(file, 1000) == line or i == 0
open(\"docs/x.json\", \"w\").write(\"{}\")
assert os.read(files[3], 1000)
print(count)'")
        .ok();
    assert!(out.trim().parse::<u64>().unwrap() > 900, "{out}");
    assert_eq!(f.pool().bounds().unwrap().newest.get(), 2);
}

#[test]
fn malformed_names_are_refused_or_taken_and_the_mount_goes_on() {
    let f = Fixture::new();
    f.sh(r#"python3 - <<'END'
import os, errno
names = [b"\xff\xfe", b"a\nb", b"\x01", b"x" * 255, b"x" * 256, b"x" * 4000, b" ", b"...", b"-", b"0", b"00", b"18446744073709551616",
         b"1.json.json", b".json", b"\xf0\x9f\x98\x80.json", b"a\\b", b"*", b"tags", b"since", b"%s%n", b"1\xff.json", b"72057594037927936"]
for base in [b"", b"docs/", b"docs/tags/", b"docs/since/", b"docs/tags/a/", b"docs/1/"]:
    for name in names:
        path = base + name
        for call in [os.stat, os.mkdir, os.rmdir, os.unlink, os.listdir, os.readlink,
                     lambda p: os.close(os.open(p, os.O_RDONLY | os.O_NONBLOCK)),
                     lambda p: os.close(os.open(p, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK)),
                     lambda p: os.rename(p, p + b"2"), lambda p: os.rename(b"docs/none", p),
                     lambda p: os.symlink(b"x", p), lambda p: os.mknod(p), lambda p: os.chmod(p, 0o777),
                     lambda p: os.getxattr(p, b"user.plasmite.seq"), lambda p: os.truncate(p, 5)]:
            try:
                call(path)
            except OSError as error:
                assert error.errno not in (errno.EIO, errno.ENOTCONN, errno.ECONNABORTED, errno.ENOSYS), (path, error)
END"#).ok();
    append(&f.pool(), "{\"a\":1}");
    let newest = f.pool().bounds().unwrap().newest;
    assert_eq!(read(f.docs().join(format!("{newest}.json"))), "{\"a\":1}\n");
}

#[test]
fn writes_at_odd_offsets_append_and_nothing_else() {
    let f = Fixture::new();
    f.sh(r#"python3 - <<'END'
import os
fd = os.open("docs/in", os.O_WRONLY | os.O_CREAT)
for i, at in enumerate([0, 1, 5, 4096, 1 << 20, 1 << 31, 1 << 40, 3]):
    text = b'{"i":%d}\n' % i
    assert os.pwrite(fd, text, at) == len(text)
os.lseek(fd, 1 << 33, os.SEEK_SET)
os.writev(fd, [b'{"i"', b':8', b'}\n'])
os.close(fd)
END
    dd of=docs/y.json seek=100 bs=7 conv=notrunc status=none <<< '{"i":9}'"#)
        .ok();
    let expected: Vec<_> = (0..10).map(|i| format!("{{\"i\":{i}}}")).collect();
    assert_eq!(f.data(), expected);
}

#[test]
fn huge_writes_are_taken_in_parts_or_refused_as_too_large() {
    let f = Fixture::sized(4 << 20);
    let (taken, refused) = (1_000_000, 100 << 20);
    let out = f
        .sh(&format!(
            r#"python3 - <<'END'
import os, errno
def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
fd = os.open("docs/in", os.O_WRONLY | os.O_CREAT)
write_all(fd, b'{{"some":"text"}}\n' * {taken})
os.close(fd)
fd = os.open("docs/big.json", os.O_WRONLY | os.O_CREAT)
try:
    write_all(fd, b'{{"big":"' + b"x" * {refused} + b'"}}')
    os.close(fd)
except OSError as error:
    print(errno.errorcode[error.errno])
END"#
        ))
        .ok();
    assert_eq!(out, "EFBIG\n");
    assert_eq!(f.pool().bounds().unwrap().newest.get(), taken);
}

#[test]
fn a_pool_whose_mode_forbids_it_is_read_through_no_view_though_it_was_before() {
    if !is_root() {
        return;
    }
    let f = Fixture::with(|options| options.allow_other = true);
    let pool = f.pool();
    pool.append(b"{\"secret\":1}", &["a"], Durability::Fast).unwrap();
    f.sh("echo '{\"secret\":2}' > docs/w.json; ! echo '{,\"bad' > docs/bad.json").ok();
    let views = [
        "1",
        "1.json",
        "log",
        "tail",
        "follow",
        "info.json",
        "errors",
        "first",
        "latest",
        "w.json",
        "tags/a/1",
        "tags/a/1.json",
        "tags/a/log",
        "tags/a/tail",
        "tags/a/info.json",
        "since/1h/1",
        "since/1h/log",
        "since/1h/tail",
        "since/1h/tags/a/1",
        "tags/a/since/1h/log",
    ];
    // What blocks is let go after a while.
    let probe = |path: &str| {
        let seconds = if path.contains("tail") || path.contains("follow") { 1 } else { 20 };
        f.sh_as(BOB, &format!("cd $M && timeout {seconds} cat {path}"))
    };
    // Everything that can be known of it is known to the kernel, and he stands in its directories.
    for view in views {
        probe(&format!("docs/{view}"));
    }
    assert!(probe("docs/1").out.contains("secret"), "he could, before");
    let mut inside = f.spawn(&format!(
        "exec setpriv --reuid={BOB} --regid={BOB} --clear-groups bash -c '
        cd docs/tags/a && echo inside; until [ -e $ROOT/go ]; do sleep 0.05; done
        cat 1 1.json log ../../1 ../../w.json; ls; true' 2> /dev/null"
    ));
    let mut said = BufReader::new(inside.0.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "inside");
    let file = f.root.path().join("pools/docs.plasmite");
    // By the file itself, of which the kernel learns when it asks.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for view in views {
        let done = probe(&format!("docs/{view}"));
        assert!(done.code != Some(0) && done.out.is_empty(), "{view}: {done:?}");
        assert!(done.err.contains("Permission denied"), "{view}: {done:?}");
    }
    for script in ["ls $M/docs", "ls $M/docs/tags/a", "getfattr -d $M/docs/1", "stat $M/docs/1"] {
        let done = f.sh_as(BOB, script);
        assert!(done.code != Some(0) && !done.out.contains("secret"), "{script}: {done:?}");
    }
    fs::write(f.root.path().join("go"), "").unwrap();
    assert_eq!(said.map_while(Result::ok).collect::<Vec<_>>(), [""; 0], "he stood inside");
}

#[test]
fn a_link_that_is_turned_between_a_pool_and_a_secret_one_never_shows_the_secret() {
    if !is_root() {
        return;
    }
    let f = Fixture::with(|options| options.allow_other = true);
    let secrets = f.root.path().join("secrets");
    let client = Client::new(&secrets);
    append(&client.create("secret", 64 << 10).unwrap(), "{\"secret\":true}");
    append(&client.create("open", 64 << 10).unwrap(), "{\"secret\":false}");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&secrets.join("secret.plasmite"), 0o600);
    mode(&secrets.join("open.plasmite"), 0o644);
    let stop = AtomicBool::new(false);
    let pools = f.root.path().join("pools");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let link = pools.join("turned.plasmite");
            let new = pools.join("new-link");
            for target in ["open", "secret"].iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let target = secrets.join(format!("{target}.plasmite"));
                std::os::unix::fs::symlink(target, &new).unwrap();
                fs::rename(&new, &link).unwrap();
                std::thread::yield_now();
            }
        });
        let script = format!(
            "exec setpriv --reuid={BOB} --regid={BOB} --clear-groups bash -c '
            for i in $(seq 60); do cat turned/1 turned/log turned/1.json turned/latest; done' 2> /dev/null"
        );
        let _stop = StopAtEnd(&stop);
        let mut readers: Vec<_> = (0..3).map(|_| f.spawn(&script)).collect();
        let mut out = String::new();
        for reader in &mut readers {
            reader.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        }
        assert!(!out.contains("true"), "he read the secret");
        assert!(out.contains("false"), "he never read anything");
    });
    assert_eq!(f.sh("ls docs").code, Some(0));
}

#[test]
fn pools_that_are_renamed_and_replaced_under_readers_show_one_or_the_other_whole() {
    let f = Fixture::new();
    let client = f.client();
    for (name, n) in [("one", 1), ("two", 2)] {
        let pool = client.create(name, 64 << 10).unwrap();
        (0..50).for_each(|_| append(&pool, &format!("{{\"pool\":{n}}}")));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (from, to) in [("one", "x"), ("two", "one"), ("x", "two")] {
                    client.rename(from, to).unwrap();
                }
            }
        });
        let _stop = StopAtEnd(&stop);
        let (mut whole, mut tries) = (0, 0);
        // On a busy machine it may take many until a log is read between two renames.
        while tries < 300 || whole == 0 {
            tries += 1;
            let mut text = String::new();
            // Gone, or another one since it was opened: an error is fine.
            let Ok(mut log) = File::open(f.mnt().join("one/log")) else { continue };
            if log.read_to_string(&mut text).is_err() {
                continue;
            }
            let (ones, twos) =
                (text.matches("{\"pool\":1}").count(), text.matches("{\"pool\":2}").count());
            assert!((ones == 0) != (twos == 0), "{ones} and {twos} in one log");
            whole += usize::from(ones + twos == 50);
        }
    });
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_pool_file_that_is_cut_deleted_or_replaced_under_a_mount_is_an_error_and_no_more() {
    let f = Fixture::new();
    let file = f.root.path().join("pools/docs.plasmite");
    let cut = |len| File::options().write(true).open(&file).unwrap().set_len(len).unwrap();
    (0..50).for_each(|_| append(&f.pool(), "{\"a\":1}"));
    let mut reader = f.spawn("exec cat docs/tail > /dev/null");
    wait_for("the reader to block", || is_blocked(reader.0.id()));
    assert_eq!(read(f.docs().join("7.json")), "{\"a\":1}\n");
    cut(5000);
    assert_ne!(f.sh("echo '{}' >> docs/in").code, Some(0));
    assert_ne!(f.sh("cat docs/9 docs/log").code, Some(0));
    reader.ends_soon();
    // A new pool in its place is another one.
    fs::remove_file(&file).unwrap();
    append(&f.client().create("docs", 64 << 10).unwrap(), "{\"new\":1}");
    wait_for("the new pool", || {
        fs::read_to_string(f.docs().join("1.json")).is_ok_and(|t| t == "{\"new\":1}\n")
    });
}

#[test]
fn a_pool_file_made_read_only_under_a_mount_is_written_by_those_alone_who_had_it_open() {
    if !is_root() {
        return;
    }
    let f = Fixture::with(|options| options.allow_other = true);
    let file = f.root.path().join("pools/docs.plasmite");
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    std::os::unix::fs::chown(&file, Some(BOB), Some(BOB)).unwrap();
    mode(0o600);
    let mut had_it_open = f.spawn(&format!(
        "exec setpriv --reuid={BOB} --regid={BOB} --clear-groups bash -c '
        cd docs; exec 3>>in; echo open; until [ -e $ROOT/go ]; do sleep 0.05; done
        echo {{\\\"held\\\":1}} >&3 && echo written'"
    ));
    let mut said = BufReader::new(had_it_open.0.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "open");
    let write = |name: &str| f.sh_as(BOB, &format!("echo '{{\"by\":\"bob\"}}' > $M/docs/{name}"));
    write("before.json").ok();
    mode(0o400);
    for name in ["x.json", "in", "before.json", "tags/a/x.json", "log", "1"] {
        let done = write(name);
        assert!(done.code != Some(0) && done.err.contains("denied"), "{name}: {done:?}");
    }
    f.sh_as(BOB, "cd $M/docs && cat 1 log latest info.json tags/a/log > /dev/null && ls").ok();
    fs::write(f.root.path().join("go"), "").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "written");
    mode(0o600);
    write("after.json").ok();
    let bobs = "{\"by\":\"bob\"}";
    assert_eq!(f.data(), [bobs, "{\"held\":1}", bobs]);
}
