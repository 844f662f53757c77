//! Pools that get another size under a mount: what is open goes on, and a directory stays the one it was.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use plasmite_core::{Durability, ErrorKind, Pool};

use crate::fixture::{Fixture, Running, append, is_blocked, wait_for};

const SIZES: [u64; 4] = [3 << 20, 2 << 20, 6 << 20, 4 << 20];

fn resize(f: &Fixture, round: usize) {
    Pool::resize(f.pool().path(), SIZES[round % SIZES.len()]).unwrap();
}

fn append_tagged(f: &Fixture) {
    f.pool().append(b"{}", &["a"], Durability::Fast).unwrap();
}

fn lines(running: &mut Running) -> impl Iterator<Item = u64> + use<> {
    let out = BufReader::new(running.0.stdout.take().unwrap());
    out.lines().map(|line| {
        let line = line.unwrap();
        let seq = line.strip_prefix("{\"seq\":").and_then(|rest| rest.split(',').next());
        seq.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
    })
}

/// Reads without blocking, and waits in poll(2).
const POLLS: &str = "
import os, select
fd = os.open('docs/tail', os.O_RDONLY | os.O_NONBLOCK)
poll = select.poll()
poll.register(fd, select.POLLIN)
while True:
    try:
        os.write(1, os.read(fd, 65536))
    except BlockingIOError:
        poll.poll()
";

/// SEMANTICS: A resized pool is the same directory
#[test]
fn readers_that_wait_go_on_after_one_resize_and_after_several() {
    let f = Fixture::new();
    append_tagged(&f);
    let mut readers: Vec<_> = [
        "exec cat docs/tail",
        "exec cat docs/follow",
        "exec cat docs/tags/a/tail",
        "exec cat docs/since/1h/tail",
        "exec tail -c +1 -f -s 0.05 docs/log",
        "exec tail -c +1 -f -s 0.05 docs/tags/a/log",
        &format!("exec python3 -c \"{POLLS}\""),
    ]
    .map(|script| (script.to_owned(), f.spawn(script)))
    .into();
    for (script, reader) in readers.iter().take(4) {
        wait_for(script, || is_blocked(reader.0.id()));
    }
    let mut outs: Vec<_> = readers.iter_mut().map(|(_, reader)| lines(reader)).collect();
    for (i, out) in outs.iter_mut().enumerate().filter(|(i, _)| *i != 1) {
        assert_eq!(out.next(), Some(1), "{}", readers[i].0);
    }
    for round in 0..5 {
        (0..=round).for_each(|times| resize(&f, round + times));
        append_tagged(&f);
        for (i, out) in outs.iter_mut().enumerate() {
            assert_eq!(out.next(), Some(round as u64 + 2), "{}", readers[i].0);
        }
    }
}

/// SEMANTICS: A resized pool is the same directory
#[test]
fn readers_under_a_busy_writer_get_each_message_once() {
    const COUNT: u64 = 15_000;
    let f = Fixture::sized(4 << 20);
    let followed = format!("exec head -n {COUNT} docs/follow");
    let listed = format!("exec head -n {COUNT} docs/tail");
    let tagged = format!("exec head -n {COUNT} docs/tags/a/tail");
    let logged = format!("tail -c +1 -f -s 0.05 docs/log | head -n {COUNT}");
    let mut readers: Vec<_> =
        [followed, listed, tagged, logged].map(|script| (f.spawn(&script), script)).into();
    for (reader, script) in readers.iter().take(3) {
        wait_for(script, || is_blocked(reader.0.id()));
    }
    let path = f.pool().path().to_owned();
    let writer = std::thread::spawn(move || {
        let (mut pool, mut reopened) = (Pool::open(&path).unwrap(), 0);
        for _ in 0..COUNT {
            while let Err(e) = pool.append(b"{}", &["a"], Durability::Fast) {
                assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
                pool = Pool::open(&path).unwrap();
                reopened += 1;
            }
        }
        reopened
    });
    let collected: Vec<_> = readers
        .iter_mut()
        .map(|(reader, _)| {
            let out = lines(reader);
            std::thread::spawn(move || out.collect::<Vec<_>>())
        })
        .collect();
    let mut round = 0;
    while !writer.is_finished() || round < 8 {
        resize(&f, round);
        round += 1;
    }
    writer.join().unwrap();
    for (seqs, (_, script)) in collected.into_iter().zip(&readers) {
        let seqs = seqs.join().unwrap();
        assert!(seqs.iter().copied().eq(1..=COUNT), "{script}: {} lines", seqs.len());
    }
}

