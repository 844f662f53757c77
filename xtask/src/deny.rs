//! The supply chain: `deny.toml` says what dependencies may be.
//!
//! `cargo-deny` itself takes long to build, so that the tests only hold what can be told without it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::run::cargo;

/// Runs `cargo deny`; its advisories too, if their database was ever fetched. If not, it says that they were not checked.
pub(crate) fn run() -> Result<(), String> {
    let there = Command::new("cargo-deny")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        return Err("cargo-deny is not installed: cargo install --locked cargo-deny".into());
    }
    let checks = cargo(
        "licences, sources, versions",
        &["deny", "--offline", "check", "licenses", "bans", "sources"],
    );
    if advisories().is_dir() {
        return checks.arg("advisories").run();
    }
    checks.run()?;
    // Last, where it is read.
    eprintln!(
        "NOT CHECKED: advisories. Their database is not there; with a way to github.com, `cargo deny fetch` gets it"
    );
    Ok(())
}

/// Where `cargo deny fetch` puts the database of advisories.
fn advisories() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    home.unwrap_or_default().join("advisory-dbs")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::run::root;

    #[test]
    fn every_dependency_comes_from_crates_io_with_a_checksum() {
        for lock in ["Cargo.lock", "fuzz/Cargo.lock", "bench/peers/Cargo.lock"] {
            let text = fs::read_to_string(root().join(lock)).unwrap();
            let mut foreign = 0;
            for package in text.split("[[package]]").skip(1) {
                let field = |name: &str| {
                    let line = package.lines().find(|l| l.starts_with(&format!("{name} = ")))?;
                    line.split('"').nth(1)
                };
                // Without a source it is one of ours.
                let Some(source) = field("source") else {
                    let name = field("name").unwrap();
                    assert!(name.starts_with("plasmite") || name == "xtask", "{lock}: {name}");
                    continue;
                };
                foreign += 1;
                assert!(
                    source.ends_with("github.com/rust-lang/crates.io-index"),
                    "{lock}: {source}"
                );
                assert_eq!(field("checksum").map(str::len), Some(64), "{lock}: {package}");
            }
            assert!(foreign > 10, "{lock}");
        }
    }
}
