//! Persistent JSON message pools that are just files: the engine.
//!
//! A pool is one file of fixed size, a ring of messages. Any number of processes append JSON objects and read them, without a broker; old
//! messages make room for new ones. `FORMAT.md` describes the file byte by byte.
//!
//! ```
//! use plasmite_core::{Client, DEFAULT_POOL_SIZE_BYTES, Durability, TailOptions};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! let client = Client::new(dir.path());
//! let pool = client.open_or_create("docs", DEFAULT_POOL_SIZE_BYTES)?;
//! let receipt = pool.append(br#"{"kind":"note","text":"hi"}"#, &["note"], Durability::Fast)?;
//! assert_eq!(pool.get(receipt.seq)?.data(), r#"{"kind":"note","text":"hi"}"#);
//!
//! let mut tail = pool.tail(TailOptions { tags: vec!["note".into()], ..Default::default() })?;
//! assert_eq!(tail.next(None)?.unwrap().seq(), receipt.seq);
//! # Ok::<(), plasmite_core::Error>(())
//! ```

#[cfg(test)]
mod checks;
mod client;
mod error;
#[doc(hidden)]
pub mod failpoint;
mod format;
pub mod json;
mod message;
mod pool;
mod sys;
mod types;

pub use client::{
    Client, DEFAULT_POOL_SIZE_BYTES, Listed, POOL_SUFFIX, check_pool_size, default_pool_dir,
};
pub use error::{Error, ErrorKind, Result};
pub use message::{Envelopes, Message};
pub use pool::{
    Bell, Entry, GapPolicy, Info, LogRange, MAX_WAIT_ANY, OpenOptions, Pool, Resized, Tail,
    TailOptions, Waited, doctor, wait_any,
};
pub use sys::fork::generation as fork_generation;
pub use types::{Bounds, Durability, MAX_SEQ, Receipt, Seq, Timestamp};
