//! Rows of the C ABI: the same work as rows of the engine, through libplasmite.so as a C program calls it.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::mem::transmute;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::time::Instant;

use plasmite_core::json::Document;
use plasmite_core::{Durability, Envelopes, Pool, Seq};

use crate::documents::dense;
use crate::limits::each;
use crate::readers::read_as_json;
use crate::rows::Bench;

/// The library, which `cargo xtask bench` builds beside this program.
pub(crate) fn library() -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name("libplasmite.so");
    assert!(path.exists(), "there is no {}: cargo build --release -p plasmite", path.display());
    path
}

/// `plsm_buf_t`.
#[repr(C)]
struct Buf {
    data: *mut u8,
    len: usize,
}

/// Messages that are appended at once.
const BATCH: u64 = 100;

type Handle = *mut c_void;
type Error = *mut *mut c_void;
type ClientNew = unsafe extern "C" fn(*const c_char, *mut Handle, Error) -> c_int;
type PoolOpen = unsafe extern "C" fn(Handle, *const c_char, *mut Handle, Error) -> c_int;
type AppendJson = unsafe extern "C" fn(
    Handle,
    *const u8,
    usize,
    *const *const c_char,
    usize,
    u32,
    *mut Buf,
    Error,
) -> c_int;
type Append = unsafe extern "C" fn(
    Handle,
    *const u8,
    usize,
    *const *const c_char,
    usize,
    u32,
    *mut [u64; 2],
    Error,
) -> c_int;
type GetJson = unsafe extern "C" fn(Handle, u64, *mut Buf, Error) -> c_int;
type StreamOpen =
    unsafe extern "C" fn(Handle, u64, u32, u64, u32, u64, u32, *mut Handle, Error) -> c_int;
type StreamNext = unsafe extern "C" fn(Handle, *mut Buf, Error) -> c_int;
type BufFree = unsafe extern "C" fn(*mut Buf);
type Free = unsafe extern "C" fn(Handle);

/// One pool, opened through the library.
pub(crate) struct CPool {
    pool: Handle,
    append_json: AppendJson,
    append: Append,
    append_batch: AppendJson,
    get_json: GetJson,
    stream_open: StreamOpen,
    stream_next: StreamNext,
    stream_free: Free,
    buf_free: BufFree,
    pool_free: Free,
}

