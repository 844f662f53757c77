//! Which library this is.

use std::ffi::{CStr, c_char};

/// Grows with every addition to the ABI; nothing is ever taken away.
const ABI_VERSION: u32 = 3;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The library's version, for people.
#[unsafe(no_mangle)]
pub extern "C" fn plsm_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the ABI, for programs.
#[unsafe(no_mangle)]
pub extern "C" fn plsm_abi_version() -> u32 {
    ABI_VERSION
}
