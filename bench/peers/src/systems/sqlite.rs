//! A table of an SQLite database with a write-ahead log, each message a transaction. SQLite has no way to wait: the reader looks
//! every millisecond whether the database has changed.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Row, params};

use crate::system::{Behind, Does, Durability, Receiver, Sender, Stored, System, Wanted, all_kept};

const LOOK_EVERY: Duration = Duration::from_millis(1);
const INSERT: &str = "INSERT INTO messages (data) VALUES (?1)";

pub(super) const TABLE: System = System {
    name: "SQLite (WAL)",
    does: Does { keeps: true, batches: true, streams: true, fans_out: true },
    set_up,
    sender: |dir, durability| Box::new(Inserts(open(dir, durability))),
    receiver,
    get: Some(stored),
    kept: all_kept,
};

fn open(dir: &Path, durability: Durability) -> Connection {
    let database = Connection::open(dir.join("peer.sqlite")).unwrap();
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    // NORMAL keeps what FAST keeps: all of it when processes die, an unbroken beginning of it when the power goes.
    let synchronous = match durability {
        Durability::Fast => "normal",
        Durability::Flush => "full",
    };
    database.pragma_update(None, "synchronous", synchronous).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database
}

fn set_up(dir: &Path, wanted: &Wanted) -> Result<Behind, String> {
    let create = "CREATE TABLE messages (seq INTEGER PRIMARY KEY, data TEXT NOT NULL)";
    open(dir, wanted.durability).execute(create, []).unwrap();
    Ok(Box::new(()))
}

struct Inserts(Connection);

fn text(message: &[u8]) -> &str {
    std::str::from_utf8(message).unwrap()
}

impl Sender for Inserts {
    fn send(&mut self, message: &[u8]) {
        self.0.prepare_cached(INSERT).unwrap().execute(params![text(message)]).unwrap();
    }

    fn send_all(&mut self, messages: &[&[u8]]) {
        let transaction = self.0.transaction().unwrap();
        let mut insert = transaction.prepare_cached(INSERT).unwrap();
        for message in messages {
            insert.execute(params![text(message)]).unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
    }
}

struct Selects {
    database: Connection,
    newest: i64,
    seen: i64,
}

fn receiver(dir: &Path) -> Box<dyn Receiver> {
    let database = open(dir, Durability::Fast);
    let newest = database
        .query_row("SELECT coalesce(max(seq), 0) FROM messages", [], |row| row.get(0))
        .unwrap();
    Box::new(Selects { database, newest, seen: -1 })
}

impl Selects {
    fn version(&self) -> i64 {
        self.database.pragma_query_value(None, "data_version", |row| row.get(0)).unwrap()
    }
}

impl Receiver for Selects {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        loop {
            let version = self.version();
            if version == self.seen {
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
            let select = "SELECT seq, data FROM messages WHERE seq > ?1 ORDER BY seq LIMIT 1000";
            let mut select = self.database.prepare_cached(select).unwrap();
            let mut rows = select.query(params![self.newest]).unwrap();
            let mut found = 0;
            while let Some(row) = rows.next().unwrap() {
                self.newest = row.get(0).unwrap();
                take(row.get_ref(1).unwrap().as_bytes().unwrap());
                found += 1;
            }
            if found == 0 {
                self.seen = version;
            } else {
                return;
            }
        }
    }
}

fn stored(dir: &Path) -> Stored {
    let database = open(dir, Durability::Fast);
    let bounds = "SELECT min(seq), count(*) FROM messages";
    let (oldest, count): (i64, i64) =
        database.query_row(bounds, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let get = move |at| {
        let select = "SELECT data FROM messages WHERE seq = ?1";
        let mut select = database.prepare_cached(select).unwrap();
        let len = |row: &Row<'_>| Ok(row.get_ref(0)?.as_bytes()?.len());
        select.query_row(params![oldest + at as i64], len).unwrap()
    };
    (count as u64, Box::new(get))
}
