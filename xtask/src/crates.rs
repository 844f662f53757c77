//! The crates as crates.io would get them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Step, cargo, root};

/// What is published, in the order in which it has to be: each after those that it needs.
const PUBLISHED: &[&str] = &["plasmite-core", "plasmite-fusefs", "plasmite-ffi", "plasmite"];
/// What each of them holds, beside its sources.
const HELD: &[&str] = &["Cargo.toml", "Cargo.lock", "README.md", "LICENSE", "src"];

/// Packs them, builds each from its package alone and documents it, and looks at what came out.
pub(crate) fn build_each() -> Result<(), String> {
    let head = head();
    pack(cargo("packages of the crates, each built by itself", &["package"]))?;
    look_at_all(head.as_deref())?;
    docs()
}

/// Packs them and looks at what came out.
pub(crate) fn look() -> Result<(), String> {
    let head = head();
    pack(cargo("packages of the crates", &["package", "--no-verify"]))?;
    look_at_all(head.as_deref())
}

/// The commit that is packed, where there is git.
fn head() -> Option<String> {
    let head = ["rev-parse", "--short=12", "HEAD"];
    let head = Step::new("the commit", "git", &head).silent().output().ok()?;
    Some(head.trim().to_owned())
}

fn pack(package: Step) -> Result<(), String> {
    let options = ["--quiet", "--allow-dirty", "--locked"];
    let package = options.iter().fold(package, Step::arg);
    PUBLISHED.iter().fold(package, |step, name| step.arg("-p").arg(name)).run()
}

fn look_at_all(head: Option<&str>) -> Result<(), String> {
    let unpacked = root().join("target/crates");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(|e| format!("{}: {e}", unpacked.display()))?;
    }
    fs::create_dir_all(&unpacked).map_err(|e| format!("{}: {e}", unpacked.display()))?;
    PUBLISHED.iter().try_for_each(|name| look_at(name, &unpacked))?;
    head.map_or(Ok(()), |head| names_its_commit(&unpacked, head))
}

fn look_at(name: &str, unpacked: &Path) -> Result<(), String> {
    let dir = unpack(name, unpacked)?;
    match HELD.iter().find(|file| !dir.join(file).exists()) {
        Some(missing) => Err(format!("the package of {name} has no {missing}")),
        None if dir.join("tests").exists() => {
            Err(format!("the package of {name} has tests, which need the repository"))
        }
        None => Ok(()),
    }
}

fn unpack(name: &str, to: &Path) -> Result<PathBuf, String> {
    let folder = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
    let file = root().join(format!("target/package/{folder}.crate"));
    let tar = Step::new("unpacking", "tar", &["--extract", "--gzip"]).silent();
    tar.arg("--directory").arg(to).arg("--file").arg(&file).run()?;
    Ok(to.join(folder))
}

/// The command from its package, where git knows nothing, still says of which commit it is.
fn names_its_commit(unpacked: &Path, head: &str) -> Result<(), String> {
    let build = unpacked.join("commit");
    let source = unpacked.join(format!("plasmite-{}/build/main.rs", env!("CARGO_PKG_VERSION")));
    let rustc = Step::new("the package's build script", "rustc", &["--edition=2024", "-o"]);
    rustc.arg(&build).arg(&source).run()?;
    let out = unpacked.join("target/debug/build/plasmite/out");
    fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let said = Step::new("what it says", &build, &[])
        .silent()
        .env("CARGO_MANIFEST_DIR", source.ancestors().nth(2).unwrap_or(unpacked))
        .env("CARGO_PKG_VERSION", env!("CARGO_PKG_VERSION"))
        .env("CARGO_CFG_TARGET_OS", "linux")
        .env("OUT_DIR", &out)
        .without_env("PLASMITE_COMMIT")
        .output()?;
    let commit = format!("cargo::rustc-env=PLASMITE_COMMIT={head}");
    if said.lines().any(|line| line == commit || line == format!("{commit}-dirty")) {
        Ok(())
    } else {
        Err(format!("the package of plasmite does not know its commit {head}: {said}"))
    }
}

/// The documentation as docs.rs builds it: without FUSE's headers, and with a cfg of its own.
fn docs() -> Result<(), String> {
    let doc = cargo("documentation as docs.rs builds it", &["doc", "--no-deps"]);
    let libraries = PUBLISHED.iter().filter(|name| **name != "plasmite");
    libraries
        .fold(doc, |step, name| step.arg("-p").arg(name))
        .env("RUSTDOCFLAGS", "-D warnings --cfg docsrs")
        // What asks for a C library finds none.
        .env("PKG_CONFIG_LIBDIR", "/nonexistent")
        .env("PKG_CONFIG_PATH", "")
        .run()
}
