//! The `plasmite` command as its users meet it: the real binary, its output, its exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end so")]

mod background;
mod completion;
mod cursor;
mod doctor;
mod duplex;
mod export;
mod faults;
mod feed;
mod feed_records;
mod fetch;
mod follow;
mod helper;
mod interrupts;
mod mount;
mod namespace;
mod ordinary;
mod pool;
mod refused;
mod resized;
mod rights;
mod screen;
mod signals;
mod snapshots;
mod support;
mod systemd;
mod tap;
mod terminal;
mod together;
mod top;
mod usage;
