//! Arguments from C, looked at before anything is done.

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;
use std::slice;

use plasmite_core::{Durability, Error, Result};

fn null(name: &str) -> Error {
    Error::usage(format!("{name} is null"))
}

/// What a pointer points to.
///
/// # Safety
/// NULL, or a pointer to a value that lives and is not changed through other pointers during the call.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: as promised by the caller.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// The bytes of a C string, without its NUL.
///
/// # Safety
/// NULL, or a pointer to bytes that end in a NUL and do not change during the call.
pub(crate) unsafe fn c_bytes<'a>(text: *const c_char, name: &str) -> Result<&'a [u8]> {
    if text.is_null() {
        return Err(null(name));
    }
    // SAFETY: as promised by the caller.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A C string as text.
///
/// # Safety
/// As [`c_bytes`].
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: as promised by the caller.
    let bytes = unsafe { c_bytes(text, name) }?;
    std::str::from_utf8(bytes).map_err(|e| {
        Error::usage(format!("{name} is not UTF-8: byte {} is wrong", e.valid_up_to()))
            .with_hint("encode it as UTF-8")
    })
}

/// An array; NULL is refused even when `len` is 0.
///
/// # Safety
/// NULL, or a pointer to `len` values that do not change during the call.
pub(crate) unsafe fn array<'a, T>(items: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    if items.is_null() {
        return Err(null(name));
    }
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Error::usage(format!("{name} can't have a length of {len}")));
    }
    // SAFETY: as promised by the caller; the length is one that a slice may have.
    Ok(unsafe { slice::from_raw_parts(items, len) })
}

/// As `json_len`: the text ends in a NUL.
const TO_NUL: usize = usize::MAX;

/// JSON text: `len` bytes, or up to its NUL.
///
/// # Safety
/// As [`array()`], or as [`c_bytes`] for [`TO_NUL`].
pub(crate) unsafe fn json<'a>(text: *const u8, len: usize) -> Result<&'a [u8]> {
    // SAFETY: as promised by the caller.
    unsafe {
        match len {
            TO_NUL => c_bytes(text.cast(), "json_bytes"),
            _ => array(text, len, "json_bytes"),
        }
    }
}

/// Tags; none when `len` is 0.
///
/// # Safety
/// As [`array()`], and each element as [`text`].
pub(crate) unsafe fn tags<'a>(tags: *const *const c_char, len: usize) -> Result<Vec<&'a str>> {
    if len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: as promised by the caller.
    let elements = unsafe { array(tags, len, "tags") }?;
    let tag = |(i, &tag): (usize, &*const c_char)| {
        // SAFETY: as promised by the caller.
        unsafe { text(tag, &format!("tags[{i}]")) }
    };
    elements.iter().enumerate().map(tag).collect()
}

/// What `uint32_t durability` means.
pub(crate) fn durability(value: u32) -> Result<Durability> {
    match value {
        0 => Ok(Durability::Fast),
        1 => Ok(Durability::Flush),
        _ => Err(Error::usage(format!("durability={value} is not known"))
            .with_hint("0 is fast, 1 is flush")),
    }
}

/// A place where a result goes. It holds an empty value until then, so that a failed call leaves nothing to free.
#[derive(Debug)]
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// NULL, or a place for one `T` that only this call uses. What is in it is overwritten, not dropped.
    pub(crate) unsafe fn new(place: *mut T, name: &str, empty: T) -> Result<Self> {
        let place = NonNull::new(place).ok_or_else(|| null(name))?;
        // SAFETY: as promised by the caller.
        unsafe { place.write(empty) };
        Ok(Self(place))
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: as promised to `new`; the empty value that is overwritten owns nothing.
        unsafe { self.0.write(value) };
    }
}
