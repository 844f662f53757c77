//! The C tests beside this file, compiled as C99 and as C++ against the library that users get, and run.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder with `libplasmite.so`: of the SDK in `PLASMITE_SDK_DIR`, else what `cargo xtask` has built, else built now with the
/// command, which `cargo test -p plasmite-ffi` alone does not do.
fn library_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        if let Some(sdk) = std::env::var_os("PLASMITE_SDK_DIR") {
            return Path::new(&sdk).join("lib");
        }
        if let Some(built) = std::env::var_os("PLASMITE_BUILT_DIR") {
            return built.into();
        }
        let this_test = std::env::current_exe().unwrap();
        let profile_dir = this_test.parent().unwrap().parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--package", "plasmite", "--lib", "--bin", "plasmite"])
            .env("CARGO_TARGET_DIR", profile_dir.parent().unwrap());
        if profile_dir.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "libplasmite could not be built");
        profile_dir.to_owned()
    })
}

/// The `plasmite` command that goes with it.
fn command() -> PathBuf {
    let dir = library_dir();
    if dir.ends_with("lib") {
        dir.with_file_name("bin").join("plasmite")
    } else {
        dir.join("plasmite")
    }
}

/// Compiles `tests/NAME.c` with `compiler`, and runs it with a directory of its own.
fn compile_and_run(name: &str, compiler: &[&str], extra: &[&str], link: &[&str]) {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join(name);
    let lib_dir = library_dir();
    let output = Command::new(compiler[0])
        .args(&compiler[1..])
        .args(["-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-g"])
        .arg("-Wno-unused-function")
        .args(extra)
        .arg("-I")
        .arg(crate_dir.join("include"))
        .arg("-o")
        .arg(&program)
        .arg(crate_dir.join("tests").join(format!("{name}.c")))
        .args(["-x", "none"])
        .args(link.iter().map(|arg| arg.replace("{lib}", &lib_dir.display().to_string())))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pools = dir.path().join("some pools");
    let output = Command::new(&program)
        .arg(&pools)
        // cargo's would have it load the debug library, whichever it was linked with.
        .env_remove("LD_LIBRARY_PATH")
        .env("PLASMITE_BIN", command())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{stderr}", output.status);
}

const C: [&str; 3] = ["cc", "-std=c99", "-pedantic"];
const CPP: [&str; 4] = ["c++", "-x", "c++", "-std=c++11"];
const SHARED: [&str; 4] = ["-L{lib}", "-lplasmite", "-Wl,-rpath,{lib}", "-lpthread"];
/// As `Libs.private` of the pkg-config file.
const STATIC: [&str; 6] = ["{lib}/libplasmite.a", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

macro_rules! c_tests {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn passes_as_c() {
                super::compile_and_run(stringify!($name), &super::C, &[], &super::SHARED);
            }

            #[test]
            fn passes_as_cpp() {
                super::compile_and_run(stringify!($name), &super::CPP, &[], &super::SHARED);
            }

            #[test]
            fn passes_with_sanitizers() {
                super::compile_and_run(
                    stringify!($name),
                    &super::C,
                    &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
                    &super::SHARED,
                );
            }
        }
    )*};
}

c_tests! { append_and_get pools nulls streams handles sigbus files resize }

#[test]
fn the_static_library_links() {
    compile_and_run("handles", &C, &[], &STATIC);
}

/// The functions that each version of the ABI has added, without `plsm_`. Never changed: what is new makes a new version.
const VERSIONS: [&[&str]; 3] = [
    &[
        "abi_version",
        "buf_free",
        "client_free",
        "client_new",
        "error_free",
        "pool_append_batch",
        "pool_append_json",
        "pool_create",
        "pool_delete",
        "pool_free",
        "pool_get_json",
        "pool_info_json",
        "pool_list_json",
        "pool_open",
        "pool_open_or_create",
        "pool_wait",
        "stream_fd",
        "stream_free",
        "stream_next",
        "stream_open",
        "stream_open_ex",
        "stream_open_tagged",
        "stream_read",
        "version",
    ],
    &["pool_append"],
    &["stream_set_spin"],
];

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let header = include_str!("../include/plasmite.h");
    let declared: BTreeSet<String> = header
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains('('))
        .filter_map(|line| line.split('(').next()?.rsplit([' ', '*']).next())
        .map(str::to_owned)
        .collect();
    let library = library_dir().join("libplasmite.so");
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output().unwrap();
    let exported: BTreeSet<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(str::to_owned)
        .collect();
    let listed: BTreeSet<String> =
        VERSIONS.iter().flat_map(|names| names.iter().map(|name| format!("plsm_{name}"))).collect();
    assert_eq!(declared, listed);
    assert_eq!(exported, listed);
    let version = format!("#define PLSM_ABI_VERSION {}\n", VERSIONS.len());
    assert!(header.contains(&version), "{version}");
}

#[test]
fn every_function_that_does_something_catches_panics() {
    // The functions whose bodies run behind the guard, or that have nothing in them to panic.
    let guarded = ["fallible(out_err", "infallible(", "free(", "obtain(", "open("];
    let harmless = ["plsm_version", "plsm_abi_version"];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for file in std::fs::read_dir(src).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for function in text.split("extern \"C\" fn ").skip(1) {
            let name = function.split('(').next().unwrap();
            let (_, from_body) = function.split_once('{').unwrap();
            let body = from_body.split("\n}\n").next().unwrap();
            let is_guarded = guarded.iter().any(|guard| body.contains(guard));
            assert!(is_guarded || harmless.contains(&name), "{name} runs without the guard");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
