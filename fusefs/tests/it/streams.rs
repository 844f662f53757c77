use std::io::{BufRead, BufReader, Read};

use crate::fixture::{Fixture, Running, append, is_blocked, wait_for};

fn lines(running: &mut Running) -> impl Iterator<Item = String> + use<> {
    BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap)
}

#[track_caller]
fn blocks(running: &Running) {
    wait_for("the reader to block", || is_blocked(running.0.id()));
}

/// SEMANTICS: tail and follow never end
#[test]
fn tail_starts_with_the_oldest_and_follow_with_the_next() {
    let f = Fixture::new();
    let pool = f.pool();
    append(&pool, "{\"n\":1}");
    append(&pool, "{\"n\":2}");
    let mut tail = f.spawn("exec cat docs/tail");
    let mut follow = f.spawn("exec cat docs/follow");
    blocks(&tail);
    blocks(&follow);
    f.sh("echo '{\"n\":3}' > docs/x.json").ok();
    append(&pool, "{\"n\":4}");
    let all: Vec<_> = lines(&mut tail).take(4).collect();
    let new: Vec<_> = lines(&mut follow).take(2).collect();
    assert_eq!(all[2..], new);
    let expected: Vec<_> =
        (1..=4).map(|s| pool.get(plasmite_core::Seq::new(s)).unwrap().to_json()).collect();
    assert_eq!(all, expected);
}

/// SEMANTICS: tail and follow never end
#[test]
fn signals_end_a_blocked_reader() {
    let f = Fixture::new();
    append(&f.pool(), "{}");
    for (signal, name) in [(2, "INT"), (15, "TERM"), (9, "KILL"), (10, "USR1")] {
        for file in ["docs/tail", "docs/follow"] {
            let mut reader = f.spawn(&format!("exec cat {file}"));
            blocks(&reader);
            reader.signal(signal);
            let took = reader.ends_soon();
            assert!(took.as_secs() < 10, "SIG{name}: {took:?}");
        }
    }
    let done =
        f.sh("timeout 0.3 cat docs/follow; echo $?; timeout -s KILL 0.3 cat docs/follow; echo $?");
    assert_eq!(done.out, "124\n137\n");
    let script = "import signal, os\nsignal.signal(signal.SIGALRM, lambda *a: (print('handled', flush=True), os._exit(3)))\nsignal.setitimer(signal.ITIMER_REAL, 0.2)\nopen('docs/follow','rb').read(10)";
    let done = f.sh(&format!("python3 -c \"{script}\""));
    assert_eq!((done.code, done.out.as_str()), (Some(3), "handled\n"));
    // And nothing is stuck.
    f.sh("echo '{}' > docs/x.json && cat docs/2").ok();
}

#[test]
fn a_stopped_reader_goes_on() {
    let f = Fixture::new();
    let mut reader = f.spawn("exec cat docs/follow");
    blocks(&reader);
    reader.signal(libc_sigstop());
    std::thread::sleep(std::time::Duration::from_millis(200));
    reader.signal(libc_sigcont());
    blocks(&reader);
    append(&f.pool(), "{\"after\":1}");
    assert!(lines(&mut reader).next().unwrap().contains("after"));
}

fn libc_sigstop() -> i32 {
    19
}

fn libc_sigcont() -> i32 {
    18
}

#[test]
fn idle_readers_neither_block_nor_cost() {
    let f = Fixture::new();
    let readers: Vec<_> = (0..60).map(|_| f.spawn("exec cat docs/follow")).collect();
    readers.iter().for_each(blocks);
    f.sh("for i in $(seq 50); do echo '{\"x\":1}' > docs/x.json; done; cat docs/1 docs/log > /dev/null; ls -l docs | wc -l").ok();
    for mut reader in readers {
        assert_eq!(lines(&mut reader).take(50).count(), 50);
        reader.signal(9);
        reader.ends_soon();
    }
}

/// SEMANTICS: tail and follow never end
#[test]
fn small_seeks_back_work() {
    let f = Fixture::new();
    for i in 1..=100 {
        append(&f.pool(), &format!("{{\"i\":{i}}}"));
    }
    let data = |lines: &str| -> Vec<String> {
        lines
            .lines()
            .map(|l| l.split("\"data\":").nth(1).unwrap().trim_end_matches('}').to_owned())
            .collect()
    };
    let head = f.sh("head -n 3 docs/tail");
    assert_eq!((head.code, head.err.as_str()), (Some(0), ""));
    assert_eq!(data(&head.out), ["{\"i\":1", "{\"i\":2", "{\"i\":3"]);
    let mixed =
        f.sh("{ read -r a; read -r b; echo \"$a\"; echo \"$b\"; head -n 1; } < docs/tail").ok();
    assert_eq!(data(&mixed), ["{\"i\":1", "{\"i\":2", "{\"i\":3"]);
    let all = f.sh("n=0; while read -r line; do n=$((n+1)); [ $n = 100 ] && break; done < docs/tail; echo $n").ok();
    assert_eq!(all, "100\n");
    let pread = "import os\nfd = os.open('docs/tail', os.O_RDONLY)\na = os.pread(fd, 50, 0)\nb = os.pread(fd, 2000, 50)\nc = os.pread(fd, 20, 10)\nprint(len(a) == 50, b[-1:] == b'\\n', c == (a+b)[10:30])";
    assert_eq!(f.sh(&format!("python3 -c \"{pread}\"")).ok(), "True True True\n");
}

