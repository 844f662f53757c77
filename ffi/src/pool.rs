//! One pool: append, get, info, wait.

use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::time::Duration;

use plasmite_core::json::{Document, Placed, documents};
use plasmite_core::{
    Durability, Entry, Error, ErrorKind, Message, POOL_SUFFIX, Pool, Receipt, Result, Seq, Waited,
};

use crate::args::{Out, borrow, durability, json, tags};
use crate::buffers::Buf;
use crate::envelope;
use crate::error::CError;
use crate::guard::{OK, fallible};
use crate::handles::{PoolHandle, free};

/// Frees a pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_free(pool: *mut PoolHandle) {
    // SAFETY: the caller keeps what the header asks for.
    unsafe { free(pool) }
}

/// `plsm_receipt_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CReceipt {
    /// The message's number.
    pub seq: u64,
    /// Its time, in nanoseconds since 1970.
    pub time_ns: u64,
}

impl From<Receipt> for CReceipt {
    fn from(receipt: Receipt) -> Self {
        Self { seq: receipt.seq.get(), time_ns: receipt.time.as_nanos() }
    }
}

/// Appends one message and tells only its number and time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_append(
    pool: *const PoolHandle,
    json_bytes: *const u8,
    json_len: usize,
    tag_list: *const *const c_char,
    tags_len: usize,
    durability_value: u32,
    out_receipt: *mut CReceipt,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = match out_receipt.is_null() {
                true => None,
                false => {
                    Some(Out::new(out_receipt, "out_receipt", CReceipt { seq: 0, time_ns: 0 })?)
                }
            };
            let pool = &borrow(pool, "pool")?.0;
            let json = json(json_bytes, json_len)?;
            let tags = tags(tag_list, tags_len)?;
            let receipt = pool.append(json, &tags, durability(durability_value)?)?;
            if let Some(out) = out {
                out.set(receipt.into());
            }
            Ok(OK)
        })
    }
}

/// Appends one message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_append_json(
    pool: *const PoolHandle,
    json_bytes: *const u8,
    json_len: usize,
    tag_list: *const *const c_char,
    tags_len: usize,
    durability_value: u32,
    out_message: *mut Buf,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_message, "out_message", Buf::EMPTY)?;
            let pool = &borrow(pool, "pool")?.0;
            let json = json(json_bytes, json_len)?;
            let tags = tags(tag_list, tags_len)?;
            let durability = durability(durability_value)?;
            let document = Document::parse(json)?;
            let receipt = pool.append_document(&document, &tags, durability)?;
            out.set(envelope::of_appended(receipt, &tags, &document).into());
            Ok(OK)
        })
    }
}

/// Appends many messages, all or none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_append_batch(
    pool: *const PoolHandle,
    json_bytes: *const u8,
    json_len: usize,
    tag_list: *const *const c_char,
    tags_len: usize,
    durability_value: u32,
    out_lines: *mut Buf,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_lines, "out_lines", Buf::EMPTY)?;
            let pool = &borrow(pool, "pool")?.0;
            let json = json(json_bytes, json_len)?;
            let tags = tags(tag_list, tags_len)?;
            let durability = durability(durability_value)?;
            out.set(append_all(pool, json, &tags, durability)?.into());
            Ok(OK)
        })
    }
}

fn append_all(pool: &Pool, json: &[u8], tags: &[&str], durability: Durability) -> Result<String> {
    let documents = documents(json)?;
    let entries: Vec<Entry<'_>> =
        documents.iter().map(|d| Entry { document: &d.document, tags }).collect();
    let receipts = pool.append_batch(&entries, durability).map_err(|e| in_text(e, &documents))?;
    Ok(envelope::lines_of_appended(&receipts, tags, &documents))
}

/// The engine tells the index of the entry it refused; our caller knows bytes.
fn in_text(error: Error, documents: &[Placed<'_>]) -> Error {
    let index = error.offset().and_then(|index| usize::try_from(index).ok());
    match index.and_then(|index| documents.get(index)) {
        Some(placed) if error.kind() == ErrorKind::Usage => error.with_offset(placed.offset),
        _ => error,
    }
}

/// The memory of a larger message is given back at once.
const KEPT_BYTES: u64 = 64 * 1024;

thread_local! {
    /// The memory of the message this thread read last, for the next one.
    static MESSAGE: Cell<Message> = Cell::default();
}

/// Reads one message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_get_json(
    pool: *const PoolHandle,
    seq: u64,
    out_message: *mut Buf,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_message, "out_message", Buf::EMPTY)?;
            let pool = &borrow(pool, "pool")?.0;
            let mut message = MESSAGE.take();
            pool.get_into(Seq::new(seq), &mut message)?;
            out.set(envelope::of(&message).into());
            if message.line_len() <= KEPT_BYTES {
                MESSAGE.set(message);
            }
            Ok(OK)
        })
    }
}

/// The facts of a pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_info_json(
    pool: *const PoolHandle,
    out_json: *mut Buf,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_json, "out_json", Buf::EMPTY)?;
            let pool = &borrow(pool, "pool")?.0;
            let file = pool.path().file_name().unwrap_or_default().to_string_lossy();
            let name = file.strip_suffix(POOL_SUFFIX).unwrap_or(&file);
            out.set(envelope::named_info(name, &pool.info()?).into());
            Ok(OK)
        })
    }
}

/// Waits for a message newer than `seen_seq`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_wait(
    pool: *const PoolHandle,
    seen_seq: u64,
    timeout_ms: u64,
    has_timeout: u32,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe {
        fallible(out_err, || {
            let pool = &borrow(pool, "pool")?.0;
            let timeout = (has_timeout != 0).then(|| Duration::from_millis(timeout_ms));
            Ok((pool.wait_or_signal(Seq::new(seen_seq), timeout)? == Waited::Newer).into())
        })
    }
}
