//! What the campaign's own child processes do until they are killed.

use std::fs::OpenOptions;
use std::io::{Write, stdout};
use std::path::Path;

use plasmite_core::{Durability, Pool};

use crate::document;

/// How a writer writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) max_len: usize,
    pub(crate) mixed: bool,
    /// Every so many appends one is durable; 0: none.
    pub(crate) flush_every: u64,
    /// How many messages; a kill usually comes before.
    pub(crate) count: u64,
}

impl Manner {
    pub(crate) fn args(&self) -> [String; 4] {
        let Self { max_len, mixed, flush_every, count } = self;
        [
            max_len.to_string(),
            u8::from(*mixed).to_string(),
            flush_every.to_string(),
            count.to_string(),
        ]
    }

    fn parse(args: &[String]) -> Option<Self> {
        let number = |i: usize| args.get(i)?.parse::<u64>().ok();
        Some(Self {
            max_len: number(0)? as usize,
            mixed: number(1)? == 1,
            flush_every: number(2)?,
            count: number(3)?,
        })
    }
}

/// Runs the role that the arguments name; None when they name none.
pub(crate) fn run(args: &[String]) -> Option<Result<(), String>> {
    let path = Path::new(args.get(1)?);
    let who = || args.get(2)?.parse().ok();
    let manner = || Manner::parse(args.get(3..)?);
    match args[0].as_str() {
        "writer" => Some(writer(path, who()?, manner()?)),
        "file-writer" => Some(file_writer(path, who()?, manner()?)),
        "create" => Some(Pool::create(path, 64 << 10).map(drop).map_err(|e| e.to_string())),
        "delete" => Some(Pool::delete(path).map_err(|e| e.to_string())),
        "open" => Some(Pool::open(path).map(drop).map_err(|e| e.to_string())),
        "resize" => {
            let size = args.get(2)?.parse().ok()?;
            Some(Pool::resize(path, size).map(drop).map_err(|e| e.to_string()))
        }
        "churner" => Some(churner(path)),
        _ => None,
    }
}

/// Says that it is ready, and waits until it is told to go on.
fn ready() -> Result<(), String> {
    say("ready\n")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map(drop).map_err(|e| e.to_string())
}

fn say(line: &str) -> Result<(), String> {
    // One write(2): the last line of a killed process is whole or not there.
    let mut out = stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(|e| e.to_string())
}

/// Appends by the engine, and acknowledges each message as soon as it has its receipt.
fn writer(path: &Path, who: u64, manner: Manner) -> Result<(), String> {
    let pool = Pool::open(path).map_err(|e| e.to_string())?;
    ready()?;
    for n in 1..=manner.count {
        let text = document::make(who, n, document::len(n, manner.max_len, manner.mixed));
        let flush = manner.flush_every > 0 && n % manner.flush_every == 0;
        let durability = if flush { Durability::Flush } else { Durability::Fast };
        let receipt =
            pool.append::<&str>(text.as_bytes(), &[], durability).map_err(|e| e.to_string())?;
        say(&format!("{n} {} {}\n", receipt.seq, u8::from(flush)))?;
    }
    Ok(())
}

/// Writes lines into a file of a mount, whose daemon will be killed.
fn file_writer(path: &Path, who: u64, manner: Manner) -> Result<(), String> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|e| format!("open {}: {e}", path.display()))?;
    ready()?;
    for n in 1..=manner.count {
        let mut text = document::make(who, n, document::len(n, manner.max_len, manner.mixed));
        text.push('\n');
        let flush = manner.flush_every > 0 && n % manner.flush_every == 0;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| if flush { file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => say(&format!("{n} - {}\n", u8::from(flush)))?,
            Err(e) if is_of_the_dead(&e, path) => return Ok(()),
            Err(e) => return Err(format!("write {n}: {e}")),
        }
    }
    Ok(())
}

/// True for what the kernel says once the daemon is dead.
fn is_of_the_dead(error: &std::io::Error, path: &Path) -> bool {
    const EIO: i32 = 5;
    const ECONNABORTED: i32 = 103;
    const ENOTCONN: i32 = 107;
    let dead = |e: &std::io::Error| matches!(e.raw_os_error(), Some(ECONNABORTED | ENOTCONN));
    if error.raw_os_error() != Some(EIO) {
        return dead(error);
    }
    // Killed while the kernel copied the request to it: then the mount is dead in a moment.
    (0..10_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        std::fs::metadata(path).is_err_and(|e| dead(&e))
    })
}

/// Creates, uses and deletes a pool, over and over, beside others who do the same with that name.
fn churner(path: &Path) -> Result<(), String> {
    use plasmite_core::ErrorKind::{AlreadyExists, Busy, NotFound};
    // Whoever comes second finds it done; Busy is another file in the place of the one that was opened.
    let expected = |e: &plasmite_core::Error| matches!(e.kind(), AlreadyExists | NotFound | Busy);
    say("ready\n")?;
    loop {
        let done = Pool::create(path, 16 << 10)
            .or_else(|e| if e.kind() == AlreadyExists { Pool::open(path) } else { Err(e) })
            .and_then(|pool| {
                pool.append::<&str>(b"{\"w\":0,\"n\":0,\"f\":\"\"}", &[], Durability::Fast)
            })
            .and_then(|_| Pool::delete(path));
        match done {
            Err(e) if !expected(&e) => return Err(e.to_string()),
            _ => {}
        }
    }
}
