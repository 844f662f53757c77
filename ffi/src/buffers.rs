//! Bytes that the library hands over.

use std::ptr;

use crate::guard;

/// `plsm_buf_t`.
#[derive(Debug)]
#[repr(C)]
pub struct Buf {
    /// The bytes; NULL when there are none.
    pub data: *mut u8,
    /// How many.
    pub len: usize,
}

impl Buf {
    pub(crate) const EMPTY: Self = Self { data: ptr::null_mut(), len: 0 };
}

impl From<String> for Buf {
    fn from(text: String) -> Self {
        if text.is_empty() {
            return Self::EMPTY;
        }
        let bytes = Box::leak(text.into_bytes().into_boxed_slice());
        Self { data: bytes.as_mut_ptr(), len: bytes.len() }
    }
}

/// Frees the bytes and resets the struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_buf_free(buf: *mut Buf) {
    guard::infallible(|| {
        if buf.is_null() {
            return;
        }
        // SAFETY: the caller gives a struct that this library filled (or that is all zeros), with its fields unchanged.
        unsafe {
            let Buf { data, len } = ptr::replace(buf, Buf::EMPTY);
            if !data.is_null() {
                drop(Box::from_raw(ptr::slice_from_raw_parts_mut(data, len)));
            }
        }
    });
}
