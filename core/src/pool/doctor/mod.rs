//! The doctor: what is the matter with a pool, and what can be saved of it.
//!
//! [`check()`] looks at a pool while others use it. It reads as every reader does, so what writers are doing, what they evict, and
//! what one that died had not committed is no damage. [`salvage()`] copies the intact messages of a damaged pool into a new one.

mod check;
pub(super) mod frames;
mod report;
mod salvage;
mod scan;

pub use check::check;
pub use report::{Finding, Report, Severity};
pub use salvage::{Salvaged, salvage};
