//! The runners themselves: what is wrong must fail, on every surface, and say where.

#![allow(clippy::unwrap_used, reason = "a test may end so")]

mod broken;
mod declarations;
mod hanging;
mod support;
mod wrong;
