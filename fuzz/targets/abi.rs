#![no_main]

#[path = "../src/abi.rs"]
mod abi;

libfuzzer_sys::fuzz_target!(|data: &[u8]| abi::run(data));
