//! The commit that is built, for `--version`: in the compiler's variable `PLASMITE_COMMIT`, empty when nobody knows, and
//! beside the version in `PLASMITE_VERSION`.
//!
//! Who builds packages may name it in the environment's `PLASMITE_COMMIT`. A crate from a registry holds the note that
//! `cargo package` made; a clone has git. Sources that lie in another project's repository are not of its commits.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const VARIABLE: &str = "PLASMITE_COMMIT";
/// Hexadecimal digits that are shown.
const DIGITS: usize = 12;

pub(crate) fn tell() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let commit = env::var(VARIABLE).ok().filter(|commit| is_plain(commit));
    let commit = commit
        .or_else(|| of_package(&manifest_dir))
        .or_else(|| of_clone(&manifest_dir))
        .unwrap_or_default();
    println!("cargo::rustc-env={VARIABLE}={commit}");
    let version = env::var("CARGO_PKG_VERSION")?;
    let known = if commit.is_empty() { version } else { format!("{version} ({commit})") };
    println!("cargo::rustc-env=PLASMITE_VERSION={known}");
    Ok(())
}

/// Whatever else stands in the environment does not get into the program.
fn is_plain(commit: &str) -> bool {
    !commit.is_empty()
        && commit.len() <= 64
        && commit.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.".contains(&b))
}

/// `{"git":{"sha1":"…"},…}`, which `cargo package` leaves in what it makes.
fn of_package(manifest_dir: &Path) -> Option<String> {
    let note = fs::read_to_string(manifest_dir.join(".cargo_vcs_info.json")).ok()?;
    let (_, after) = note.split_once("\"sha1\"")?;
    let sha = after.split('"').nth(1)?;
    let dirty = if note.contains("\"dirty\": true") { "-dirty" } else { "" };
    Some(format!("{}{dirty}", shortened(sha)?))
}

fn of_clone(manifest_dir: &Path) -> Option<String> {
    let top = fs::canonicalize(git(manifest_dir, &["rev-parse", "--show-toplevel"])?).ok()?;
    if fs::canonicalize(manifest_dir).ok()? != top.join("cli") {
        return None;
    }
    // One line more with each commit and each change of branch.
    let log = git(manifest_dir, &["rev-parse", "--git-path", "logs/HEAD"])?;
    let log = manifest_dir.join(log);
    if log.exists() {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    shortened(&git(manifest_dir, &["rev-parse", "HEAD"])?).map(str::to_owned)
}

fn shortened(sha: &str) -> Option<&str> {
    sha.get(..DIGITS).filter(|sha| sha.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What git prints, without the newline; None when there is no git, or it knows nothing of this folder.
fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(dir).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.is_empty()).then(|| text.trim_end().to_owned())
}
