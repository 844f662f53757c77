#![doc = include_str!("../README.md")]

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
    Activity, Batch, Bell, Entry, GapPolicy, Info, LogRange, MAX_WAIT_ANY, OpenOptions, Pool,
    Resized, Tail, TailOptions, Waited, doctor, wait_any,
};
pub use sys::fork::generation as fork_generation;
pub use types::{Bounds, Durability, MAX_SEQ, Receipt, Seq, Timestamp};
