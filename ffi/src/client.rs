//! Pool directories: pools by name.

use std::ffi::{OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use plasmite_core::{Client, DEFAULT_POOL_SIZE_BYTES, Error, ErrorKind, Pool, Result};

use crate::args::{Out, borrow, c_bytes, text};
use crate::buffers::Buf;
use crate::envelope;
use crate::error::CError;
use crate::guard::{OK, fallible};
use crate::handles::{ClientHandle, PoolHandle, free, hand_out};

/// A client of a directory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_client_new(
    pool_dir: *const c_char,
    out_client: *mut *mut ClientHandle,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_client, "out_client", ptr::null_mut())?;
            let client = if pool_dir.is_null() {
                Client::new(plasmite_core::default_pool_dir()?)
            } else {
                match c_bytes(pool_dir, "pool_dir")? {
                    [] => {
                        return Err(Error::usage("pool_dir is empty")
                            .with_hint("name a directory, or give NULL for the default one"));
                    }
                    dir => Client::new(OsStr::from_bytes(dir)),
                }
            };
            out.set(hand_out(ClientHandle(client)));
            Ok(OK)
        })
    }
}

/// Frees a client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_client_free(client: *mut ClientHandle) {
    // SAFETY: the caller keeps what the header asks for.
    unsafe { free(client) }
}

/// Creates a pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_create(
    client: *const ClientHandle,
    pool_ref: *const c_char,
    size_bytes: u64,
    out_pool: *mut *mut PoolHandle,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        obtain(client, pool_ref, out_pool, out_err, |client, name| {
            client.create(name, size_or_default(size_bytes))
        })
    }
}

/// Opens a pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_open(
    client: *const ClientHandle,
    pool_ref: *const c_char,
    out_pool: *mut *mut PoolHandle,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        obtain(client, pool_ref, out_pool, out_err, |client, name| {
            or_read_only(client.open(name), client, name)
        })
    }
}

/// Opens a pool, or creates it when it is not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_open_or_create(
    client: *const ClientHandle,
    pool_ref: *const c_char,
    size_bytes: u64,
    out_pool: *mut *mut PoolHandle,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        obtain(client, pool_ref, out_pool, out_err, |client, name| {
            let opened = client.open_or_create(name, size_or_default(size_bytes));
            or_read_only(opened, client, name)
        })
    }
}

/// Deletes a pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_delete(
    client: *const ClientHandle,
    pool_ref: *const c_char,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let client = &borrow(client, "client")?.0;
            client.delete(text(pool_ref, "pool_ref")?)?;
            Ok(OK)
        })
    }
}

/// The pools of a directory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_list_json(
    client: *const ClientHandle,
    out_json: *mut Buf,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_json, "out_json", Buf::EMPTY)?;
            let client = &borrow(client, "client")?.0;
            let pools: Vec<String> = client.list()?.iter().map(envelope::listed).collect();
            out.set(format!("[{}]", pools.join(",")).into());
            Ok(OK)
        })
    }
}

/// # Safety
/// Pointers as the header asks for them.
unsafe fn obtain(
    client: *const ClientHandle,
    pool_ref: *const c_char,
    out_pool: *mut *mut PoolHandle,
    out_err: *mut *mut CError,
    pool: impl FnOnce(&Client, &str) -> Result<Pool>,
) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_pool, "out_pool", ptr::null_mut())?;
            let client = &borrow(client, "client")?.0;
            let pool_ref = text(pool_ref, "pool_ref")?;
            out.set(hand_out(PoolHandle(pool(client, pool_ref)?)));
            Ok(OK)
        })
    }
}

/// Who may not write to a pool can still read it.
fn or_read_only(opened: Result<Pool>, client: &Client, name: &str) -> Result<Pool> {
    match opened {
        Err(e) if e.kind() == ErrorKind::Permission => {
            // If reading is refused too, then the first refusal says more.
            client.open_read_only(name).map_err(|_| e)
        }
        opened => opened,
    }
}

fn size_or_default(size_bytes: u64) -> u64 {
    if size_bytes == 0 { DEFAULT_POOL_SIZE_BYTES } else { size_bytes }
}
