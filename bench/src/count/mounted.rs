//! Operations through a mount that this process serves. Who does them is another process, which the tool does not look into.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use plasmite_fusefs::{Mount, MountOptions};

/// The operation of the other process.
pub(super) const WRITER: &str = "write-lines";
const LINE: &[u8] = b"{\"a\":1}\n";

/// Has lines written to a new pool, each by a write of its own.
pub(super) fn write(path: &Path, count: u64) {
    let (pools, mountpoint) = (path.with_extension("pools"), path.with_extension("mount"));
    // Of one that was stopped.
    let _ = fs::remove_dir_all(&pools);
    let mut options = MountOptions::new(&pools, &mountpoint);
    options.pool_size_bytes = super::POOL_BYTES;
    let mount = Mount::start(options).unwrap();
    fs::create_dir(mountpoint.join("docs")).unwrap();
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer.args(["count", WRITER]).arg(mountpoint.join("docs/in")).arg(count.to_string());
    assert!(writer.status().unwrap().success());
    mount.unmounter().unmount().unwrap();
    mount.wait().unwrap();
    fs::remove_dir_all(&pools).unwrap();
}

/// The writer's part.
pub(super) fn write_lines(input: &Path, count: u64) {
    let mut input = File::options().create(true).append(true).open(input).unwrap();
    (0..count).for_each(|_| input.write_all(LINE).unwrap());
}
