//! What the machine does to a pool in use: files cut, full disks, failing syncs, limits, namespaces, stopped and dying processes.

use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plasmite_core::{Durability, ErrorKind, OpenOptions, Pool, Seq, Timestamp};

use crate::support::{
    Dir, KIB, NO_TAGS, Talk, check_document, child, child_command, document, is_root, put,
};

const SYNC_LOCK: u64 = 768;

fn appender(wrapper: &[&str], pool: &Path, vars: &[(&str, &str)]) -> Talk {
    let mut command = child_command(wrapper, "appender", pool);
    command.env("PATIENCE_MS", "2000").envs(vars.iter().copied());
    Talk::start(command)
}

fn ready(wrapper: &[&str], pool: &Path, vars: &[(&str, &str)]) -> Talk {
    let mut talk = appender(wrapper, pool, vars);
    assert_eq!(talk.hear(), "ready");
    talk
}

/// A writer that dies at a failpoint.
fn dies(pool: &Path, at: &str, line: &str) {
    let mut talk = ready(&[], pool, &[("PLASMITE_DIE_AT", at)]);
    talk.tell(line);
    assert_eq!(talk.child.wait().unwrap().signal(), Some(libc::SIGKILL), "{at} was not reached");
}

fn word(pool: &Pool, at: u64) -> u64 {
    let mut bytes = [0; 8];
    pool.file().read_exact_at(&mut bytes, at).unwrap();
    u64::from_le_bytes(bytes)
}

fn state_of(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat[stat.rfind(')').unwrap()..].chars().nth(2).unwrap()
}

/// The process itself, when `pid` is that of `unshare --fork` or a shell that waits for it.
fn innermost(mut pid: u32) -> u32 {
    while let Ok(child) =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().trim().parse()
    {
        pid = child;
    }
    pid
}

