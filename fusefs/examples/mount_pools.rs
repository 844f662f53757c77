//! Mounts a pool directory until it is unmounted, or unmounts it:
//! `cargo run -p plasmite-fusefs --example mount_pools -- [POOL_DIR] MOUNTPOINT`.

use std::path::Path;

use plasmite_fusefs::{Mount, MountOptions, unmount};

fn main() -> plasmite_core::Result<()> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match &args[..] {
        [mountpoint] => unmount(Path::new(mountpoint)),
        [pool_dir, mountpoint] => Mount::start(MountOptions::new(pool_dir, mountpoint))?.wait(),
        _ => Err(plasmite_core::Error::usage("give a pool directory and a mountpoint")),
    }
}
