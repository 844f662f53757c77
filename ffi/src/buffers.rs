//! Bytes that the library hands over.

use std::ptr;

use crate::guard;

/// `plsm_buf_t`.
#[derive(Debug)]
#[repr(C)]
pub struct Buf {
    /// The bytes, with a NUL behind them; NULL when there are none.
    pub data: *mut u8,
    /// How many.
    pub len: usize,
}

impl Buf {
    pub(crate) const EMPTY: Self = Self { data: ptr::null_mut(), len: 0 };
}

impl From<String> for Buf {
    /// The NUL behind the bytes takes no memory of its own if `text` has room for just one byte more.
    fn from(text: String) -> Self {
        let len = text.len();
        if len == 0 {
            return Self::EMPTY;
        }
        let mut bytes = text.into_bytes();
        bytes.reserve_exact(1);
        bytes.push(0);
        Self { data: Box::leak(bytes.into_boxed_slice()).as_mut_ptr(), len }
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
                // With the NUL that `from` has put behind them.
                drop(Box::from_raw(ptr::slice_from_raw_parts_mut(data, len + 1)));
            }
        }
    });
}