/// SEMANTICS: tail and follow never end
#[test]
fn only_whole_lines_come_however_small_the_buffer() {
    let f = Fixture::new();
    for i in 1..=20 {
        append(&f.pool(), &format!("{{\"i\":{i},\"text\":\"{}\"}}", "x".repeat(i * 7)));
    }
    let script = "import os\nfd = os.open('docs/tail', os.O_RDONLY|os.O_NONBLOCK)\nwhole = b''\nok = True\ntry:\n  while True:\n    b = os.read(fd, 300)\n    ok = ok and b.endswith(b'\\n')\n    whole += b\nexcept BlockingIOError: pass\nprint(ok, whole == open('docs/log','rb').read())\nfd = os.open('docs/tail', os.O_RDONLY|os.O_NONBLOCK)\nwhole = b''\ntry:\n  while True: whole += os.read(fd, 7)\nexcept BlockingIOError: pass\nprint(whole == open('docs/log','rb').read())";
    assert_eq!(f.sh(&format!("python3 -c \"{script}\"")).ok(), "True True\nTrue\n");
}

#[test]
fn nonblocking_readers_and_pollers_learn_of_messages() {
    let f = Fixture::new();
    let script = r#"
import os, select, asyncio, threading, time
fd = os.open('docs/follow', os.O_RDONLY | os.O_NONBLOCK)
try:
    os.read(fd, 100); print('no EAGAIN')
except BlockingIOError:
    print('EAGAIN')
print(select.select([fd], [], [], 0.05)[0] == [])
def write(n):
    time.sleep(0.1)
    with open('docs/x.json', 'w') as f: f.write('{"n":%d}' % n)
threading.Thread(target=write, args=(1,)).start()
print(select.select([fd], [], [], 10)[0] == [fd], b'"n":1' in os.read(fd, 4096))
e = select.epoll(); e.register(fd, select.EPOLLIN)
print(e.poll(0.05) == [])
threading.Thread(target=write, args=(2,)).start()
print(len(e.poll(10)), b'"n":2' in os.read(fd, 4096))
e.close()
async def main():
    got = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, got.set)
    threading.Thread(target=write, args=(3,)).start()
    await asyncio.wait_for(got.wait(), 10)
    print(b'"n":3' in os.read(fd, 4096))
    loop.remove_reader(fd)
asyncio.run(main())
print(select.select([open('docs/log')], [], [], 0)[0] != [])
"#;
    std::fs::write(f.root.path().join("poll.py"), script).unwrap();
    let expected = "EAGAIN\nTrue\nTrue True\nTrue\n1 True\nTrue\nTrue\n";
    assert_eq!(f.sh("timeout 30 python3 $ROOT/poll.py").ok(), expected);
}

/// SEMANTICS: tail and follow never end
#[test]
fn a_removed_pool_ends_the_stream() {
    let f = Fixture::new();
    append(&f.pool(), "{}");
    let mut reader = f.spawn("cat docs/tail; echo ended $?");
    let mut follower = f.spawn("cat docs/follow; echo ended $?");
    std::thread::sleep(std::time::Duration::from_millis(300));
    f.client().delete("docs").unwrap();
    let mut out = String::new();
    reader.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(out.ends_with("}\nended 0\n"), "{out}");
    out.clear();
    follower.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "ended 0\n");
}

#[test]
fn an_overtaken_reader_goes_on_with_the_oldest() {
    let f = Fixture::sized(64 << 10);
    let pool = f.pool();
    let mut reader = f.spawn(
        "python3 -c \"
import os, json, time
f = os.open('docs/tail', os.O_RDONLY); last = 0; rest = b''
while last < 20000:
    b = os.read(f, 4096)
    assert b.endswith(b'\\n')
    for line in b.splitlines():
        m = json.loads(line); assert m['seq'] > last and m['data']['i'] == m['seq']; last = m['seq']
print('fine')\"",
    );
    for i in 1..=20_000 {
        append(&pool, &format!("{{\"i\":{i},\"pad\":\"{}\"}}", "y".repeat(i % 90)));
    }
    assert_eq!(lines(&mut reader).next().unwrap(), "fine");
}

/// SEMANTICS: tail and follow never end
#[test]
fn a_shell_waits_for_a_while_through_a_pipe() {
    let f = Fixture::new();
    append(&f.pool(), "{\"n\":1}");
    let script = "exec 3< <(exec cat docs/tail); read -r -t 10 line <&3; echo \"$? $line\" | cut -c 1-12; read -r -t 0.2 line <&3; echo $(( $? > 128 )); kill $!";
    assert_eq!(f.sh(script).ok(), "0 {\"seq\":1,\"\n1\n");
}
