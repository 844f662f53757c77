//! `libplasmite`, shared and static: the C ABI.

pub use plasmite_ffi::*;
