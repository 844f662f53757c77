//! What ends a reader that waits for a message: the same as ends a reader of a pipe, and with the same result.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::mount::{Mounted, PLAIN, have_fuse};
use crate::support::{Sandbox, WAIT_LIMIT};

#[track_caller]
fn wait_for(what: &str, mut test: impl FnMut() -> bool) {
    let start = Instant::now();
    while !test() {
        assert!(start.elapsed() < 2 * WAIT_LIMIT, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// True when the program waits for the mount to answer a read, not an open or the like.
fn blocked(pid: u32) -> bool {
    let read = if cfg!(target_arch = "x86_64") { "0 " } else { "63 " };
    let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    of("syscall").starts_with(read) && of("wchan").contains("request_wait")
}

fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

fn reader(mounted: &Mounted) -> Child {
    let mut cat = Command::new("env");
    cat.args(["--default-signal", "cat"]).arg(mounted.file("docs/follow"));
    cat.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn readers(mounted: &Mounted, count: usize) -> Vec<Child> {
    let readers: Vec<_> = (0..count).map(|_| reader(mounted)).collect();
    wait_for("the readers to block", || readers.iter().all(|r| blocked(r.id())));
    readers
}

/// The same program where it waits at a pipe.
fn pipe_reader() -> Child {
    let mut cat = Command::new("env");
    cat.args(["--default-signal", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let cat = cat.stderr(Stdio::piped()).spawn().unwrap();
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", cat.id()));
    wait_for("the reader to block", || {
        of("comm").is_ok_and(|comm| comm == "cat\n")
            && of("wchan").is_ok_and(|w| w.contains("pipe"))
    });
    cat
}

fn signal(reader: &Child, signal: Signal) {
    kill_process(Pid::from_child(reader), signal).unwrap();
}

/// Waits for the end: what `$?` is, and what was written to stderr.
#[track_caller]
fn end(mut reader: Child) -> (i32, String) {
    use std::os::unix::process::ExitStatusExt as _;
    wait_for("the reader to end", || reader.try_wait().unwrap().is_some());
    let status = reader.wait().unwrap();
    let mut err = String::new();
    reader.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (status.code().unwrap_or_else(|| 128 + status.signal().unwrap()), err)
}

/// SEMANTICS: Signals end a reader that waits
#[test]
fn every_signal_ends_every_blocked_reader_however_many_there_are() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mounted = Mounted::new(&sandbox, PLAIN, &[]);
    for sig in [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP, Signal::USR1, Signal::KILL] {
        let reader = readers(&mounted, 1).remove(0);
        signal(&reader, sig);
        let ended = end(reader);
        assert_eq!(ended, (128 + sig.as_raw(), String::new()), "{sig:?}");
        let pipe_reader = pipe_reader();
        signal(&pipe_reader, sig);
        assert_eq!(ended, end(pipe_reader), "{sig:?}");
    }
    for sig in [Signal::TERM, Signal::KILL] {
        many_end_by(&mounted, 100, sig);
    }
    many_end_by(&mounted, 1000, Signal::TERM);
    // And the mount is as it was.
    fs::write(mounted.file("docs/x.json"), "{}").unwrap();
    assert_eq!(fs::read_to_string(mounted.file("docs/1.json")).unwrap(), "{}\n");
}

fn many_end_by(mounted: &Mounted, count: usize, sig: Signal) {
    let readers = readers(mounted, count);
    readers.iter().for_each(|reader| signal(reader, sig));
    for reader in readers {
        assert_eq!(end(reader), (128 + sig.as_raw(), String::new()), "{count} {sig:?}");
    }
}

/// SEMANTICS: Signals end a reader that waits
#[test]
fn a_thousand_readers_are_killed_at_once() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    many_end_by(&Mounted::new(&sandbox, PLAIN, &[]), 1000, Signal::KILL);
}

/// SEMANTICS: Signals end a reader that waits
#[test]
fn timeout_ends_a_hundred_and_a_thousand_readers_as_it_ends_one() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mounted = Mounted::new(&sandbox, PLAIN, &[]);
    for count in ["100", "1000"] {
        let mut bash = Command::new("bash");
        bash.args([
            "-c",
            "for i in $(seq $1); do timeout 2 cat \"$0\" & p+=($!); done
             for p in ${p[@]}; do wait $p; codes+=\" $?\"; done
             printf '%s\\n' $codes | sort | uniq -c",
        ]);
        bash.arg(mounted.file("docs/follow")).arg(count);
        let ran = sandbox.finish(bash, b"");
        let told = ran.out.split_whitespace().collect::<Vec<_>>();
        assert_eq!((told, ran.err.as_str()), (vec![count, "124"], ""));
    }
}

#[test]
fn readers_wait_where_signals_reach_them_also_after_others_were_interrupted() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mounted = Mounted::new(&sandbox, PLAIN, &[]);
    for _ in 0..20 {
        let reader = readers(&mounted, 1).remove(0);
        // D would mean that the kernel has given up telling of signals; such readers count as load.
        assert_eq!(state(reader.id()), Some('S'));
        signal(&reader, Signal::INT);
        end(reader);
    }
}

/// SEMANTICS: Signals end a reader that waits
#[test]
fn signals_that_are_ignored_or_handled_do_what_they_do_elsewhere() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mounted = Mounted::new(&sandbox, PLAIN, &[]);
    let follow = mounted.file("docs/follow");
    let python = |script: &str| {
        let mut command = Command::new("python3");
        command
            .arg("-c")
            .arg(format!("import os, signal, sys, threading\npath = sys.argv[1]\n{script}"));
        command.arg(&follow).stdin(Stdio::null());
        command
    };
    // Ignored: the reader stays, and gets its message.
    let mut child = python("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(len(os.read(os.open(path, os.O_RDONLY), 999)) > 0)")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the reader to block", || blocked(child.id()));
    signal(&child, Signal::TERM);
    thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none());
    fs::write(mounted.file("docs/x.json"), "{}").unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "True\n");
    child.wait().unwrap();
    // Handled.
    let handled = "
