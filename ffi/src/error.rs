//! Errors as C sees them.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use plasmite_core::Error;

use crate::guard;

/// `plsm_error_t`.
#[derive(Debug)]
#[repr(C)]
pub struct CError {
    /// The kind's number.
    pub kind: i32,
    /// What happened and what to do, with a NUL at its end.
    pub message: *mut c_char,
    /// The path it is about, or NULL.
    pub path: *mut c_char,
    /// The message it is about, if `has_seq`.
    pub seq: u64,
    /// The byte it is about, if `has_offset`.
    pub offset: u64,
    /// 1 when `seq` is set.
    pub has_seq: u8,
    /// 1 when `offset` is set.
    pub has_offset: u8,
}

impl From<&Error> for CError {
    fn from(error: &Error) -> Self {
        let text = match error.hint() {
            Some(hint) => format!("{}; {hint}", error.message()),
            None => error.message().to_owned(),
        };
        let path = error.path().map(|path| path.as_os_str().as_bytes().to_vec());
        Self {
            kind: error.kind().code(),
            message: c_string(text.into_bytes()),
            path: path.map_or(ptr::null_mut(), c_string),
            seq: error.seq().map_or(0, plasmite_core::Seq::get),
            offset: error.offset().unwrap_or(0),
            has_seq: error.seq().is_some().into(),
            has_offset: error.offset().is_some().into(),
        }
    }
}

/// The bytes up to their first NUL, on the heap.
fn c_string(mut bytes: Vec<u8>) -> *mut c_char {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    CString::new(bytes).unwrap_or_default().into_raw()
}

/// # Safety
/// `out_err` is NULL, or a place for one pointer.
pub(crate) unsafe fn clear(out_err: *mut *mut CError) {
    if !out_err.is_null() {
        // SAFETY: as promised by the caller.
        unsafe { out_err.write(ptr::null_mut()) };
    }
}

/// # Safety
/// `out_err` is NULL, or a place for one pointer.
pub(crate) unsafe fn give(error: &Error, out_err: *mut *mut CError) {
    if !out_err.is_null() {
        let error = Box::into_raw(Box::new(CError::from(error)));
        // SAFETY: as promised by the caller.
        unsafe { out_err.write(error) };
    }
}

/// Frees an error and its strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_error_free(error: *mut CError) {
    guard::infallible(|| {
        if error.is_null() {
            return;
        }
        // SAFETY: the pointer came from `give`, and its strings from `c_string`; the caller frees it once.
        unsafe {
            let error = Box::from_raw(error);
            for text in [error.message, error.path] {
                if !text.is_null() {
                    drop(CString::from_raw(text));
                }
            }
        }
    });
}
