//! What a mount takes while nothing happens.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use plasmite_fusefs::{Mount, MountOptions};

/// Time for the mount to give back what it used while the pools were filled and read.
const CALM: Duration = Duration::from_secs(12);

/// The daemon's part: mounts `pools` beside its mountpoint until it is unmounted.
pub(crate) fn serve(mountpoint: &Path) {
    let pools = mountpoint.with_extension("pools");
    let mount = Mount::start(MountOptions::new(pools, mountpoint)).unwrap();
    println!("ready");
    mount.wait().unwrap();
}

/// KiB resident in the daemon with so many full pools of 1 MiB, each read to its end by its share of the readers, which
/// then wait.
pub(crate) fn memory(dir: &Path, pools: usize, readers: usize) -> f64 {
    let mountpoint = dir.join("mount");
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["child", "mount"])
        .arg(&mountpoint)
        .arg("0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    daemon.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(900)).repeat(1100);
    for n in 0..pools {
        fs::create_dir(mountpoint.join(n.to_string())).unwrap();
        let name = mountpoint.join(n.to_string()).join("in");
        fs::File::create(name).unwrap().write_all(line.as_bytes()).unwrap();
    }
    let mut waiting: Vec<_> = (0..readers)
        .map(|n| {
            let tail =
                fs::File::open(mountpoint.join((n % pools).to_string()).join("tail")).unwrap();
            Command::new("cat").stdin(tail).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    std::thread::sleep(CALM);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let kib = resident.trim().trim_end_matches(" kB").parse().unwrap();
    plasmite_fusefs::unmount(&mountpoint).unwrap();
    for reader in &mut waiting {
        reader.wait().unwrap();
    }
    daemon.wait().unwrap();
    kib
}
