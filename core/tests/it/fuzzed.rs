//! Inputs that fuzzing found worth keeping, and those that once failed: see `fuzz/` and `cargo xtask fuzz`.

use std::fs;
use std::path::Path;

use crate::support::Watchdog;

#[path = "../../../fuzz/src/json.rs"]
mod json;
#[path = "../../../fuzz/src/pool.rs"]
mod pool;

fn replay(target: &str, run: fn(&[u8])) {
    let _watchdog = Watchdog::start(900);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn pool_files_that_were_found_by_fuzzing() {
    replay("pool", pool::run);
}

#[test]
fn json_texts_that_were_found_by_fuzzing() {
    replay("json", json::run);
}