fn wait_until_stopped(pid: u32) {
    while state_of(pid) != 'T' {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(pid: u32, signal: i32) {
    assert_eq!(unsafe { libc::kill(pid as libc::pid_t, signal) }, 0);
}

/// A small file system in memory, for one test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(kib: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mount.success());
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = fs::File::create(self.path("filler")).unwrap();
        let page = [1; 4096];
        while std::io::Write::write_all(&mut file, &page).is_ok() {}
    }

    fn make_room(&self) {
        // Not removed: another test's child may have inherited the descriptor, and not yet closed it.
        fs::File::create(self.path("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_sync_lock_left_by_a_dead_writer_is_not_taken_for_its_places_next_owners() {
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = dir.pool("p", 64 * KIB);
    dies(&path, "synced", "flush");
    let place = word(&pool, SYNC_LOCK) & 0x7fff_ffff;
    assert_ne!(place, 0, "it died with the lock");
    // One of these gets the place of the dead one, and never syncs.
    let others: Vec<_> = (0..160).map(|_| Pool::open(&path).unwrap()).collect();
    others.iter().for_each(|other| {
        put(other, "{}");
    });
    // Busy, naming a process that does nothing, was what this came to, after a minute.
    pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap();
}

#[test]
fn a_lock_left_by_a_deleter_that_died_is_inherited_with_its_deletion() {
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    let plan = [("PLASMITE_DIE_AT", "name-removed".to_owned())];
    let mut deleter = child("deleter", &path, &plan);
    assert_eq!(deleter.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(!path.exists());
    let error = pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    drop(dir.pool("p", 64 * KIB));
}

#[test]
fn a_writer_stopped_in_the_lock_in_a_pid_namespace_without_its_own_proc_is_not_taken_for_dead() {
    if !is_root() {
        return;
    }
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    // The number that the writer will have inside belongs to another process outside, whose /proc both see.
    let mut other = ready(&[], &path, &[]);
    let number = other.child.id();
    // A shell that takes lines: W starts the stopped writer with that number, R lets a second one append.
    let script = format!(
        "echo {} > /proc/sys/kernel/ns_last_pid
        PLASMITE_STOP_AT=frame-copied:1 \"$0\" \"$@\" < $FIFO & writer=$!
        echo \"@number $writer\"
        read line
        PATIENCE_MS=300 \"$0\" \"$@\" <<< fast
        kill -CONT $writer; wait $writer",
        number - 1
    );
    let fifo = dir.tmp.path().join("fifo");
    fs::write(&fifo, "fast\n").unwrap();
    let wrapper = ["unshare", "--pid", "--fork", "--kill-child", "bash", "-c", &script];
    let mut command = child_command(&wrapper, "appender", &path);
    command.env("PATIENCE_MS", "2000").env("FIFO", &fifo);
    let mut talk = Talk::start(command);
    assert_eq!(talk.hear(), format!("number {number}"));
    assert_eq!(talk.hear(), "ready");
    while word(&pool, 512) & 0x7fff_ffff == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Outside, that number is now a dead process, not reaped yet.
    other.child.kill().unwrap();
    while state_of(number) != 'Z' {
        std::thread::sleep(Duration::from_millis(1));
    }
    talk.tell("");
    assert_eq!(talk.hear(), "ready");
    let said = talk.hear();
    assert!(said.starts_with("Busy") && said.contains(&format!("process {number} ")), "{said}");
    assert_eq!(talk.hear(), "ok 2");
}

#[test]
fn a_writer_stopped_in_the_lock_in_another_time_namespace_is_not_taken_for_dead() {
    if !is_root() {
        return;
    }
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    let wrapper = ["unshare", "--time", "--boottime", "100000", "--fork", "--kill-child"];
    let mut writer = ready(&wrapper, &path, &[("PLASMITE_STOP_AT", "frame-copied")]);
    let pid = innermost(writer.child.id());
    writer.tell("fast");
    wait_until_stopped(pid);
    let mut second = ready(&[], &path, &[("PATIENCE_MS", "300")]);
    let said = second.ask("fast");
    assert!(said.starts_with("Busy") && said.contains(&format!("process {pid} ")), "{said}");
    signal(pid, libc::SIGCONT);
    assert_eq!(writer.hear(), "ok 2");
    assert_eq!(second.ask("fast"), "ok 3");
}

#[test]
fn writers_of_two_pid_namespaces_take_turns_and_busy_names_no_innocent_process() {
    if !is_root() {
        return;
    }
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = dir.pool("p", 64 * KIB);
    // Under a shell, as the first process of a namespace can neither be stopped nor killed from inside.
    let shell = "\"$0\" \"$@\"; exit $?";
    let wrapper =
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", shell];
    let mut inside = ready(&wrapper, &path, &[("PLASMITE_STOP_AT", "tip-written:5")]);
    let mut outside = ready(&[], &path, &[("PATIENCE_MS", "300")]);
    for n in 0..4 {
        assert_eq!(inside.ask("fast"), format!("ok {}", 2 * n + 1));
        assert_eq!(outside.ask("flush"), format!("ok {}", 2 * n + 2));
    }
    let pid = innermost(inside.child.id());
    inside.tell("fast");
    wait_until_stopped(pid);
    let said = outside.ask("fast");
    // Its number in its own namespace: here that is somebody else.
    assert!(said.contains("process 2 of another pid namespace"), "{said}");
    signal(pid, libc::SIGCONT);
    assert_eq!(inside.hear(), "ok 9");
    // One that dies in the lock is replaced, though nobody here knows its number.
    let mut doomed = ready(&wrapper, &path, &[("PLASMITE_DIE_AT", "frame-copied")]);
    doomed.tell("fast");
    assert_eq!(doomed.try_hear(), None);
    assert_eq!(outside.ask("fast"), "ok 10");
    assert_eq!(pool.bounds().unwrap().newest.get(), 10);
}

#[test]
fn a_writer_stopped_at_any_step_of_an_append_is_waited_for_and_goes_on() {
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = dir.pool("p", 64 * KIB);
    // A message of this size takes the room of several; a flush and an eviction come into it.
    while pool.bounds().unwrap().oldest == Seq::FIRST {
        pool.append(document(1, 1, 500).as_bytes(), NO_TAGS, Durability::Flush).unwrap();
    }
    let points = [
        "lock-taken",
        "room-made",
        "frame-begun",
        "frame-copied",
        "slot-written",
        "tip-begun",
        "tip-written",
        "flush-target-stored",
        "committed",
    ];
    for point in points {
        let before = pool.bounds().unwrap().newest.get();
        // Room for a small message may be there already.
        let mut writer = ready(&[], &path, &[("PLASMITE_STOP_AT", point)]);
        for _ in 0..100 {
            writer.tell("flush");
        }
        wait_until_stopped(writer.child.id());
        let seen = pool.bounds().unwrap();
        let mut second = ready(&[], &path, &[("PATIENCE_MS", "100")]);
        let said = second.ask("fast");
        assert!(said.starts_with("Busy"), "{point}: {said}");
        assert!(said.contains(&format!("process {} ", writer.child.id())), "{point}: {said}");
        pool.get(seen.newest).expect("readers don't mind");
        signal(writer.child.id(), libc::SIGCONT);
        for n in 0..100 {
            assert_eq!(writer.hear(), format!("ok {}", before + n + 1), "{point}");
        }
        assert_eq!(second.ask("fast"), format!("ok {}", before + 101), "{point}");
    }
}

#[test]
fn a_bus_error_that_a_process_sends_does_what_it_would_without_us() {
    let dir = Dir::new();
    drop(dir.pool("p", 64 * KIB));
    let run = |ignored: &str| {
        let vars = [("IGNORED", ignored.to_owned())];
        child("bus_error", &dir.path("p"), &vars).wait_with_output().unwrap()
    };
    // By default it ends the process.
    assert_eq!(run("0").status.signal(), Some(libc::SIGBUS));
    let ignoring = run("1");
    assert!(ignoring.status.success(), "{:?}", ignoring.status);
    assert!(String::from_utf8(ignoring.stdout).unwrap().contains("@ok"));
}

#[test]
fn a_limit_on_file_sizes_is_an_error_of_create_and_not_the_end_of_the_process() {
    let dir = Dir::new();
    let create = |size: u64| {
        let limited = ["bash", "-c", "ulimit -f 100; exec \"$0\" \"$@\""];
        let mut command = child_command(&limited, "creator", &dir.path("p"));
        Talk::start({
            command.env("SIZE", size.to_string());
            command
        })
        .hear()
    };
    let said = create(200 * KIB);
    assert!(said.starts_with("Usage") && said.contains("ulimit -f"), "{said}");
    assert_eq!(fs::read_dir(dir.tmp.path()).unwrap().count(), 0);
    assert_eq!(create(64 * KIB), "ok ()");
}

#[test]
fn a_pool_beyond_the_limit_on_file_sizes_can_be_used() {
    let dir = Dir::new();
    let pool = dir.pool("p", 1024 * KIB);
    let limited = ["bash", "-c", "ulimit -f 100; exec \"$0\" \"$@\""];
    let mut writer = ready(&limited, &dir.path("p"), &[]);
    for n in 1..=20_000 {
        assert_eq!(writer.ask("fast"), format!("ok {n}"));
    }
    assert_eq!(writer.ask("flush"), "ok 20001");
    assert!(pool.bounds().unwrap().oldest > Seq::FIRST, "the ring has turned");
}

#[test]
fn without_address_space_for_it_a_pool_is_not_created_nor_opened_and_the_process_lives() {
    let dir = Dir::new();
    let limited = ["bash", "-c", "ulimit -v 2000000; exec \"$0\" \"$@\""];
    let mut command = child_command(&limited, "creator", &dir.path("p"));
    command.env("SIZE", (3u64 << 30).to_string());
    let said = Talk::start(command).hear();
    assert!(said.starts_with("Io") && said.contains("ulimit -v"), "{said}");
    assert_eq!(fs::read_dir(dir.tmp.path()).unwrap().count(), 0, "it leaves nothing behind");
    drop(dir.pool("p", 3 << 30));
    let said = appender(&limited, &dir.path("p"), &[]).hear();
    assert!(said.starts_with("Io") && said.contains("ulimit -v"), "{said}");
}

#[test]
fn a_limit_on_data_is_none_on_pools_which_are_shared_memory() {
    let dir = Dir::new();
    let path = dir.path("p");
    drop(dir.pool("p", 96 << 20));
    let limited = ["bash", "-c", "ulimit -d 60000; exec \"$0\" \"$@\""];
    let mut writer = ready(&limited, &path, &[]);
    for n in 1..=100 {
        assert_eq!(writer.ask(if n % 2 == 0 { "fast" } else { "flush" }), format!("ok {n}"));
    }
    let mut command = child_command(&limited, "creator", &dir.path("q"));
    command.env("SIZE", (96u64 << 20).to_string());
    assert_eq!(Talk::start(command).hear(), "ok ()");
}

/// What the clock of the handles below says, in seconds.
static CLOCK: AtomicU64 = AtomicU64::new(0);

fn jumping_clock() -> Timestamp {
    Timestamp::from_nanos(CLOCK.load(Ordering::Relaxed) * 1_000_000_000)
}

#[test]
fn a_clock_that_jumps_neither_ends_a_wait_nor_keeps_its_end_away() {
    const YEAR: u64 = 365 * 24 * 3600;
    let dir = Dir::new();
    let path = dir.path("p");
    let now = 50 * YEAR;
    CLOCK.store(now, Ordering::Relaxed);
    let pool = dir.pool("p", 64 * KIB);
    let open = || OpenOptions::new().clock(jumping_clock).open(&path).unwrap();
    let writer = open();
    let mut newest = 0;
    let mut time = 0;
    for clock in [now, now - YEAR, now + YEAR, 0, now + 2 * YEAR, now] {
        let waiting = open();
        let waiter = std::thread::spawn(move || waiting.wait(Seq::new(newest), None));
        // It goes wrong while somebody waits.
        std::thread::sleep(Duration::from_millis(100));
        CLOCK.store(clock, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiter.is_finished(), "{clock}");
        let start = Instant::now();
        assert!(!writer.wait(Seq::new(newest), Some(Duration::from_millis(50))).unwrap());
        assert!(start.elapsed() >= Duration::from_millis(50), "{clock}");
        newest = put(&writer, "{}").seq.get();
        assert!(waiter.join().unwrap().unwrap(), "{clock}");
        let told = pool.get(Seq::new(newest)).unwrap().time().as_nanos();
        assert!(told >= time, "{clock}");
        time = told;
    }
    // Set back for good: that the file is gone is found out all the same.
    CLOCK.store(now - 10 * YEAR, Ordering::Relaxed);
    let waiting = open();
    let waiter = std::thread::spawn(move || waiting.wait(Seq::new(newest), None));
    fs::remove_file(&path).unwrap();
    assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    let error = writer.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// How many of a child's sleepers are in futex(2) or futex_waitv(2) just now. (They look around now and then.)
fn asleep(pid: u32) -> usize {
    let is_asleep = |task: &Path| {
        let look = |what| fs::read_to_string(task.join(what)).unwrap_or_default();
        let call = look("syscall");
        let sleeps = [libc::SYS_futex, libc::SYS_futex_waitv];
        let is_in = |number: libc::c_long| call.starts_with(&format!("{number} "));
        look("comm") == "sleeper\n" && sleeps.into_iter().any(is_in)
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.filter(|task| task.as_ref().is_ok_and(|task| is_asleep(&task.path()))).count()
}

#[test]
fn a_thousand_readers_that_die_asleep_cost_the_writer_one_wake_up() {
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    let mut readers: Vec<_> =
        (0..100).map(|_| Talk::start(child_command(&[], "sleeper", &path))).collect();
    readers.iter_mut().for_each(|reader| assert_eq!(reader.hear(), "ready"));
    let waiters = || word(&pool, 592) as u32;
    let start = Instant::now();
    for reader in &readers {
        while asleep(reader.child.id()) < 10 {
            assert!(start.elapsed() < Duration::from_secs(100), "they do not sleep");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(waiters() & 1, 1);
    drop(readers);
    let before = waiters();
    for n in 2..1002 {
        assert_eq!(put(&pool, "{}").seq.get(), n);
    }
    // The word counts wake-ups from its third bit on: the first append cleared the two marks below.
    assert_eq!(waiters(), (before | 3).wrapping_add(1));
}

#[test]
fn a_full_disk_is_an_error_of_create_and_never_of_an_append() {
    if !is_root() {
        return;
    }
    let disk = SmallDisk::new(1024);
    let pool = Pool::create(&disk.path("p.plasmite"), 256 * KIB).unwrap();
    // Each step that takes room: the file's bytes, then its name.
    let error = Pool::create(&disk.path("q.plasmite"), 1024 * KIB).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.message().contains("no room"), "{error}");
    assert!(error.hint().is_some());
    disk.fill();
    let error = Pool::create(&disk.path("r.plasmite"), 8 * KIB).unwrap_err();
    assert!(error.message().contains("no room"), "{error}");
    let mut names: Vec<_> =
        fs::read_dir(disk.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["filler", "p.plasmite"], "nothing is left of what failed");
    for n in 1..=1000 {
        let durability = if n % 10 == 0 { Durability::Flush } else { Durability::Fast };
        let text = document(1, n, 1000);
        assert_eq!(pool.append(text.as_bytes(), NO_TAGS, durability).unwrap().seq.get(), n);
    }
    let bounds = pool.bounds().unwrap();
    for seq in bounds.oldest.get()..=bounds.newest.get() {
        assert_eq!(check_document(pool.get(Seq::new(seq)).unwrap().data()), (1, seq));
    }
    Pool::open(&disk.path("p.plasmite")).unwrap();
}

#[test]
fn a_copy_with_holes_on_a_full_disk_is_refused_before_an_append_could_meet_a_hole() {
    if !is_root() {
        return;
    }
    let disk = SmallDisk::new(1024);
    let dir = Dir::new();
    let pool = dir.pool("p", 256 * KIB);
    put(&pool, "{\"a\":1}");
    let copy = disk.path("copy.plasmite");
    let cp = Command::new("cp").arg("--sparse=always").args([&dir.path("p"), &copy]).status();
    assert!(cp.unwrap().success());
    disk.fill();
    let error = Pool::open(&copy).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(libc::ENOSPC)), "{error}");
    assert_eq!(Pool::open_read_only(&copy).unwrap().bounds().unwrap().newest, Seq::FIRST);
    disk.make_room();
    let copy = Pool::open(&copy).unwrap();
    disk.fill();
    for n in 1..1000 {
        put(&copy, &document(1, n, 500));
    }
}

#[test]
fn a_writer_whose_disk_fails_in_the_lock_gets_an_error_and_keeps_nobody_waiting() {
    if !is_root() {
        return;
    }
    let disk = SmallDisk::new(1024);
    let path = disk.path("p.plasmite");
    let pool = Pool::create(&path, 256 * KIB).unwrap();
    put(&pool, &document(1, 1, 100));
    // The pages of the ring are lost while the header stays, and the disk has no room for new ones.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(20 * KIB).unwrap();
    file.set_len(256 * KIB).unwrap();
    disk.fill();
    let text = document(1, 2, 100_000);
    let error = pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    for error in [
        pool.get(Seq::FIRST).unwrap_err(),
        pool.flush().unwrap_err(),
        pool.bounds().unwrap_err(),
        pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err(),
    ] {
        assert!(error.message().contains("was lost while it was in use"), "{error}");
    }
    disk.make_room();
    // The first handle's process lives, and the lock in the file names it.
    assert_ne!(word(&pool, 512) & 0x7fff_ffff, 0);
    let second = Pool::open(&path).unwrap();
    assert_eq!(put(&second, &document(1, 2, 100)).seq.get(), 2);
}

#[test]
fn without_a_descriptor_left_an_open_fails_and_open_pools_work_on() {
    let dir = Dir::new();
    let path = dir.path("p");
    drop(dir.pool("p", 64 * KIB));
    // The appender, once more, that first takes every descriptor but a few.
    let limited = ["bash", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let mut command = child_command(&limited, "opener_of_many", &path);
    command.env("COUNT", "100");
    let mut talk = Talk::start(command);
    let said = talk.hear();
    assert!(said.starts_with("Io") && said.contains("Too many open files"), "{said}");
    for n in 1..=200 {
        assert_eq!(talk.hear(), format!("ok {n}"));
    }
}

#[test]
fn a_file_replaced_deleted_or_made_read_only_under_handles_is_found_out_by_all_of_them() {
    let dir = Dir::new();
    let path = dir.path("p");
    let gone: [fn(&Path, &Path); 3] = [
        |path, new| fs::rename(new, path).unwrap(),
        |path, _| fs::remove_file(path).unwrap(),
        |path, new| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink(new, path).unwrap();
        },
    ];
    for take_away in gone {
        let pool = dir.pool("p", 64 * KIB);
        let reader = Pool::open_read_only(&path).unwrap();
        let mut writer = ready(&[], &path, &[]);
        assert_eq!(writer.ask("fast"), "ok 1");
        let asleep = {
            let pool = pool.clone();
            std::thread::spawn(move || pool.wait(Seq::new(1), None))
        };
        // Who may only read from now on is who opens it from now on.
        let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o444);
        fs::set_permissions(&path, read_only).unwrap();
        assert_eq!(writer.ask("flush"), "ok 2");
        assert!(asleep.join().unwrap().unwrap());
        let asleep = {
            let pool = pool.clone();
            std::thread::spawn(move || pool.wait(Seq::new(2), None))
        };
        put(&dir.pool("new", 64 * KIB), "{\"new\":1}");
        take_away(&path, &dir.path("new"));
        // Nobody told them: they look now and then.
        let start = Instant::now();
        while !writer.ask("fast").starts_with("NotFound") {
            assert!(start.elapsed() < Duration::from_secs(60));
        }
        let news = asleep.join().unwrap();
        assert!(news.as_ref().is_ok() || news.unwrap_err().kind() == ErrorKind::NotFound);
        for pool in [&pool, &reader] {
            assert_eq!(pool.check_alive().unwrap_err().kind(), ErrorKind::NotFound);
        }
        if path.exists() {
            let new = Pool::open(&path).unwrap();
            assert_eq!(new.get(Seq::FIRST).unwrap().data(), "{\"new\":1}");
            fs::remove_file(&path).unwrap();
        }
        let _ = fs::remove_file(dir.path("new"));
    }
}
