#![no_main]

use std::path::PathBuf;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let memory = std::env::var_os("TMPDIR").map_or("/dev/shm".into(), PathBuf::from);
    let dir = if memory.is_dir() { tempfile::tempdir_in(&memory) } else { tempfile::tempdir() };
    plasmite_fusefs::fuzzing::run(dir.unwrap().path(), data);
});