signal.signal(signal.SIGALRM, lambda *a: (print('handled', flush=True), os._exit(3)))
signal.setitimer(signal.ITIMER_REAL, 0.2)
os.read(os.open(path, os.O_RDONLY), 999)";
    let ran = sandbox.finish(python(handled), b"");
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "handled\n"), "{ran:?}");
    // A process of several threads that all wait ends like any other.
    let threads = "
def read():
    os.read(os.open(path, os.O_RDONLY), 999)
for i in range(5):
    threading.Thread(target=read).start()
import time
time.sleep(0.3)
os._exit(4)";
    assert_eq!(sandbox.finish(python(threads), b"").code, Some(4));
    let mut command = Command::new("timeout");
    command.args(["0.3", "cat"]).arg(&follow);
    assert_eq!(sandbox.finish(command, b"").code, Some(124));
    let mut command = Command::new("bash");
    command.args(["-c", "timeout -s KILL 0.3 cat \"$0\" 2> /dev/null; exit $?"]).arg(&follow);
    assert_eq!(sandbox.finish(command, b"").code, Some(137));
}

/// SEMANTICS: Signals end a reader that waits
#[test]
fn rmdir_and_unmount_are_end_of_file_and_the_daemons_death_is_an_error() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    for count in [1, 100] {
        let mut mounted = Mounted::new(&sandbox, PLAIN, &[]);
        // A pool whose files are open is not removed through the mount, but any other way.
        let waiting = readers(&mounted, count);
        assert!(fs::remove_dir(mounted.file("docs")).is_err());
        sandbox.run(&["pool", "delete", "docs"]).ok();
        for reader in waiting {
            assert_eq!(end(reader), (0, String::new()));
        }
        fs::create_dir(mounted.file("docs")).unwrap();
        let waiting = readers(&mounted, count);
        fs::remove_file(sandbox.pool_file("docs")).unwrap();
        for reader in waiting {
            assert_eq!(end(reader), (0, String::new()));
        }
        fs::create_dir(mounted.file("docs")).unwrap();
        let waiting = readers(&mounted, count);
        sandbox.run(&["unmount", mounted.mountpoint.to_str().unwrap()]).ok();
        for reader in waiting {
            assert_eq!(end(reader), (0, String::new()));
        }
        assert_eq!(mounted.daemon.end().0, Some(0));

        let mut mounted = Mounted::new(&sandbox, PLAIN, &[]);
        let waiting = readers(&mounted, count);
        mounted.daemon.signal(Signal::KILL);
        mounted.daemon.status();
        for reader in waiting {
            let (code, err) = end(reader);
            assert_eq!(code, 1);
            assert!(err.contains("connection abort"), "{err}");
        }
    }
}

