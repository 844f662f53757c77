//! Manifests in folders of their own, played by the real runners.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

pub(crate) const SURFACES: [&str; 4] = ["rust", "python", "command", "mount"];

/// What a runner did.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Played {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Played {
    #[track_caller]
    pub(crate) fn passed(&self, of: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str(), self.stderr.as_str()),
            (Some(0), "", ""),
            "{of}"
        );
    }

    /// It failed as a runner must: exit code 1, nothing on stdout, and all these words on stderr.
    #[track_caller]
    pub(crate) fn failed(&self, of: &str, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{of}: {self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{of}: no {word:?} in {:?}", self.stderr);
        }
        assert!(
            !self.stderr.contains("Traceback") && !self.stderr.contains("panicked"),
            "{self:?}"
        );
    }
}

/// A manifest's folder.
pub(crate) struct Folder(pub(crate) tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn write(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("manifest.json");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A manifest of these steps.
pub(crate) fn manifest(steps: &str) -> String {
    format!(
        "{{\"conformance_version\":0,\"name\":\"test\",\"workdir\":\"work\",\"steps\":[{steps}]}}"
    )
}

/// Plays a manifest through a surface, in a folder of its own.
pub(crate) fn play(surface: &str, text: &str) -> Played {
    let folder = Folder::new();
    let path = folder.write(text);
    run(command(surface, &path))
}

pub(crate) fn run(mut command: Command) -> Played {
    command.stdin(Stdio::null()).output().unwrap().into()
}

/// The runner of a surface, on a manifest.
pub(crate) fn command(surface: &str, manifest: &Path) -> Command {
    let mut command = if surface == "python" {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new("python3");
        command
            .arg(root.join("bindings/python/cmd/plasmite_conformance.py"))
            .env("PYTHONPATH", root.join("bindings/python/src"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    } else {
        let mut command = runner();
        command.args(["play", surface]);
        command
    };
    command
        .arg(manifest)
        .env("PLASMITE_LIB_DIR", built())
        .env("PLASMITE_BIN", built().join("plasmite"));
    command
}

pub(crate) fn runner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plasmite-conformance"));
    command.env("PLASMITE_LIB_DIR", built()).env("PLASMITE_BIN", built().join("plasmite"));
    command
}

/// The folder with the command and the library: what `cargo xtask` has built, else built now, which
/// `cargo test -p plasmite-conformance` alone does not do.
pub(crate) fn built() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        if let Some(built) = std::env::var_os("PLASMITE_BUILT_DIR") {
            return built.into();
        }
        let runner = Path::new(env!("CARGO_BIN_EXE_plasmite-conformance"));
        let profile_dir = runner.parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--package", "plasmite"])
            .env("CARGO_TARGET_DIR", profile_dir.parent().unwrap());
        if profile_dir.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the command could not be built");
        profile_dir.to_owned()
    })
}
