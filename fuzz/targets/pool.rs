#![no_main]

#[path = "../src/pool.rs"]
mod pool;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pool::run(data));
