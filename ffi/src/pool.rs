//! One pool: append, get, info, wait.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use plasmite_core::json::{Document, DocumentStream};
use plasmite_core::{Durability, Entry, Error, ErrorKind, POOL_SUFFIX, Pool, Result, Seq};

use crate::args::{Out, array, borrow, durability, tags};
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
            let json = array(json_bytes, json_len, "json_bytes")?;
            let tags = tags(tag_list, tags_len)?;
            let durability = durability(durability_value)?;
            let document = Document::parse(json)?;
            let receipt = pool.append_document(&document, &tags, durability)?;
            let mut text = String::new();
            envelope::write_appended(&mut text, receipt, &tags, &document);
            out.set(text.into());
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
            let json = array(json_bytes, json_len, "json_bytes")?;
            let tags = tags(tag_list, tags_len)?;
            let durability = durability(durability_value)?;
            out.set(append_all(pool, json, &tags, durability)?.into());
            Ok(OK)
        })
    }
}

/// A document of a batch, and where it is in the batch's text.
struct Placed {
    document: Document<'static>,
    offset: u64,
}

fn append_all(pool: &Pool, json: &[u8], tags: &[&str], durability: Durability) -> Result<String> {
    let documents = documents(json)?;
    let entries: Vec<Entry<'_>> =
        documents.iter().map(|d| Entry { document: &d.document, tags }).collect();
    let receipts = pool.append_batch(&entries, durability).map_err(|e| in_text(e, &documents))?;
    let mut lines = String::new();
    for (receipt, placed) in receipts.into_iter().zip(&documents) {
        envelope::write_appended(&mut lines, receipt, tags, &placed.document);
        lines.push('\n');
    }
    Ok(lines)
}

fn documents(json: &[u8]) -> Result<Vec<Placed>> {
    let mut stream = DocumentStream::new(u64::MAX);
    stream.push(json);
    let mut documents = Vec::new();
    loop {
        let offset = stream.offset();
        match stream.next()? {
            Some(document) => documents.push(Placed { document: document.into_owned(), offset }),
            None => break,
        }
    }
    stream.finish()?;
    Ok(documents)
}

/// The engine tells the index of the entry it refused; our caller knows bytes.
fn in_text(error: Error, documents: &[Placed]) -> Error {
    let index = error.offset().and_then(|index| usize::try_from(index).ok());
    match index.and_then(|index| documents.get(index)) {
        Some(placed) if error.kind() == ErrorKind::Usage => error.with_offset(placed.offset),
        _ => error,
    }
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
            out.set(envelope::of(&pool.get(Seq::new(seq))?).into());
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
            Ok(pool.wait(Seq::new(seen_seq), timeout)?.into())
        })
    }
}