/// A process with so many threads that wait for the mount. It prints what their reads have come to.
const THREADS: &str = "
import errno, os, resource, sys, threading
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
threading.stack_size(128 << 10)
ends = []
def read(fd):
    try: ends.append(len(os.read(fd, 999)))
    except OSError as error: ends.append(errno.errorcode[error.errno])
    os.close(fd)
threads = [threading.Thread(target=read, args=(os.open(sys.argv[1], os.O_RDONLY),)) for _ in range(int(sys.argv[2]))]
for thread in threads: thread.start()
if sys.stdin.readline() == 'exit\\n': os._exit(7)
for thread in threads: thread.join()
print(set(ends), len(ends), flush=True)";

fn a_thousand_threads(mounted: &Mounted) -> Child {
    waiting_threads(mounted, 1000)
}

/// Starts it, and waits until all threads wait.
fn waiting_threads(mounted: &Mounted, count: usize) -> Child {
    let mut python = Command::new("env");
    python.args(["--default-signal", "python3", "-c", THREADS]).arg(mounted.file("docs/follow"));
    python.arg(count.to_string());
    let python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let python = python.spawn().unwrap();
    let tasks = format!("/proc/{}/task", python.id());
    wait_for("all threads to block", || {
        let threads = fs::read_dir(&tasks).unwrap();
        let places = threads.filter_map(|t| fs::read_to_string(t.ok()?.path().join("wchan")).ok());
        places.filter(|place| place.contains("request_wait")).count() == count
    });
    python
}

/// SEMANTICS: Signals end a reader that waits
#[test]
fn a_thousand_threads_that_wait_end_together_whatever_ends_them() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mounted = Mounted::new(&sandbox, PLAIN, &[]);
    for sig in [Signal::TERM, Signal::QUIT, Signal::KILL] {
        let threads = a_thousand_threads(&mounted);
        signal(&threads, sig);
        assert_eq!(end(threads), (128 + sig.as_raw(), String::new()), "{sig:?}");
    }
    for count in [1, 100] {
        let mut exits = waiting_threads(&mounted, count);
        exits.stdin.take().unwrap().write_all(b"exit\n").unwrap();
        assert_eq!(end(exits), (7, String::new()), "{count}");
    }
    let mut exits = a_thousand_threads(&mounted);
    // The daemon has no thread for any of them.
    let serving = fs::read_dir(format!("/proc/{}/task", mounted.daemon.pid())).unwrap().count();
    assert!(serving < 20, "{serving}");
    exits.stdin.take().unwrap().write_all(b"exit\n").unwrap();
    assert_eq!(end(exits), (7, String::new()));

    drop(mounted);

    let told = |what: &str, end: &mut dyn FnMut(&mut Mounted)| {
        let mut mounted = Mounted::new(&sandbox, PLAIN, &[]);
        let mut threads = a_thousand_threads(&mounted);
        end(&mut mounted);
        drop(threads.stdin.take());
        let output = threads.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{{{what}}} 1000\n"));
        mounted
    };
    told("0", &mut |_| {
        sandbox.run(&["pool", "delete", "docs"]).ok();
    });
    sandbox.run(&["pool", "create", "docs"]).ok();
    told("0", &mut |_| fs::remove_file(sandbox.pool_file("docs")).unwrap());
    sandbox.run(&["pool", "create", "docs"]).ok();
    // Where none of its files is open.
    let other = Mounted::at("other", &sandbox, PLAIN, &[]);
    told("0", &mut |_| fs::remove_dir(other.file("docs")).unwrap());
    sandbox.run(&["pool", "create", "docs"]).ok();
    drop(other);
    let mut unmounted = told("0", &mut |mounted| {
        sandbox.run(&["unmount", mounted.mountpoint.to_str().unwrap()]).ok();
    });
    assert_eq!(unmounted.daemon.end().0, Some(0));
    for sig in [Signal::TERM, Signal::INT] {
        let mut ended = told("0", &mut |mounted| mounted.daemon.signal(sig));
        assert_eq!(ended.daemon.end().0, Some(0), "{sig:?}");
    }
    told("'ECONNABORTED'", &mut |mounted| mounted.daemon.signal(Signal::KILL));
}