/// A shell in a directory of the mount, which does line by line what it is told.
struct Shell {
    running: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn in_docs(f: &Fixture) -> Self {
        let mut child = Command::new("bash")
            .current_dir(f.docs())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { running: Running(child), input, output }
    }

    /// The one line that `command` prints, its errors included.
    fn ask(&mut self, command: &str) -> String {
        writeln!(self.input, "x=$({command} 2>&1); echo \"$x\" | tr '\\n' ' '; echo").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

/// SEMANTICS: A resized pool is the same directory
#[test]
fn a_directory_that_a_shell_is_in_goes_on_with_all_its_views() {
    let f = Fixture::new();
    for _ in 0..3 {
        append_tagged(&f);
    }
    let mut shell = Shell::in_docs(&f);
    let number = shell.ask("stat -c %i . latest log 3");
    assert_eq!(shell.ask("readlink latest first"), "3 1");
    for round in 0..4_usize {
        (0..=round).for_each(|times| resize(&f, round + times));
        let newest = 3 + round as u64 * 2;
        let last = format!("{newest} 1");
        assert_eq!(shell.ask("readlink latest first"), last);
        assert_eq!(shell.ask("stat -c %i . latest log 3"), number);
        append_tagged(&f);
        let newest = newest + 1;
        let all = (newest.to_string(), f.pool().size_bytes());
        assert_eq!(shell.ask("wc -l < log"), all.0);
        assert_eq!(shell.ask("cat log tags/a/log | wc -l"), (newest * 2).to_string());
        assert_eq!(shell.ask("ls | wc -l"), all.0);
        assert_eq!(shell.ask("cat latest | wc -l"), "1");
        assert_eq!(
            shell.ask("grep -o '\"size_bytes\":[0-9]*' info.json"),
            format!("\"size_bytes\":{}", all.1)
        );
        assert_eq!(
            shell.ask("echo '{}' > tags/a/x.json && cat log | wc -l"),
            (newest + 1).to_string()
        );
    }
    shell.running.signal(9);
}

/// SEMANTICS: A resized pool is the same directory
#[test]
fn files_that_are_open_for_writing_go_on_in_the_new_file() {
    let f = Fixture::new();
    let mut shell = Shell::in_docs(&f);
    shell.ask("true");
    writeln!(shell.input, "exec 3>>in 4>late.json; printf '{{\"half' >&3; printf '{{\"late' >&4")
        .unwrap();
    assert_eq!(shell.ask("echo ready"), "ready");
    resize(&f, 0);
    writeln!(
        shell.input,
        "echo '\":1}}' >&3; echo '\":1}}' >&4; exec 4>&-; sync -d in; for i in $(seq 5); do echo '{{}}' >&3; done"
    )
    .unwrap();
    assert_eq!(shell.ask("cat errors | wc -l"), "0");
    assert_eq!(f.data(), ["{\"half\":1}", "{\"late\":1}", "{}", "{}", "{}", "{}", "{}"]);
    let script = "import os, sys
fd = os.open('in', os.O_WRONLY | os.O_APPEND)
for line in sys.stdin:
    os.write(fd, line.encode())
    os.fsync(fd)
    print('synced', flush=True)
";
    let mut syncing = Command::new("python3")
        .args(["-c", script])
        .current_dir(f.docs())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut input = syncing.0.stdin.take().unwrap();
    let mut output = BufReader::new(syncing.0.stdout.take().unwrap()).lines();
    for round in 1..5 {
        input.write_all(b"{}\n").unwrap();
        assert_eq!(output.next().unwrap().unwrap(), "synced");
        let info = f.pool().info().unwrap();
        assert_eq!(info.durable, info.bounds.newest, "round {round}");
        resize(&f, round);
        append(&f.pool(), "{}");
    }
}