impl CPool {
    pub(crate) fn open(path: &Path) -> Self {
        let library = CString::new(library().as_os_str().as_bytes()).unwrap();
        let pool_ref = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the functions have the types that the header gives them, and get what it asks for.
        unsafe {
            let library = libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!library.is_null());
            let symbol = |name: &std::ffi::CStr| {
                let symbol = libc::dlsym(library, name.as_ptr());
                assert!(!symbol.is_null(), "{name:?}");
                symbol
            };
            let client_new: ClientNew = transmute(symbol(c"plsm_client_new"));
            let pool_open: PoolOpen = transmute(symbol(c"plsm_pool_open"));
            let client_free: Free = transmute(symbol(c"plsm_client_free"));
            let (mut client, mut pool) = (null_mut(), null_mut());
            assert_eq!(client_new(null(), &raw mut client, null_mut()), 0);
            assert_eq!(pool_open(client, pool_ref.as_ptr(), &raw mut pool, null_mut()), 0);
            client_free(client);
            Self {
                pool,
                append_json: transmute::<*mut c_void, AppendJson>(symbol(c"plsm_pool_append_json")),
                append: transmute::<*mut c_void, Append>(symbol(c"plsm_pool_append")),
                append_batch: transmute::<*mut c_void, AppendJson>(symbol(
                    c"plsm_pool_append_batch",
                )),
                get_json: transmute::<*mut c_void, GetJson>(symbol(c"plsm_pool_get_json")),
                stream_open: transmute::<*mut c_void, StreamOpen>(symbol(c"plsm_stream_open")),
                stream_next: transmute::<*mut c_void, StreamNext>(symbol(c"plsm_stream_next")),
                stream_free: transmute::<*mut c_void, Free>(symbol(c"plsm_stream_free")),
                buf_free: transmute::<*mut c_void, BufFree>(symbol(c"plsm_buf_free")),
                pool_free: transmute::<*mut c_void, Free>(symbol(c"plsm_pool_free")),
            }
        }
    }

    fn append_json(&self, text: &[u8]) {
        self.append_text(self.append_json, text);
    }

    pub(crate) fn append_batch(&self, lines: &[u8]) {
        self.append_text(self.append_batch, lines);
    }

    fn append_text(&self, append: AppendJson, text: &[u8]) {
        let mut buf = Buf { data: null_mut(), len: 0 };
        // SAFETY: as for `open`; one and many have the same parameters.
        unsafe {
            let (data, len) = (text.as_ptr(), text.len());
            let code = append(self.pool, data, len, null(), 0, 0, &raw mut buf, null_mut());
            assert_eq!(code, 0);
            (self.buf_free)(&raw mut buf);
        }
    }

    pub(crate) fn append(&self, text: &[u8]) -> u64 {
        let mut receipt = [0; 2];
        // SAFETY: as for `open`; the receipt is two words.
        unsafe {
            let (data, len) = (text.as_ptr(), text.len());
            let code =
                (self.append)(self.pool, data, len, null(), 0, 0, &raw mut receipt, null_mut());
            assert_eq!(code, 0);
        }
        receipt[0]
    }

    pub(crate) fn get_json(&self, seq: u64) -> usize {
        let mut buf = Buf { data: null_mut(), len: 0 };
        // SAFETY: as for `open`.
        unsafe {
            assert_eq!((self.get_json)(self.pool, seq, &raw mut buf, null_mut()), 0);
            let len = buf.len;
            (self.buf_free)(&raw mut buf);
            len
        }
    }

    /// Reads all that is there by a stream; tells how many messages that were.
    fn stream(&self) -> u64 {
        let (mut stream, mut read) = (null_mut(), 0);
        // SAFETY: as for `open`. It starts with the oldest, takes any number, and waits for none.
        unsafe {
            let code = (self.stream_open)(self.pool, 0, 0, 0, 0, 0, 1, &raw mut stream, null_mut());
            assert_eq!(code, 0);
            loop {
                let mut buf = Buf { data: null_mut(), len: 0 };
                match (self.stream_next)(stream, &raw mut buf, null_mut()) {
                    0 => break,
                    code => assert_eq!(code, 1),
                }
                read += 1;
                (self.buf_free)(&raw mut buf);
            }
            (self.stream_free)(stream);
        }
        read
    }
}

impl Drop for CPool {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { (self.pool_free)(self.pool) }
    }
}

/// The names of the rows for one size of message.
struct Names {
    rust_append: &'static str,
    rust_append_json: &'static str,
    append_json: &'static str,
    append: &'static str,
    append_batch: &'static str,
    rust_get: &'static str,
    rust_get_json: &'static str,
    get_json: &'static str,
    rust_tail_json: &'static str,
    stream_next: &'static str,
}

const LARGE: Names = Names {
    rust_append: "Rust append 1 KiB",
    rust_append_json: "Rust append 1 KiB, its envelope made",
    append_json: "C append_json 1 KiB",
    append: "C append 1 KiB, receipt only",
    append_batch: "C append_batch 1 KiB, 100 at once",
    rust_get: "Rust get 1 KiB",
    rust_get_json: "Rust get 1 KiB, as JSON",
    get_json: "C get_json 1 KiB",
    rust_tail_json: "Rust tail 1 KiB, as JSON",
    stream_next: "C stream_next 1 KiB",
};

