//! `plasmite mount` and `plasmite unmount`. Without FUSE on the machine these tests do nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Proc, Sandbox, WAIT_LIMIT, have, json_lines};

/// A mounted sandbox, unmounted whatever happens.
pub(crate) struct Mounted {
    pub(crate) daemon: Proc,
    pub(crate) mountpoint: PathBuf,
    /// Where it says that it is ready, and that it ends.
    manager: UnixDatagram,
}

impl Mounted {
    pub(crate) fn new(sandbox: &Sandbox, wrapper: &[&str], options: &[&str]) -> Self {
        let mounted = Self::untouched(sandbox, wrapper, options);
        assert!(mounted.is_mounted());
        mounted
    }

    /// One that nobody has asked for anything yet.
    fn untouched(sandbox: &Sandbox, wrapper: &[&str], options: &[&str]) -> Self {
        Self::at("m", sandbox, wrapper, options)
    }

    /// The same at a mountpoint of this name.
    pub(crate) fn at(name: &str, sandbox: &Sandbox, wrapper: &[&str], options: &[&str]) -> Self {
        let mountpoint = sandbox.path(name);
        let mut args = vec!["mount", mountpoint.to_str().unwrap()];
        args.extend(options);
        let socket = sandbox.path(&format!("{name}.notify"));
        // That of an earlier mount.
        let _ = fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        let mut command = sandbox.wrapped(wrapper, &args);
        command.env("NOTIFY_SOCKET", &socket);
        let mounted = Self { daemon: sandbox.start(command), mountpoint, manager };
        mounted.manager.recv(&mut [0; 1000]).expect("the mount is ready in time");
        mounted
    }

    fn is_mounted(&self) -> bool {
        let device = |path: PathBuf| fs::metadata(path).map(|facts| facts.dev()).ok();
        let parent = self.mountpoint.parent().map(PathBuf::from);
        let here = device(self.mountpoint.clone());
        here.is_some() && here != parent.and_then(device)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.mountpoint.join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-lq").arg(&self.mountpoint).status();
    }
}

pub(crate) fn have_fuse() -> bool {
    have("/dev/fuse") && rustix::process::geteuid().is_root()
}

pub(crate) const PLAIN: &[&str] = &["env", "--default-signal=INT,TERM,HUP"];

#[test]
fn signals_unmount_and_exit_with_0() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut mounted = Mounted::new(&sandbox, PLAIN, &[]);
        assert!(mounted.file("docs").is_dir());
        mounted.daemon.signal(signal);
        let (code, talk) = mounted.daemon.end();
        assert_eq!(code, Some(0), "{signal:?}: {talk}");
        assert!(!mounted.is_mounted(), "{signal:?}");
        let pools = sandbox.path("pools");
        for real in [
            format!("mkdir {}/docs\n", mounted.mountpoint.display()),
            format!("cat {}/docs/1\n", mounted.mountpoint.display()),
            format!("plasmite follow docs --tail 10 --dir {}\n", pools.display()),
            "Ctrl-C unmounts".to_owned(),
        ] {
            assert!(talk.contains(&real), "{talk}");
        }
    }
}

#[test]
fn ctrl_c_unmounts_under_a_blocked_reader() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mut mounted = Mounted::new(&sandbox, PLAIN, &[]);
    let mut cat = Command::new("cat");
    cat.arg(mounted.file("docs/tail"));
    let mut cat = sandbox.start(cat);
    sandbox.feed("docs", "{}", &[]);
    assert_eq!(cat.json()["seq"], 1);
    mounted.daemon.signal(Signal::INT);
    assert_eq!(mounted.daemon.end().0, Some(0));
    assert!(!mounted.is_mounted());
    cat.status();
}

#[test]
fn a_mount_under_nohup_outlives_the_terminal() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let nohup = &["env", "--default-signal=INT,TERM", "--ignore-signal=HUP"];
    let mut mounted = Mounted::new(&sandbox, nohup, &[]);
    mounted.daemon.signal(Signal::HUP);
    thread::sleep(Duration::from_millis(200));
    assert!(mounted.is_mounted());
    mounted.daemon.signal(Signal::TERM);
    assert_eq!(mounted.daemon.end().0, Some(0));
}

#[test]
fn unmount_ends_the_daemon_with_0() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mut mounted = Mounted::new(&sandbox, PLAIN, &[]);
    let mountpoint = mounted.mountpoint.to_str().unwrap().to_owned();
    assert_eq!(sandbox.run(&["unmount", &mountpoint]).ok(), "");
    assert_eq!(mounted.daemon.end().0, Some(0));
    let error = sandbox.run(&["unmount", &mountpoint]).fails(3);
    assert_eq!((&error["kind"], &error["path"]), (&json!("NotFound"), &json!(mountpoint)));
}

