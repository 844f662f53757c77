//! What the tests need beside Rust, and how to get it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::Step;

/// Programs that tests use, and the Debian package of each.
const PROGRAMS: &[(&str, &str)] = &[
    ("fusermount3", "fuse3"),
    ("jq", "jq"),
    ("rsync", "rsync"),
    ("getfattr", "attr"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("man", "man-db"),
    ("dash", "dash"),
    ("perl", "perl"),
    ("vim", "vim"),
    ("nano", "nano"),
    ("mawk", "mawk"),
    ("curl", "curl"),
    ("sponge", "moreutils"),
    ("node", "nodejs"),
    ("script", "bsdutils"),
    ("rg", "ripgrep"),
    ("gawk", "gawk"),
    ("less", "less"),
    ("file", "file"),
    ("zip", "zip"),
    ("python3", "python3"),
    ("cc", "gcc"),
    ("c++", "g++"),
    ("strace", "strace"),
    ("systemd-analyze", "systemd"),
    ("pkg-config", "pkg-config"),
    ("strip", "binutils"),
    ("valgrind", "valgrind"),
    ("tmux", "tmux"),
    ("dpkg-shlibdeps", "dpkg-dev"),
    ("deb-systemd-helper", "init-system-helpers"),
    ("lintian", "lintian"),
];

/// Installs what is missing, as root; otherwise says what to install.
pub(crate) fn install() -> Result<(), String> {
    if !Path::new("/dev/fuse").exists() {
        return Err("there is no /dev/fuse: load the kernel's fuse module (modprobe fuse)".into());
    }
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    if !runs("python3", &["-c", "import ensurepip, venv"]) {
        missing.push("python3-venv");
    }
    packages("the tests need programs of", &missing)
}

/// What the benchmark's peers need; what is missing afterwards, the benchmark says itself.
pub(crate) fn install_for_peers() -> Result<(), String> {
    let mut missing = Vec::new();
    if !has("redis-server") && !has("valkey-server") {
        missing.push("redis-server");
    }
    if !has_libclang() {
        missing.push("libclang-dev");
    }
    packages("to be compared with, some peers need", &missing)
}

/// iceoryx2's build reads C headers by it.
pub(crate) fn has_libclang() -> bool {
    runs(
        "sh",
        &["-c", "ls /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu | grep -q '^libclang[-.0-9]*so'"],
    )
}

/// Installs Debian packages as root; otherwise says who needs which.
fn packages(who_needs: &str, missing: &[&str]) -> Result<(), String> {
    if missing.is_empty() {
        return Ok(());
    }
    if !runs("apt-get", &["--version"]) || !runs("sh", &["-c", "test $(id -u) = 0"]) {
        return Err(format!("{who_needs} these Debian packages: {}", missing.join(" ")));
    }
    Step::new("package lists", "apt-get", &["update", "-qq"]).run()?;
    let base = ["install", "-y", "-qq", "--no-install-recommends"];
    missing
        .iter()
        .fold(Step::new("Debian packages", "apt-get", &base), Step::arg)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .quiet()
        .run()
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}