const SMALL: Names = Names {
    rust_append: "Rust append 7 bytes",
    rust_append_json: "Rust append 7 bytes, its envelope made",
    append_json: "C append_json 7 bytes",
    append: "C append 7 bytes, receipt only",
    append_batch: "C append_batch 7 bytes, 100 at once",
    rust_get: "Rust get 7 bytes",
    rust_get_json: "Rust get 7 bytes, as JSON",
    get_json: "C get_json 7 bytes",
    rust_tail_json: "Rust tail 7 bytes, as JSON",
    stream_next: "C stream_next 7 bytes",
};

pub(crate) fn rows(bench: &mut Bench) {
    let count = bench.count;
    let path = bench.dir.join("c.plasmite");
    let pool = Pool::create(&path, 8 << 20).unwrap();
    let c_pool = CPool::open(&path);
    for (names, text) in [(LARGE, dense(1024)), (SMALL, r#"{"a":1}"#.to_owned())] {
        appends(bench, &names, &pool, &c_pool, text.as_bytes(), count);
        gets(bench, &names, &pool, &c_pool, count);
        tails(bench, &names, &pool, &c_pool, count);
    }
    drop((pool, c_pool));
    Pool::delete(&path).unwrap();
}

fn appends(bench: &mut Bench, names: &Names, pool: &Pool, c_pool: &CPool, text: &[u8], count: u64) {
    let rust = |_| {
        black_box(pool.append(black_box(text), &[] as &[&str], Durability::Fast).unwrap());
    };
    (0..count / 10).for_each(rust);
    bench.note(names.rust_append, timed(count, rust), None, None);
    let ns = timed(count, |_| {
        black_box(c_pool.append(black_box(text)));
    });
    bench.note(names.append, ns, Some((names.rust_append, 1.3)), None);

    // What `append_json` hands over, a Rust program makes of the receipt if it wants it.
    let ns = timed(count, |_| {
        let document = Document::parse(black_box(text)).unwrap();
        let tags: &[&str] = &[];
        let receipt = pool.append_document(&document, tags, Durability::Fast).unwrap();
        let mut envelope = String::new();
        Envelopes::new(tags).write_json(&mut envelope, receipt, &document);
        black_box(envelope);
    });
    bench.note(names.rust_append_json, ns, None, None);
    let ns = timed(count, |_| c_pool.append_json(black_box(text)));
    bench.note(names.append_json, ns, Some((names.rust_append_json, 1.3)), None);
    let lines = [text, b"\n"].concat().repeat(BATCH as usize);
    let ns = timed(count / BATCH, |_| c_pool.append_batch(black_box(&lines))) / BATCH as f64;
    bench.note(names.append_batch, ns, Some((names.append_json, 1.0)), None);
}

fn gets(bench: &mut Bench, names: &Names, pool: &Pool, c_pool: &CPool, count: u64) {
    let bounds = pool.bounds().unwrap();
    let seq = |n: u64| bounds.oldest.get() + n.wrapping_mul(7919) % bounds.count();
    let ns = timed(count, |n| {
        black_box(pool.get(Seq::new(seq(n))).unwrap());
    });
    bench.note(names.rust_get, ns, None, None);
    let ns = timed(count, |n| {
        black_box(pool.get(Seq::new(seq(n))).unwrap().to_json());
    });
    bench.note(names.rust_get_json, ns, None, None);
    let ns = timed(count, |n| {
        black_box(c_pool.get_json(seq(n)));
    });
    bench.note(names.get_json, ns, Some((names.rust_get_json, 1.3)), None);
}

fn tails(bench: &mut Bench, names: &Names, pool: &Pool, c_pool: &CPool, count: u64) {
    let until = |one_pass: &dyn Fn() -> u64| {
        let (start, mut read) = (Instant::now(), 0);
        while read < count {
            read += one_pass();
        }
        each(start, read)
    };
    let ns = until(&|| read_as_json(pool));
    bench.note(names.rust_tail_json, ns, None, None);
    let ns = until(&|| c_pool.stream());
    bench.note(names.stream_next, ns, Some((names.rust_tail_json, 1.3)), None);
}

fn timed(count: u64, mut work: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    (0..count).for_each(&mut work);
    each(start, count)
}
