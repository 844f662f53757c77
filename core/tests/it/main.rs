//! The engine, from outside: real files, real processes.
#![allow(missing_docs, unreachable_pub, unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks
)]

mod support;

mod activity;
mod bad_files;
mod basics;
mod concurrency;
mod crash;
mod doctor;
mod durability;
mod flips;
mod fuzzed;
mod hot_paths;
mod linearizability;
mod machine;
mod model;
mod process;
mod regressions;
mod resize;
mod syncs;
mod tail;

#[global_allocator]
static ALLOCATOR: hot_paths::Counting = hot_paths::Counting;