/// An interactive shell on a terminal.
struct Terminal {
    script: Child,
    screen: Receiver<u8>,
    seen: String,
}

impl Terminal {
    fn new(sandbox: &Sandbox) -> Self {
        let mut script = Command::new("script");
        script.args(["-qec", "bash --norc --noprofile -i", "/dev/null"]);
        script.env("PS1", "$ ").current_dir(sandbox.path("m"));
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, screen) = channel();
        let stdout = script.stdout.take().unwrap();
        thread::spawn(move || {
            for byte in BufReader::new(stdout).bytes() {
                if byte.map_or(true, |byte| sender.send(byte).is_err()) {
                    return;
                }
            }
        });
        Self { script, screen, seen: String::new() }
    }

    fn types(&mut self, keys: &str) {
        self.script.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Reads the screen up to and with `text`.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        while !self.seen.contains(text) {
            match self.screen.recv_timeout(2 * WAIT_LIMIT) {
                Ok(byte) => self.seen.push(char::from(byte)),
                Err(error) => panic!("no {text:?} on the screen ({error}): {:?}", self.seen),
            }
        }
        self.seen.clear();
    }

    /// The pid of the program that waits for the mount, in a process group in the foreground.
    #[track_caller]
    fn blocked_reader(&self, name: &str) -> u32 {
        let mut found = None;
        wait_for("the reader to block", || {
            let list = Command::new("pgrep").args(["-x", name]).output().unwrap();
            let pids = String::from_utf8(list.stdout).unwrap();
            found = pids.lines().map(|l| l.parse().unwrap()).find(|pid| {
                let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
                blocked(*pid) && cwd.is_ok_and(|cwd| self.is_here(&cwd))
            });
            found.is_some()
        });
        found.unwrap()
    }

    /// Runs a program that waits, stops it with Ctrl-Z, and lets it go on: it shows what comes then.
    #[track_caller]
    fn stops_and_goes_on(&mut self, sandbox: &Sandbox, program: &str, name: &str) {
        self.types(&format!("{program}\n"));
        let pid = self.blocked_reader(name);
        self.types("\x1a");
        self.shows("Stopped");
        assert_eq!(state(pid), Some('T'), "{program}");
        self.types("fg\n");
        assert_eq!(self.blocked_reader(name), pid, "{program}");
        let seq = sandbox.feed("docs", "{\"after\":\"fg\"}", &[]);
        self.shows(&format!("{{\"seq\":{seq},"));
    }

    /// Has so many programs wait as one job in the foreground, each of which appends what it reads to `all`: their process group.
    #[track_caller]
    fn job(&mut self, sandbox: &Sandbox, count: usize) -> Vec<u32> {
        let _ = fs::remove_file(sandbox.path("group"));
        self.types(&format!(
            "(echo $BASHPID > ../group; for i in $(seq {count}); do env --default-signal cat docs/follow >> ../all & done; wait); echo en''ded $?\n"
        ));
        let mut pids = Vec::new();
        wait_for("the readers of the job to block", || {
            let group = fs::read_to_string(sandbox.path("group")).unwrap_or_default();
            let list =
                Command::new("pgrep").args(["-x", "cat", "-g", group.trim()]).output().unwrap();
            pids = String::from_utf8(list.stdout)
                .unwrap()
                .lines()
                .map(|l| l.parse().unwrap())
                .collect();
            pids.len() == count && pids.iter().all(|pid| blocked(*pid))
        });
        pids
    }

    fn is_here(&self, dir: &std::path::Path) -> bool {
        fs::read_link(format!("/proc/{}/cwd", self.script.id())).is_ok_and(|cwd| cwd == dir)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// SEMANTICS: Signals end a reader that waits
#[test]
fn keys_of_a_terminal_interrupt_quit_stop_and_go_on() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mounted = Mounted::new(&sandbox, PLAIN, &[]);
    let mut terminal = Terminal::new(&sandbox);
    // The prompt is there, and what is typed is not taken for a message of it.
    terminal.types("ulimit -c 0; echo rea''dy\n");
    terminal.shows("ready\r\n");
    for (key, code) in [("\x03", "130"), ("\x1c", "131")] {
        terminal.types("cat docs/follow; echo co''de $?\n");
        terminal.blocked_reader("cat");
        terminal.types(key);
        // An interactive shell drops the rest of the line at Ctrl-C.
        terminal.types("echo ende''d $?\n");
        terminal.shows(&format!(" {code}\r\n"));
    }
    for _ in 0..3 {
        terminal.stops_and_goes_on(&sandbox, "cat docs/tail", "cat");
        terminal.types("\x03");
        terminal.types("echo ende''d $?\n");
        terminal.shows("ended 130\r\n");
    }
    terminal.types("exit\n");
    drop(terminal);
    drop(mounted);
}

