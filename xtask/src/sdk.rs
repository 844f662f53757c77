//! The SDK: the command, the library, its header and its pkg-config file in one folder, which may be moved.
//!
//! | path | what |
//! | --- | --- |
//! | `bin/plasmite` | the command |
//! | `lib/libplasmite.so.1` | the shared library, under the name by which programs load it (its SONAME) |
//! | `lib/libplasmite.so` | link to it, the name by which programs are linked |
//! | `lib/libplasmite.a` | the static library |
//! | `lib/pkgconfig/plasmite.pc` | finds the rest from where it lies itself |
//! | `include/plasmite.h` | the C ABI |
//! | `share/licenses/plasmite/` | our licence, and those of what is linked in |

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::licenses;
use crate::run::{Step, cargo};

const SONAME: &str = "libplasmite.so.1";
const LICENSES: &str = "share/licenses/plasmite";

/// Builds for release and lays the SDK out in `dir`. Files that are there are replaced, one by one and each at
/// once, so that programs that use them go on; others are left alone: `dir` may be `/usr/local`.
pub(crate) fn make(dir: &Path) -> Result<(), String> {
    let built = Built::new()?;
    let sdk = Folder(dir);
    sdk.stripped(&built.command, "bin/plasmite", "--strip-all", 0o755)?;
    sdk.stripped(&built.shared, &format!("lib/{SONAME}"), "--strip-unneeded", 0o755)?;
    sdk.link(SONAME, "lib/libplasmite.so")?;
    sdk.stripped(&built.archive, "lib/libplasmite.a", "--strip-debug", 0o644)?;
    sdk.text(include_str!("../../ffi/include/plasmite.h"), "include/plasmite.h")?;
    let pkg_config = include_str!("../../ffi/plasmite.pc.in");
    let pkg_config = pkg_config.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    sdk.text(&pkg_config, "lib/pkgconfig/plasmite.pc")?;
    sdk.text(include_str!("../../LICENSE"), &format!("{LICENSES}/LICENSE"))?;
    for (name, text) in licenses::of_what_is_linked_in()? {
        sdk.text(&text, &format!("{LICENSES}/{name}"))?;
    }
    eprintln!("the SDK is in {}", dir.display());
    Ok(())
}

/// What cargo made, by its own account: the folder depends on its configuration.
struct Built {
    command: PathBuf,
    shared: PathBuf,
    archive: PathBuf,
}

impl Built {
    fn new() -> Result<Self, String> {
        let args =
            ["build", "--release", "-p", "plasmite", "--message-format=json-render-diagnostics"];
        let messages = cargo("release build of the command and library", &args).output()?;
        let files: Vec<PathBuf> = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == "plasmite")
            .filter_map(|message| message["filenames"].as_array().cloned())
            .flatten()
            .filter_map(|name| name.as_str().map(PathBuf::from))
            .collect();
        let find = |name: &str| {
            let found = files.iter().find(|file| file.file_name().is_some_and(|n| n == name));
            found.cloned().ok_or_else(|| format!("cargo built no {name}, only {files:?}"))
        };
        Ok(Self {
            command: find("plasmite")?,
            shared: find("libplasmite.so")?,
            archive: find("libplasmite.a")?,
        })
    }
}

struct Folder<'a>(&'a Path);

impl Folder<'_> {
    /// A binary without what only a debugger wants.
    fn stripped(&self, from: &Path, to: &str, how: &str, mode: u32) -> Result<(), String> {
        self.put(to, |new| {
            let base = Step::new("stripping", "strip", &[how, "-o"]);
            base.silent().arg(new).arg(from).run()?;
            fs::set_permissions(new, fs::Permissions::from_mode(mode)).map_err(|e| e.to_string())
        })
    }

    fn text(&self, text: &str, to: &str) -> Result<(), String> {
        self.put(to, |new| fs::write(new, text).map_err(|e| e.to_string()))
    }

    fn link(&self, target: &str, to: &str) -> Result<(), String> {
        self.put(to, |new| symlink(target, new).map_err(|e| e.to_string()))
    }

    /// Makes the file under another name, then gives it its own.
    fn put(&self, to: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
        let path = self.0.join(to);
        let new = path.with_file_name(format!(".plasmite-sdk-{}", std::process::id()));
        let placed = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .map_err(|e: io::Error| e.to_string())
            .and_then(|()| make(&new))
            .and_then(|()| fs::rename(&new, &path).map_err(|e| e.to_string()));
        placed.map_err(|why| {
            let _ = fs::remove_file(&new);
            format!("{} cannot be made: {why}", path.display())
        })
    }
}
