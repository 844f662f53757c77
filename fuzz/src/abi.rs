//! Calls of the C ABI with whatever arguments a C program may pass: NULL, numbers out of range, text that is no text, tags that are no tags,
//! handles in any order. Each error is told as an error, and freed.

use std::ffi::{CString, c_char, c_int};
use std::path::PathBuf;
use std::ptr;

use plasmite_ffi::*;

/// Handles of each sort that are kept.
const KEPT: usize = 3;

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number: mostly small, or at the ends of the range.
    fn number(&mut self) -> u64 {
        match self.byte().unwrap_or(0) {
            255 => u64::MAX,
            254 => u64::MAX - 1,
            253 => 1 << 56,
            252 => u64::from(u32::MAX),
            n => n.into(),
        }
    }

    fn bytes(&mut self, most: usize) -> &'a [u8] {
        let len = usize::from(self.byte().unwrap_or(0)) % (most + 1);
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A C string, or None for NULL.
    fn text(&mut self, most: usize) -> Option<CString> {
        let bytes: Vec<u8> = self.bytes(most).iter().copied().filter(|b| *b != 0).collect();
        if bytes == [0xff] { None } else { CString::new(bytes).ok() }
    }

    /// The reference of a pool: mostly one of a few names, which lie in the directory of the test whatever they are.
    fn name(&mut self) -> Option<CString> {
        match self.byte().unwrap_or(0) % 8 {
            0..4 => Some(c"a".to_owned()),
            4..6 => Some(c"b.plasmite".to_owned()),
            // Not out of the directory.
            _ => self.text(40).filter(|text| !text.to_bytes().contains(&b'/')),
        }
    }
}

fn at(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

struct State {
    client: *mut ClientHandle,
    pools: Vec<*mut PoolHandle>,
    streams: Vec<*mut StreamHandle>,
}

impl State {
    fn pool(&self, input: &mut Input<'_>) -> *mut PoolHandle {
        let n = usize::from(input.byte().unwrap_or(0));
        self.pools.get(n % (KEPT + 1)).copied().unwrap_or(ptr::null_mut())
    }

    fn stream(&self, input: &mut Input<'_>) -> *mut StreamHandle {
        let n = usize::from(input.byte().unwrap_or(0));
        self.streams.get(n % (KEPT + 1)).copied().unwrap_or(ptr::null_mut())
    }

    fn keep_pool(&mut self, pool: *mut PoolHandle) {
        if self.pools.len() == KEPT {
            // SAFETY: it came from this library and is freed once.
            unsafe { plsm_pool_free(self.pools.remove(0)) };
        }
        if !pool.is_null() {
            self.pools.push(pool);
        }
    }

    fn keep_stream(&mut self, stream: *mut StreamHandle) {
        if self.streams.len() == KEPT {
            // SAFETY: it came from this library and is freed once.
            unsafe { plsm_stream_free(self.streams.remove(0)) };
        }
        if !stream.is_null() {
            self.streams.push(stream);
        }
    }
}

/// What came back: an error says so in every way, and is none of ours.
fn judge(result: c_int, error: *mut CError, asked: bool) {
    // 2: a stream has nothing yet.
    assert!((-1..=2).contains(&result), "{result}");
    assert_eq!(!error.is_null(), result == -1 && asked);
    if !error.is_null() {
        // SAFETY: the library gave it, and it is freed once, below.
        unsafe {
            assert!(
                (2..=9).contains(&(*error).kind),
                "{:?}",
                std::ffi::CStr::from_ptr((*error).message)
            );
            plsm_error_free(error);
        }
    }
}

fn judge_buffer(result: c_int, mut buffer: Buf) {
    // SAFETY: the library filled it in, or left it empty.
    unsafe {
        // 1 is also what a wait ends with, which gives no text.
        if buffer.len > 0 {
            assert!((0..=1).contains(&result) && !buffer.data.is_null());
            let text = std::slice::from_raw_parts(buffer.data, buffer.len);
            for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                assert!(serde_json::from_slice::<&serde_json::value::RawValue>(line).is_ok());
            }
        }
        plsm_buf_free(&raw mut buffer);
        plsm_buf_free(&raw mut buffer);
    }
}

const EMPTY: Buf = Buf { data: ptr::null_mut(), len: 0 };

pub fn run(data: &[u8]) {
    let memory = std::env::var_os("TMPDIR").map_or("/dev/shm".into(), PathBuf::from);
    let dir = if memory.is_dir() { tempfile::tempdir_in(&memory) } else { tempfile::tempdir() };
    let dir = dir.unwrap();
    let path = CString::new(dir.path().as_os_str().as_encoded_bytes()).unwrap();
    let mut state = State { client: ptr::null_mut(), pools: Vec::new(), streams: Vec::new() };
    // SAFETY: every pointer is NULL or as the header asks for it.
    unsafe {
        let result = plsm_client_new(path.as_ptr(), &raw mut state.client, ptr::null_mut());
        assert_eq!(result, 0);
    }
    let mut input = Input(data);
    while let Some(operation) = input.byte() {
        step(&mut state, operation, &mut input);
    }
    // SAFETY: handles may be freed in any order, each once.
    unsafe {
        plsm_client_free(state.client);
        state.pools.into_iter().for_each(|pool| plsm_pool_free(pool));
        state.streams.into_iter().for_each(|stream| plsm_stream_free(stream));
    }
}

