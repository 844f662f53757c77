//! The wall between C and Rust: no panic crosses it, and every failure leaves as an error struct.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plasmite_core::{Error, ErrorKind, Result};

use crate::error::{self, CError};

/// What a fallible function returns when it failed.
pub(crate) const FAILED: c_int = -1;
/// What a fallible function returns when it did what it says.
pub(crate) const OK: c_int = 0;

/// Runs the body of a function of the ABI.
///
/// # Safety
/// `out_err` is NULL, or a place for one pointer.
pub(crate) unsafe fn fallible(
    out_err: *mut *mut CError,
    body: impl FnOnce() -> Result<c_int>,
) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { error::clear(out_err) };
    // What a body borrows is either its own or guarded by a mutex that looks past poisoning.
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(bug(panic)));
    match outcome {
        Ok(code) => code,
        Err(e) => {
            // SAFETY: as promised by the caller.
            unsafe { error::give(&e, out_err) };
            FAILED
        }
    }
}

/// Runs the body of a function that can't fail.
pub(crate) fn infallible(body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
        let _ = bug(panic);
    }
}

fn bug(panic: Box<dyn Any + Send>) -> Error {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "no reason given",
    };
    let error = Error::new(ErrorKind::Internal, format!("plasmite met a bug of its own: {text}"))
        .with_hint("please report it");
    // Dropping a payload may panic again.
    std::mem::forget(panic);
    error
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error() {
        let mut out: *mut CError = ptr::null_mut();
        // SAFETY: `out` is a place for one pointer.
        let code = unsafe { fallible(&raw mut out, || panic!("on purpose")) };
        assert_eq!(code, FAILED);
        // SAFETY: a failing call leaves an error, which is freed once.
        unsafe {
            assert_eq!((*out).kind, 1);
            let text = std::ffi::CStr::from_ptr((*out).message).to_str().unwrap();
            assert!(text.contains("on purpose"), "{text}");
            crate::plsm_error_free(out);
        }
    }

    #[test]
    fn an_error_that_nobody_wants_is_dropped() {
        // SAFETY: NULL is allowed.
        let code = unsafe { fallible(ptr::null_mut(), || Err(Error::usage("no"))) };
        assert_eq!(code, FAILED);
    }
}
