//! Mounts for real, and drives the mount with the programs that people use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod citizen;
mod durability;
mod errors;
mod faults;
mod fixture;
mod lifecycle;
mod log;
mod model;
mod pools;
mod posix;
mod reading;
mod regressions;
mod resize;
mod scale;
mod semantics;
mod slow_writers;
mod streams;
mod tools_reading;
mod tools_writing;
mod turnover;
mod turnover_programs;
mod views;
mod writing;
mod xattrs;
