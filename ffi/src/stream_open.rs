//! Opening a stream.

use std::ffi::{c_char, c_int};
use std::ptr;
use std::time::Duration;

use plasmite_core::{Error, GapPolicy, Result, Seq, TailOptions};

use crate::args::{Out, borrow, tags};
use crate::error::CError;
use crate::guard::{OK, fallible};
use crate::handles::{PoolHandle, StreamHandle, hand_out};
use crate::stream::Stream;

/// `plsm_stream_options_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StreamOptions {
    /// The size of the struct, as the caller knows it.
    pub struct_size: u32,
    /// 0: go on after a gap. 1: RetentionGap.
    pub gap_policy: u32,
    /// The first message wanted, if `has_since`.
    pub since_seq: u64,
    /// How many messages at most, if `has_max`.
    pub max_messages: u64,
    /// How long to wait for a next message, if `has_timeout`.
    pub timeout_ms: u64,
    /// Whether `since_seq` counts.
    pub has_since: u32,
    /// Whether `max_messages` counts.
    pub has_max: u32,
    /// Whether `timeout_ms` counts.
    pub has_timeout: u32,
    /// Zero.
    pub reserved: u32,
}

const OPTIONS_BYTES: u32 = size_of::<StreamOptions>() as u32;

impl StreamOptions {
    /// Reads the options, no further than the caller says they go.
    ///
    /// # Safety
    /// NULL, or a pointer to `struct_size` bytes.
    unsafe fn read(options: *const Self) -> Result<Self> {
        if options.is_null() {
            return Err(Error::usage("options is null"));
        }
        // SAFETY: `struct_size` is the first field, and there in every version of the struct.
        let size = unsafe { options.cast::<u32>().read() };
        if size < OPTIONS_BYTES {
            return Err(Error::usage(format!(
                "options.struct_size={size} is smaller than {OPTIONS_BYTES}"
            ))
            .with_hint("set it to sizeof(plsm_stream_options_t)"));
        }
        // SAFETY: the caller says that so many bytes are there.
        Ok(unsafe { options.read() })
    }

    fn gap(&self) -> Result<GapPolicy> {
        if self.reserved != 0 {
            let what = format!("options.reserved={} has no meaning", self.reserved);
            return Err(Error::usage(what).with_hint("set it to 0"));
        }
        match self.gap_policy {
            0 => Ok(GapPolicy::Continue),
            1 => Ok(GapPolicy::Error),
            other => Err(Error::usage(format!("options.gap_policy={other} is not known"))
                .with_hint("0 continues, 1 is an error")),
        }
    }

    fn tail(&self, tags: &[&str]) -> Result<TailOptions> {
        Ok(TailOptions {
            since: (self.has_since != 0).then_some(Seq::new(self.since_seq)),
            max: (self.has_max != 0).then_some(self.max_messages),
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            gap: self.gap()?,
            // The streams spin themselves.
            spin: Duration::ZERO,
        })
    }

    fn timeout(&self) -> Option<Duration> {
        (self.has_timeout != 0).then(|| Duration::from_millis(self.timeout_ms))
    }
}

/// Opens a stream that goes on after gaps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_open(
    pool: *const PoolHandle,
    since_seq: u64,
    has_since: u32,
    max_messages: u64,
    has_max: u32,
    timeout_ms: u64,
    has_timeout: u32,
    out_stream: *mut *mut StreamHandle,
    out_err: *mut *mut CError,
) -> c_int {
    let options = StreamOptions {
        struct_size: OPTIONS_BYTES,
        gap_policy: 0,
        since_seq,
        max_messages,
        timeout_ms,
        has_since,
        has_max,
        has_timeout,
        reserved: 0,
    };
    // SAFETY: the caller keeps what the header asks for, of every pointer; the options are ours.
    unsafe { open(pool, &raw const options, ptr::null(), 0, out_stream, out_err) }
}

/// Opens a stream with options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_open_ex(
    pool: *const PoolHandle,
    options: *const StreamOptions,
    out_stream: *mut *mut StreamHandle,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe { open(pool, options, ptr::null(), 0, out_stream, out_err) }
}

/// Opens a stream of the messages that have all of some tags.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_open_tagged(
    pool: *const PoolHandle,
    options: *const StreamOptions,
    tag_list: *const *const c_char,
    tags_len: usize,
    out_stream: *mut *mut StreamHandle,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: the caller keeps what the header asks for, of every pointer.
    unsafe { open(pool, options, tag_list, tags_len, out_stream, out_err) }
}

/// # Safety
/// Pointers as the header asks for them.
unsafe fn open(
    pool: *const PoolHandle,
    options: *const StreamOptions,
    tag_list: *const *const c_char,
    tags_len: usize,
    out_stream: *mut *mut StreamHandle,
    out_err: *mut *mut CError,
) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        fallible(out_err, || {
            let out = Out::new(out_stream, "out_stream", ptr::null_mut())?;
            let pool = &borrow(pool, "pool")?.0;
            let options = StreamOptions::read(options)?;
            let tags = tags(tag_list, tags_len)?;
            let tail = options.tail(&tags)?;
            let stream = Stream::new(pool, tail, options.timeout())?;
            out.set(hand_out(StreamHandle(stream)));
            Ok(OK)
        })
    }
}
