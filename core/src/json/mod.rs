//! The door for JSON: what comes in is checked here, once, before any lock is taken.
//!
//! `serde_json` and `actson` hold the grammar. This module adds what they leave open (nesting limit,
//! lone surrogates, UTF-8), removes whitespace between tokens, and cuts streams into documents.

mod batch;
mod document;
mod escape;
mod flaw;
mod prefix;
mod scan;
mod stream;
#[cfg(test)]
mod tests;

pub use batch::{Placed, documents};
pub use document::Document;
pub use stream::{DocumentStream, Failure};

/// The deepest nesting of objects and arrays in a document (the object itself is level 1).
pub const MAX_DEPTH: usize = 100;