#[test]
fn a_mount_takes_the_place_of_one_whose_daemon_died() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mut dead = Mounted::new(&sandbox, PLAIN, &[]);
    dead.daemon.signal(Signal::KILL);
    dead.daemon.status();
    let mut next = Mounted::new(&sandbox, PLAIN, &[]);
    assert!(next.file("docs").is_dir());
    next.daemon.signal(Signal::INT);
    assert_eq!(next.daemon.end().0, Some(0));

    let mut dead = Mounted::new(&sandbox, PLAIN, &[]);
    dead.daemon.signal(Signal::KILL);
    dead.daemon.status();
    sandbox.run(&["unmount", dead.mountpoint.to_str().unwrap()]).ok();
    assert!(fs::read_dir(&dead.mountpoint).is_ok());
}

#[test]
fn the_command_and_the_mount_see_each_other() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox, PLAIN, &["--pool-size", "128K"]);
    fs::create_dir(mounted.file("docs")).unwrap();
    assert_eq!(sandbox.run(&["pool", "info", "docs"]).json()["size_bytes"], 128 << 10);
    let follower = sandbox.follower("docs", &[]);
    fs::write(mounted.file("docs/first.json"), "{\"hello\":\"world\"}\n").unwrap();
    assert_eq!(follower.json()["data"], json!({"hello": "world"}));
    sandbox.feed("docs", "{\"n\":2}", &["t"]);
    let envelope = sandbox.run(&["fetch", "docs", "2"]).ok();
    assert_eq!(fs::read_to_string(mounted.file("docs/2")).unwrap(), envelope);
    let log = fs::read_to_string(mounted.file("docs/log")).unwrap();
    assert_eq!(json_lines(&log).len(), 2);
    sandbox.run(&["pool", "delete", "docs"]).ok();
    assert!(!mounted.file("docs").exists());
}

#[test]
fn what_can_not_be_mounted_is_told() {
    let sandbox = Sandbox::new();
    let error = sandbox.run(&["mount", "other", "m"]).fails(2);
    assert!(error["message"].as_str().unwrap().contains("twice"), "{error}");
    fs::write(sandbox.path("file"), "").unwrap();
    let file = sandbox.path("file");
    for path in [file.to_str().unwrap(), "/dev/null", "/proc/nope"] {
        let ran = sandbox.run(&["mount", path]);
        let code = ran.code.unwrap();
        assert!(matches!(code, 2 | 3 | 6 | 8), "{ran:?}");
        ran.fails(code);
    }
    let error = sandbox.run(&["mount", "m", "--pool-size", "big"]).fails(2);
    assert!(error["message"].as_str().unwrap().contains("64K"), "{error}");
    sandbox.run(&["mount"]).fails(2);
}

/// Has the daemon do what it does with a kernel that has to lock a directory to forget a name.
const OLDER_KERNEL: &str = "PLASMITE_AS_BEFORE_LINUX_6_16=1";

/// A mount of `docs` and `other`, whose names the kernel knows.
fn with_two_pools(sandbox: &Sandbox, wrapper: &[&str]) -> Mounted {
    sandbox.run(&["pool", "create", "other"]).ok();
    let mounted = Mounted::new(sandbox, wrapper, &[]);
    for name in ["docs", "other"] {
        fs::metadata(mounted.file(name)).unwrap();
    }
    mounted
}

/// Has the daemon tell the kernel that a name has gone, and kills it when it has done it, though somebody waits for its answer.
fn kill_when_a_pool_goes(sandbox: &Sandbox, mounted: &mut Mounted) {
    fs::remove_file(sandbox.path("pools/other.plasmite")).unwrap();
    thread::sleep(Duration::from_secs(1));
    mounted.daemon.signal(Signal::KILL);
}

/// Where in the kernel a program is that waits for an answer of a mount.
const WAITS: &str = "request_wait_answer";

/// Waits until a program does.
fn wait_for_a_request(program: &Proc) {
    program.wait_until(|pid| a_thread_shows(pid, "wchan", WAITS));
}

/// A file in /proc of each of the threads.
fn texts(pid: u32, file: &str) -> impl Iterator<Item = String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(Result::unwrap);
    threads.filter_map(move |thread| fs::read_to_string(thread.path().join(file)).ok())
}

/// True when that file of one of them is this text.
fn a_thread_shows(pid: u32, file: &str, text: &str) -> bool {
    texts(pid, file).any(|found| found == text)
}

