//! What the children of the tests do.

use std::io::Write;
use std::path::PathBuf;

use plasmite_core::{Durability, Pool};

use crate::support::{NO_TAGS, document};

/// Not a test by itself: the way into a child process, which does what its role says and reports on stdout, one line each,
/// behind `@`, as the test harness talks on stdout too.
#[test]
fn child() {
    let Ok(role) = std::env::var("PLASMITE_TEST_ROLE") else { return };
    let pool = PathBuf::from(std::env::var("PLASMITE_TEST_POOL").unwrap());
    match role.as_str() {
        "writer" => writer(&pool),
        "waiter" => waiter(&pool),
        "stepper" => crate::crash::stepper(&pool, false),
        "stepper_with_heir" => crate::crash::stepper(&pool, true),
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