/// SEMANTICS: Signals end a reader that waits
#[test]
fn keys_of_a_terminal_do_with_a_hundred_and_a_thousand_readers_what_they_do_with_one() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let _mounted = Mounted::new(&sandbox, PLAIN, &[]);
    let mut terminal = Terminal::new(&sandbox);
    terminal.types("ulimit -c 0; stty cols 300; echo rea''dy\n");
    terminal.shows("ready\r\n");
    for count in [100, 1000] {
        let pids = terminal.job(&sandbox, count);
        terminal.types("\x1a");
        terminal.shows("Stopped");
        wait_for("all to stop", || pids.iter().all(|pid| state(*pid) == Some('T')));
        terminal.types("fg\n");
        wait_for("all to go on", || pids.iter().all(|pid| blocked(*pid)));
        let seq = sandbox.feed("docs", "{\"after\":\"fg\"}", &[]);
        let line = format!("{{\"seq\":{seq},");
        wait_for("all to get the message", || {
            let all = fs::read_to_string(sandbox.path("all")).unwrap();
            all.lines().filter(|got| got.starts_with(&line)).count() == count
        });
        for key in ["\x03", "\x1c"] {
            let pids = if key == "\x03" { pids.clone() } else { terminal.job(&sandbox, count) };
            terminal.types(key);
            wait_for("all to end", || pids.iter().all(|pid| state(*pid).is_none()));
            terminal.types("echo prom''pt\n");
            terminal.shows("prompt\r\n");
        }
    }
    terminal.types("exit\n");
}

/// Programs that go on after Ctrl-Z and `fg` as they do at a pipe, and their processes' names.
const JOBS: &[(&str, &str)] = &[
    ("head -n 500 docs/tail", "head"),
    ("grep --line-buffered . docs/tail", "grep"),
    ("jq -M --unbuffered -c . docs/tail", "jq"),
    ("dd if=docs/tail bs=64k status=none", "dd"),
    ("tee /dev/null < docs/tail", "tee"),
    ("cp docs/tail /dev/stdout", "cp"),
    ("perl -pe 'BEGIN { $| = 1 }' docs/tail", "perl"),
    ("python3 -uc 'for line in open(\"docs/tail\"): print(line, end=\"\")'", "python3"),
    ("bash -c 'while read -r line; do echo \"$line\"; done < docs/tail'", "bash"),
    ("dash -c 'while read -r line; do echo \"$line\"; done < docs/tail'", "dash"),
];

/// SEMANTICS: Signals end a reader that waits
#[test]
fn programs_stop_go_on_and_end_with_the_keys_of_a_terminal() {
    if !have_fuse() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let mounted = Mounted::new(&sandbox, PLAIN, &[]);
    let mut terminal = Terminal::new(&sandbox);
    terminal.types("ulimit -c 0; stty cols 300; echo rea''dy\n");
    terminal.shows("ready\r\n");
    for (program, name) in JOBS {
        terminal.stops_and_goes_on(&sandbox, program, name);
        terminal.blocked_reader(name);
        terminal.types("\x03");
        terminal.types("echo ende''d $?\n");
        terminal.shows("ended 130\r\n");
    }
    terminal.types("exit\n");
    drop(terminal);
    drop(mounted);
}
