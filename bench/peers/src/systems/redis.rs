//! A stream of a Redis server, which the benchmark starts on a Unix socket and stops. It keeps a log of what it was told (AOF): without
//! one, a message would not survive the server's death, as it does everywhere else here.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::streams::{
    StreamId, StreamMaxlen, StreamRangeReply, StreamReadOptions, StreamReadReply,
};
use redis::{Client, Commands, Connection};

use crate::system::{Behind, Does, Durability, Receiver, Sender, Stored, System, all_kept};

/// Debian's, and its successor, which takes the same arguments.
const SERVERS: &[&str] = &["redis-server", "valkey-server"];
const KEY: &str = "messages";
/// As much as a pool holds, or so.
const KEPT: StreamMaxlen = StreamMaxlen::Approx(100_000);

pub(super) const STREAM: System = System {
    name: "Redis stream",
    does: Does { keeps: true, batches: true, streams: true, fans_out: true },
    set_up: |dir, wanted| {
        Server::start(dir, wanted.durability).map(|server| Box::new(server) as Behind)
    },
    sender: |dir, _durability| Box::new(Adds(connect(dir).unwrap())),
    receiver,
    get: Some(stored),
    kept: all_kept,
};

/// A socket's name may have 107 bytes: it is not in the directory, which may be deep, but named after it.
fn socket(dir: &Path) -> PathBuf {
    let name = dir.to_string_lossy().replace(['/', '.'], "");
    std::env::temp_dir().join(format!("plasmite-peer-{name}.sock"))
}

fn connect(dir: &Path) -> redis::RedisResult<Connection> {
    Client::open(format!("redis+unix://{}", socket(dir).display()))?.get_connection()
}

struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(dir: &Path, durability: Durability) -> Result<Self, String> {
        let sync = match durability {
            Durability::Fast => "no",
            Durability::Flush => "always",
        };
        let socket = socket(dir);
        let started = SERVERS.iter().find_map(|server| {
            Command::new(server)
                .args(["--port", "0", "--save", "", "--loglevel", "warning"])
                .args(["--appendonly", "yes", "--appendfsync", sync])
                .args(["--auto-aof-rewrite-percentage", "0"])
                .arg("--dir")
                .arg(dir)
                .arg("--unixsocket")
                .arg(&socket)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .ok()
        });
        let child = started.ok_or("there is no redis-server (Debian: redis-server)")?;
        let mut server = Self { child, socket };
        while connect(dir).is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("redis-server ends at once ({status})"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

struct Adds(Connection);

impl Sender for Adds {
    fn send(&mut self, message: &[u8]) {
        let _id: String = self.0.xadd_maxlen(KEY, KEPT, "*", &[("data", message)]).unwrap();
    }

    fn send_all(&mut self, messages: &[&[u8]]) {
        let mut pipeline = redis::pipe();
        for message in messages {
            pipeline.xadd_maxlen(KEY, KEPT, "*", &[("data", *message)]).ignore();
        }
        pipeline.query::<()>(&mut self.0).unwrap();
    }
}

struct Reads {
    connection: Connection,
    last: String,
    options: StreamReadOptions,
}

fn receiver(dir: &Path) -> Box<dyn Receiver> {
    let options = StreamReadOptions::default().block(0).count(1000);
    let mut connection = connect(dir).unwrap();
    let newest: StreamRangeReply = connection.xrevrange_count(KEY, "+", "-", 1).unwrap();
    let last = newest.ids.into_iter().next().map_or("0".to_owned(), |newest| newest.id);
    Box::new(Reads { connection, last, options })
}

impl Receiver for Reads {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        let reply: Option<StreamReadReply> =
            self.connection.xread_options(&[KEY], &[&self.last], &self.options).unwrap();
        for key in reply.unwrap_or_default().keys {
            for entry in key.ids {
                take(message(&entry));
                self.last = entry.id;
            }
        }
    }
}

fn stored(dir: &Path) -> Stored {
    let mut connection = connect(dir).unwrap();
    // Who appends is told these.
    let all: StreamRangeReply = connection.xrange_all(KEY).unwrap();
    let ids: Vec<String> = all.ids.into_iter().map(|entry| entry.id).collect();
    let count = ids.len() as u64;
    let get = move |at| {
        let id = &ids[at as usize];
        let found: StreamRangeReply = connection.xrange(KEY, id, id).unwrap();
        message(&found.ids[0]).len()
    };
    (count, Box::new(get))
}

/// What was appended as this entry.
fn message(entry: &StreamId) -> &[u8] {
    match entry.map.get("data") {
        Some(redis::Value::BulkString(message)) => message,
        _ => panic!("{entry:?}"),
    }
}
