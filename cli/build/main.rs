//! What cargo can't know of itself: the library's name for the linker, and the commit that is built.

mod commit;
mod soname;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build");
    commit::tell()?;
    soname::give()
}
