//! Plasmite pools as directories: a FUSE file system over a pool directory.
//!
//! The mount is one more client of the engine. Its logic (`tree` and everything below it) is plain
//! synchronous Rust that knows nothing of FUSE; `adapter` translates requests into calls of it, and
//! `mount` puts it into the file system and takes it away again.
//!
//! ```no_run
//! use plasmite_fusefs::{Mount, MountOptions};
//!
//! let mount = Mount::start(MountOptions::new("/var/lib/pools", "/mnt/pools"))?;
//! mount.wait()?;
//! # Ok::<(), plasmite_core::Error>(())
//! ```
mod adapter;
mod attr;
mod current;
mod errno;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzzing;
mod helpers;
mod hub;
mod ino;
mod interrupt;
mod lane;
mod memory_of_names;
mod mount;
mod mountinfo;
mod names;
mod numbers;
mod place;
mod pools;
mod procs;
mod refusal;
mod rejections;
mod session;
mod shelf;
mod sync;
mod syncs;
mod sys;
mod tree;
mod unmount;
mod views;
mod waiters;

pub use interrupt::listen as listen_to_interrupts;
pub use mount::{Mount, MountOptions, Unmounter};
pub use sys::keep_descriptors_from_children;
pub use unmount::{unmount, unmount_lazily};
