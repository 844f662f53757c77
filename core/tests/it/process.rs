//! What the children of the tests do.

use std::io::Write;
use std::path::PathBuf;

use plasmite_core::{Durability, ErrorKind, Pool, Seq, TailOptions};

use crate::support::{NO_TAGS, check_document, document};

/// Not a test by itself: the way into a child process, which does what its role says and reports on stdout, one line each,
/// behind `@`, as the test harness talks on stdout too.
#[test]
fn child() {
    let Ok(role) = std::env::var("PLASMITE_TEST_ROLE") else { return };
    let pool = PathBuf::from(std::env::var("PLASMITE_TEST_POOL").unwrap());
    match role.as_str() {
        "writer" => writer(&pool),
        "witness" => crate::linearizability::witness(&pool),
        "verifier" => verifier(&pool),
        "waiter" => waiter(&pool),
        "stepper" => crate::crash::stepper(&pool, false),
        "stepper_with_heir" => crate::crash::stepper(&pool, true),
        "appender" => appender(&pool),
        "flushing_threads" => flushing_threads(&pool),
        "creator" => creator(&pool),
        "deleter" => say(Pool::delete(&pool)),
        "sleeper" => sleeper(&pool),
        "opener_of_many" => opener_of_many(&pool),
        "bus_error" => bus_error(&pool),
        "resizer" => say(Pool::resize(&pool, number("LEN"))),
        "stepped_resizer" => crate::resize::stepped_resizer(&pool),
        "silent" => crate::hot_paths::silent(&pool),
        "forker" => crate::crash::forker(&pool),
        other => panic!("no role {other}"),
    }
    std::process::exit(0);
}

pub fn number(key: &str) -> u64 {
    std::env::var(key).unwrap().parse().unwrap()
}

/// Appends W's documents 1, 2, 3… up to COUNT, of LEN bytes and up to SPREAD more, and says each receipt as soon as it has it.
fn writer(path: &std::path::Path) {
    let pool = Pool::open(path).unwrap();
    let (who, count, len, spread) = (number("W"), number("COUNT"), number("LEN"), number("SPREAD"));
    let durability = if number("FLUSH") == 1 { Durability::Flush } else { Durability::Fast };
    let mut out = std::io::stdout().lock();
    writeln!(out, "@ready").unwrap();
    out.flush().unwrap();
    for n in 1..=count {
        let extra = if spread == 0 { 0 } else { n * 7919 % spread };
        let text = document(who, n, (len + extra) as usize);
        let receipt = pool.append(text.as_bytes(), NO_TAGS, durability).unwrap();
        // One write(2): a killed writer's last line is whole or not there.
        let line = format!("@{} {}\n", n, receipt.seq);
        out.write_all(line.as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

/// Reads up to message COUNT and checks every byte: as messages, as envelopes, or by seq out of the retained ones, as MODE says.
fn verifier(path: &std::path::Path) {
    let (mode, count) = (number("MODE"), number("COUNT"));
    let pool = if mode % 2 == 0 { Pool::open_read_only(path) } else { Pool::open(path) }.unwrap();
    let mut tail =
        pool.tail(TailOptions { since: Some(Seq::FIRST), ..Default::default() }).unwrap();
    println!("@ready");
    let (mut read, mut last) = (0u64, 0);
    while last < count {
        if mode >= 4 {
            let bounds = pool.bounds().unwrap();
            last = bounds.newest.get();
            let seq = bounds.oldest.get() + read % bounds.count().max(1);
            match pool.get(Seq::new(seq)) {
                Ok(message) => {
                    assert_eq!(message.seq().get(), seq);
                    check_document(message.data());
                }
                Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{e}"),
            }
            read += 1;
            continue;
        }
        let message = tail.next(None).unwrap().unwrap();
        if mode >= 2 {
            let envelope: serde_json::Value = serde_json::from_str(&message.to_json()).unwrap();
            assert_eq!(envelope["seq"].as_u64(), Some(message.seq().get()));
            assert_eq!(envelope["time"].as_str(), Some(message.time().to_string().as_str()));
            let data = message.to_json();
            check_document(data.split_once(r#""data":"#).unwrap().1.strip_suffix('}').unwrap());
        } else {
            check_document(message.data());
        }
        assert!(message.seq().get() > last, "{} after {last}", message.seq());
        last = message.seq().get();
        read += 1;
    }
    assert!(mode >= 4 || read + tail.dropped() == count, "{read} + {} of {count}", tail.dropped());
    println!("@verified {read}");
}

/// What came of a call, as the tests look for it.
fn say<T: std::fmt::Debug>(result: plasmite_core::Result<T>) {
    match result {
        Ok(value) => println!("@ok {value:?}"),
        Err(e) => println!("@{} {e}", e.kind().name()),
    }
}

/// Says it is ready, and for each line that it gets appends a message, with the durability that the line names.
fn appender(path: &std::path::Path) {
    let patience = std::time::Duration::from_millis(number("PATIENCE_MS"));
    let pool = match plasmite_core::OpenOptions::new().patience(patience).open(path) {
        Ok(pool) => pool,
        Err(e) => return say::<()>(Err(e)),
    };
    println!("@ready");
    for line in std::io::stdin().lines() {
        say(match line.unwrap().as_str() {
            "fast" => pool.append(b"{\"a\":1}", NO_TAGS, Durability::Fast).map(|r| r.seq.get()),
            "flush" => pool.append(b"{\"a\":1}", NO_TAGS, Durability::Flush).map(|r| r.seq.get()),
            "durable" => pool.info().map(|info| info.durable.get()),
            other => panic!("no append {other}"),
        });
    }
}

/// Sixteen threads that flush twenty messages each, through one handle; says which message is durable then.
fn flushing_threads(path: &std::path::Path) {
    let pool = Pool::open(path).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let receipt = pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap();
                    assert!(pool.info().unwrap().durable >= receipt.seq);
                }
            });
        }
    });
    say(pool.info().map(|info| info.durable.get()));
}