fn step(state: &mut State, operation: u8, input: &mut Input<'_>) {
    let asked = operation & 0x80 == 0;
    let with_out = operation & 0x40 == 0;
    let mut error = ptr::null_mut();
    let error_at = if asked { &raw mut error } else { ptr::null_mut() };
    let client = if operation & 0x60 == 0x60 { ptr::null_mut() } else { state.client };
    let mut buffer = EMPTY;
    let buffer_at = if with_out { &raw mut buffer } else { ptr::null_mut() };
    // SAFETY: every pointer is NULL or as the header asks for it, and so are lengths.
    let result = unsafe {
        match operation % 16 {
            kind @ 0..=2 => {
                let mut pool = ptr::null_mut();
                let pool_at = if with_out { &raw mut pool } else { ptr::null_mut() };
                let name = input.name();
                // No larger than 1 MiB, or larger than any disk.
                let size = match input.number() {
                    n @ 0..252 => n * 4096,
                    n => n.max(1 << 60),
                };
                let result = match kind {
                    0 => plsm_pool_create(client, at(&name), size, pool_at, error_at),
                    1 => plsm_pool_open(client, at(&name), pool_at, error_at),
                    _ => plsm_pool_open_or_create(client, at(&name), size, pool_at, error_at),
                };
                assert_eq!(!pool.is_null(), result == 0 && with_out);
                state.keep_pool(pool);
                result
            }
            3 => plsm_pool_delete(client, at(&input.name()), error_at),
            4 => plsm_pool_list_json(client, buffer_at, error_at),
            5 => plsm_pool_info_json(state.pool(input), buffer_at, error_at),
            kind @ 6..=8 => {
                let pool = state.pool(input);
                let json = match input.byte().unwrap_or(0) % 4 {
                    0 => &b"{\"a\":[1,2.5e3,\"x\"]}"[..],
                    1 => b"{\"a\":1}\n{\"b\": 2}",
                    _ => input.bytes(200),
                };
                let (json_at, json_len) = match input.byte().unwrap_or(0) {
                    255 => (ptr::null(), json.len()),
                    _ => (json.as_ptr(), json.len()),
                };
                let tags: Vec<_> =
                    (0..input.byte().unwrap_or(0) % 4).map(|_| input.text(60)).collect();
                let tags: Vec<_> = tags.iter().map(at).collect();
                let tags_at = if tags.is_empty() { ptr::null() } else { tags.as_ptr() };
                let durability = (input.number() % 4) as u32;
                let mut receipt = CReceipt { seq: 0, time_ns: 0 };
                let receipt_at = if with_out { &raw mut receipt } else { ptr::null_mut() };
                match kind {
                    6 => plsm_pool_append(
                        pool,
                        json_at,
                        json_len,
                        tags_at,
                        tags.len(),
                        durability,
                        receipt_at,
                        error_at,
                    ),
                    _ => {
                        let append = match kind {
                            7 => plsm_pool_append_json,
                            _ => plsm_pool_append_batch,
                        };
                        append(
                            pool,
                            json_at,
                            json_len,
                            tags_at,
                            tags.len(),
                            durability,
                            buffer_at,
                            error_at,
                        )
                    }
                }
            }
            9 => plsm_pool_get_json(state.pool(input), input.number(), buffer_at, error_at),
            10 => plsm_pool_wait(state.pool(input), input.number(), 0, 1, error_at),
            kind @ 11..=12 => {
                let mut stream = ptr::null_mut();
                let stream_at = if with_out { &raw mut stream } else { ptr::null_mut() };
                let pool = state.pool(input);
                let flags = input.number() as u32;
                let (since_seq, max_messages) = (input.number(), input.number());
                let options = StreamOptions {
                    struct_size: if flags & 8 == 0 {
                        size_of::<StreamOptions>() as u32
                    } else {
                        flags
                    },
                    gap_policy: flags >> 4 & 3,
                    since_seq,
                    max_messages,
                    // A wait is not what is looked for.
                    timeout_ms: 0,
                    has_since: flags & 1,
                    has_max: flags & 2,
                    has_timeout: 1,
                    reserved: flags >> 6 & 1,
                };
                let tags: Vec<_> = (0..flags % 3).map(|_| input.text(20)).collect();
                let tags: Vec<_> = tags.iter().map(at).collect();
                let result = match kind {
                    11 if flags & 4 == 0 => plsm_stream_open(
                        pool,
                        since_seq,
                        flags & 1,
                        max_messages,
                        flags & 2,
                        0,
                        1,
                        stream_at,
                        error_at,
                    ),
                    11 => plsm_stream_open_ex(pool, &raw const options, stream_at, error_at),
                    _ => plsm_stream_open_tagged(
                        pool,
                        &raw const options,
                        tags.as_ptr(),
                        tags.len(),
                        stream_at,
                        error_at,
                    ),
                };
                assert_eq!(!stream.is_null(), result == 0 && with_out);
                state.keep_stream(stream);
                result
            }
            13 => plsm_stream_next(state.stream(input), buffer_at, error_at),
            14 => plsm_stream_read(
                state.stream(input),
                input.number(),
                input.number(),
                // A wait that spins is one of a millisecond.
                u64::from(operation & 0x10 != 0),
                buffer_at,
                error_at,
            ),
            15 if operation & 0x10 != 0 => {
                plsm_stream_set_spin(state.stream(input), input.number() as u32, error_at)
            }
            _ => {
                let mut fd = -1;
                let fd_at = if with_out { &raw mut fd } else { ptr::null_mut() };
                plsm_stream_fd(state.stream(input), fd_at, error_at)
            }
        }
    };
    judge(result, error, asked);
    judge_buffer(result, buffer);
}
