//! The door for JSON: what comes in is checked here, once, before any lock is taken.
//!
//! One machine, `check.rs`, knows RFC 8259's grammar, UTF-8, the nesting limit, surrogates and what to leave out, and serves
//! whole texts, batches and streams in pieces alike. It is our own because this pass is most of what an append costs: the
//! libraries measured for it (`serde_json`, `jiter`, `sonic-rs`, `simd-json`) stay below 1 GB/s on dense JSON together with
//! what they leave open, touch more code, or can't stop in the middle of a text and go on.

mod batch;
mod characters;
mod check;
mod document;
mod escape;
mod flaw;
mod literal;
mod space;
mod spare;
mod stream;
#[cfg(test)]
mod tests;

pub use batch::{Placed, documents};
pub use document::Document;
pub use stream::{DocumentStream, Failure};

/// The deepest nesting of objects and arrays in a document (the object itself is level 1).
pub const MAX_DEPTH: usize = 100;
