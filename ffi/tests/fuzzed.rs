//! Sequences of C calls that fuzzing found worth keeping, and those that once failed: see `fuzz/` and `cargo xtask fuzz`.
#![allow(unsafe_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end so")]

use std::path::Path;

#[path = "../../fuzz/src/abi.rs"]
mod abi;

#[test]
fn calls_that_were_found_by_fuzzing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/abi");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        abi::run(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0);
}
