//! Gives libplasmite.so its SONAME, the name under which programs that are linked with it look for it.
//!
//! The number stays 1 for as long as nothing is taken away from the ABI. cargo names the file without it, so a link
//! beside the file carries the name: without it, a program linked in `target/debug` would not start.

use std::error::Error;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::{env, fs};

const FILE: &str = "libplasmite.so";
const SONAME: &str = "libplasmite.so.1";

pub(crate) fn give() -> Result<(), Box<dyn Error>> {
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
        link_beside_the_library()?;
    }
    Ok(())
}

/// `OUT_DIR` is `PROFILE_DIR/build/PACKAGE/out`, and the library will lie in `PROFILE_DIR`.
fn link_beside_the_library() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let link =
        out.ancestors().nth(3).ok_or("OUT_DIR has no profile's folder above it")?.join(SONAME);
    if fs::read_link(&link).is_ok_and(|target| target.as_os_str() == FILE) {
        return Ok(());
    }
    let _ = fs::remove_file(&link);
    symlink(FILE, &link).map_err(|e| format!("{}: {e}", link.display()).into())
}