fn creator(path: &std::path::Path) {
    say(Pool::create(path, number("SIZE")).map(|_| ()));
}

/// Opens the pool until that fails, and uses what it has: 200 appends, some of them durable, by handles in turn.
fn opener_of_many(path: &std::path::Path) {
    let mut pools = Vec::new();
    for _ in 0..number("COUNT") {
        match Pool::open(path) {
            Ok(pool) => pools.push(pool),
            Err(e) => {
                say::<()>(Err(e));
                break;
            }
        }
    }
    for n in 0..200 {
        let durability = if n % 20 == 0 { Durability::Flush } else { Durability::Fast };
        let pool = &pools[n % pools.len()];
        say(pool.append(b"{}", NO_TAGS, durability).map(|r| r.seq.get()));
    }
}

/// Ten threads that wait for a message that does not come.
fn sleeper(path: &std::path::Path) {
    let pool = Pool::open(path).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            let wait = || pool.wait(pool.bounds().unwrap().newest, None);
            std::thread::Builder::new().name("sleeper".into()).spawn_scoped(scope, wait).unwrap();
        }
        println!("@ready");
    });
}

/// Gets a SIGBUS that a process sent.
fn bus_error(path: &std::path::Path) {
    // Rust's own handler would be in the way.
    let before = if number("IGNORED") == 1 { libc::SIG_IGN } else { libc::SIG_DFL };
    unsafe { libc::signal(libc::SIGBUS, before) };
    let pool = Pool::open(path).unwrap();
    unsafe { libc::raise(libc::SIGBUS) };
    say(pool.append(b"{}", NO_TAGS, Durability::Fast).map(|_| ()));
}

/// Says the data of each message as it arrives, COUNT of them.
fn waiter(path: &std::path::Path) {
    let pool = if number("READ_ONLY") == 1 { Pool::open_read_only(path) } else { Pool::open(path) };
    let pool = pool.unwrap();
    let mut tail = pool.tail(Default::default()).unwrap();
    println!("@ready");
    for _ in 0..number("COUNT") {
        let message = tail.next(None).unwrap().unwrap();
        println!("@{} {}", message.seq(), message.data());
    }
}