#[test]
fn a_daemon_that_is_killed_while_a_pool_is_removed_and_another_goes_dies_and_lets_the_remover_go() {
    if !have_fuse() {
        return;
    }
    for wrapper in [&["env"][..], &["env", OLDER_KERNEL]] {
        killed_while_a_pool_is_removed(wrapper);
    }
}

fn killed_while_a_pool_is_removed(wrapper: &[&str]) {
    let sandbox = Sandbox::with_docs();
    let mut mounted = with_two_pools(&sandbox, wrapper);
    // A writer that stopped in the lock: the removal waits for it in the daemon, and the kernel keeps the directory locked.
    let mut feed = sandbox.command(&["feed", "docs", "{}"]);
    feed.env("PLASMITE_STOP_AT", "lock-taken");
    let writer = sandbox.start(feed);
    let state = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    writer.wait_until(|pid| state(pid).contains(" T "));
    let mut rmdir = Command::new("rmdir");
    rmdir.arg(mounted.file("docs"));
    let mut remover = sandbox.start(rmdir);
    wait_for_a_request(&remover);
    // What it waits for is the removal, no look-up before it, and the daemon has it.
    mounted.daemon.wait_until(|pid| a_thread_shows(pid, "comm", "pool-helper\n"));
    kill_when_a_pool_goes(&sandbox, &mut mounted);
    assert_eq!(remover.end().0, Some(1), "rmdir");
    mounted.daemon.status();
}

#[test]
fn a_daemon_that_is_killed_while_a_pool_is_looked_for_and_another_goes_dies_and_lets_the_looker_go()
{
    // An older kernel has no other way than to lock the directory.
    if !have_fuse() || kernel() < (6, 16) {
        return;
    }
    // A pool file on a file system that does not answer keeps the look-up in the daemon, and the kernel the directory locked.
    let elsewhere = Sandbox::new();
    let slow = Mounted::new(&elsewhere, &["env"], &[]);
    let sandbox = Sandbox::with_docs();
    let link = sandbox.path("pools/slow.plasmite");
    std::os::unix::fs::symlink(slow.file("nothing"), link).unwrap();
    let mut mounted = with_two_pools(&sandbox, &["env"]);
    slow.daemon.signal(Signal::STOP);
    // A thread that has read a request before it stops would keep its program from dying.
    slow.daemon.wait_until(|pid| texts(pid, "stat").all(|stat| stat.contains(") T ")));
    let mut stat = Command::new("stat");
    stat.arg(mounted.file("slow"));
    let mut looker = sandbox.start(stat);
    wait_for_a_request(&looker);
    mounted.daemon.wait_until(|pid| a_thread_shows(pid, "wchan", WAITS));
    kill_when_a_pool_goes(&sandbox, &mut mounted);
    assert_eq!(looker.end().0, Some(1), "stat");
    mounted.daemon.status();
    slow.daemon.signal(Signal::CONT);
}

#[test]
fn the_daemon_asks_its_own_mount_for_nothing_since_a_kill_would_find_it_waiting_for_itself() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let log = sandbox.path("log");
    let options = ["--log-level", "debug", "--log-file", log.to_str().unwrap()];
    let mounted = Mounted::untouched(&sandbox, PLAIN, &options);
    let asked = || fs::read_to_string(&log).unwrap().matches("GETATTR").count();
    assert_eq!(asked(), 0);
    fs::metadata(&mounted.mountpoint).unwrap();
    mounted.daemon.wait_until(|_| asked() == 1);
}

#[test]
fn names_of_pools_that_go_are_forgotten_also_by_an_older_kernel() {
    if !have_fuse() {
        return;
    }
    for wrapper in [&["env"][..], &["env", OLDER_KERNEL]] {
        let sandbox = Sandbox::with_docs();
        let mounted = with_two_pools(&sandbox, wrapper);
        fs::remove_file(sandbox.path("pools/other.plasmite")).unwrap();
        mounted.daemon.wait_until(|_| !mounted.file("other").exists());
        sandbox.run(&["pool", "create", "other"]).ok();
        let other = fs::metadata(mounted.file("other")).unwrap().ino();
        fs::rename(sandbox.path("pools/docs.plasmite"), sandbox.path("pools/other.plasmite"))
            .unwrap();
        mounted.daemon.wait_until(|_| !mounted.file("docs").exists());
        mounted
            .daemon
            .wait_until(|_| fs::metadata(mounted.file("other")).is_ok_and(|m| m.ino() != other));
    }
}

/// The version of the kernel.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
