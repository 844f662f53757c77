//! The Debian package: one for the command, the library and what programs are built with, as they are always of one version.
//!
//! What it holds is laid out here, and `dpkg-deb` packs it. `xtask/deb` has the scripts that dpkg runs, the words for those who
//! look at the package with lintian, and the test that installs it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::licenses;
use serde_json::Value;

use crate::run::{Step, cargo, root};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const MAINTAINER: &str = "The Plasmite maintainers <maintainers@plasmite.invalid>";
const DOC: &str = "usr/share/doc/plasmite";

const DESCRIPTION: &str = "\
Description: persistent JSON message pools that are just files
 Processes on one machine talk through pools: each pool is one bounded file
 that holds JSON messages in a ring buffer. Any number of processes append and
 read, without a broker; old messages make room for new ones; the pool outlives
 them all.
 .
 This package has the plasmite command, which also mounts pools as directories
 (by fstab too), libplasmite with the header and the pkg-config file for C
 programs, and a systemd service that is not enabled.
";

/// Packs what the SDK in `built` holds, and more. Gives the package's path.
pub(crate) fn make(built: &Path) -> Result<PathBuf, String> {
    let dir = root().join("target/deb");
    let tree = dir.join("plasmite");
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(|e| format!("{}: {e}", tree.display()))?;
    }
    let machine = Machine::of_this()?;
    let package = Package { tree: &tree };
    package.programs(built)?;
    package.library(built, &machine)?;
    package.manuals(&built.join("bin/plasmite"))?;
    package.service()?;
    package.documents()?;
    package.control(&machine)?;
    let deb = dir.join(format!("plasmite_{VERSION}-1_{}.deb", machine.architecture));
    // Files belong to root whoever packs, and the time is that of the sources.
    Step::new("the Debian package", "dpkg-deb", &["--root-owner-group", "--build"])
        .arg(&tree)
        .arg(&deb)
        .env("SOURCE_DATE_EPOCH", source_date()?.trim())
        .quiet()
        .run()?;
    eprintln!("the Debian package is {}", deb.display());
    Ok(deb)
}

/// Installs the package in an overlay of this system, uses it, and takes it away again. Nothing of it touches the system
/// itself: all happens in namespaces of its own, above a memory file system.
pub(crate) fn test(built: &Path) -> Result<(), String> {
    let deb = make(built)?;
    let lintian = ["--fail-on", "error,warning", "--tag-display-limit", "0"];
    Step::new("lintian", "lintian", &lintian).arg(&deb).run()?;
    if Step::new("a namespace", "unshare", &["--mount", "true"]).silent().run().is_err() {
        eprintln!("here nobody may mount an overlay: installing the package is not tried");
        return Ok(());
    }
    let unshare = ["1800", "unshare", "--mount", "--pid", "--fork", "--kill-child", "bash"];
    Step::new("the Debian package, installed and used in an overlay", "timeout", &unshare)
        .arg(root().join("xtask/deb/in-overlay.sh"))
        .arg(root())
        .arg(root().join("xtask/deb/try.sh"))
        .arg(&deb)
        .arg(root().join("ffi/examples/follow.c"))
        .arg(test_of_documents()?)
        .run()
}

/// The program that runs the documents' examples.
fn test_of_documents() -> Result<PathBuf, String> {
    let args = [
        "test",
        "--workspace",
        "--test",
        "docs",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ];
    let messages = cargo("the test of the documents", &args).output()?;
    let program = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "docs")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.ok_or_else(|| "cargo built no test of the documents".to_owned())
}

/// Names of this machine in Debian.
struct Machine {
    architecture: String,
    multiarch: String,
}

impl Machine {
    fn of_this() -> Result<Self, String> {
        let ask = |what| {
            let base = ["--query", what];
            let said = Step::new("names of the machine", "dpkg-architecture", &base).silent();
            said.output().map(|name| name.trim().to_owned())
        };
        Ok(Self { architecture: ask("DEB_HOST_ARCH")?, multiarch: ask("DEB_HOST_MULTIARCH")? })
    }
}

/// The time of the commit, or of now when there is no git: in seconds since 1970.
fn source_date() -> Result<String, String> {
    let of_commit = ["log", "-1", "--format=%ct"];
    Step::new("time of the commit", "git", &of_commit)
        .silent()
        .output()
        .or_else(|_| Step::new("time", "date", &["+%s"]).silent().output())
}

struct Package<'a> {
    tree: &'a Path,
}

impl Package<'_> {
    fn programs(&self, built: &Path) -> Result<(), String> {
        self.copy(&built.join("bin/plasmite"), "usr/bin/plasmite", 0o755)?;
        // mount(8) looks for it in /sbin, which is /usr/sbin.
        self.link("../bin/plasmite", "usr/sbin/mount.plasmite")
    }

    fn library(&self, built: &Path, machine: &Machine) -> Result<(), String> {
        let lib = format!("usr/lib/{}", machine.multiarch);
        self.copy(&built.join("lib/libplasmite.so.1"), &format!("{lib}/libplasmite.so.1"), 0o644)?;
        self.link("libplasmite.so.1", &format!("{lib}/libplasmite.so"))?;
        self.copy(&built.join("lib/libplasmite.a"), &format!("{lib}/libplasmite.a"), 0o644)?;
        self.copy(&built.join("include/plasmite.h"), "usr/include/plasmite.h", 0o644)?;
        let pc = fs::read_to_string(built.join("lib/pkgconfig/plasmite.pc"))
            .map_err(|e| format!("plasmite.pc: {e}"))?;
        let libdir = format!("libdir=${{prefix}}/lib/{}", machine.multiarch);
        let pc: String = pc
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| match line {
                "prefix=${pcfiledir}/../.." => "prefix=/usr\n".to_owned(),
                "libdir=${prefix}/lib" => format!("{libdir}\n"),
                other => format!("{other}\n"),
            })
            .collect();
        self.text(&pc, &format!("{lib}/pkgconfig/plasmite.pc"), 0o644)
    }

    /// Manual pages and completions, by the command itself.
    fn manuals(&self, command: &Path) -> Result<(), String> {
        let pages = self.tree.join("usr/share/man/man1");
        Step::new("manual pages", command, &["man"]).arg(&pages).silent().run()?;
        let man8 = self.tree.join("usr/share/man/man8");
        fs::create_dir_all(&man8).map_err(|e| format!("{}: {e}", man8.display()))?;
        fs::write(man8.join("mount.plasmite.8"), ".so man1/plasmite-mount.1\n")
            .map_err(|e| format!("mount.plasmite.8: {e}"))?;
        for page in files(&pages)?.into_iter().chain(files(&man8)?) {
            fs::set_permissions(&page, fs::Permissions::from_mode(0o644))
                .map_err(|e| format!("{}: {e}", page.display()))?;
            compress(&page)?;
        }
        for (shell, file) in [
            ("bash", "usr/share/bash-completion/completions/plasmite"),
            ("zsh", "usr/share/zsh/vendor-completions/_plasmite"),
            ("fish", "usr/share/fish/vendor_completions.d/plasmite.fish"),
        ] {
            let script = Step::new("completion", command, &["completion", shell]).silent();
            self.text(&script.output()?, file, 0o644)?;
        }
        Ok(())
    }

    fn service(&self) -> Result<(), String> {
        let unit = include_str!("../../docs/systemd/plasmite.service");
        self.text(unit, "usr/lib/systemd/system/plasmite.service", 0o644)?;
        let mount = include_str!("../../docs/systemd/mnt-pools.mount");
        self.text(mount, &format!("{DOC}/examples/mnt-pools.mount"), 0o644)?;
        let example = include_str!("../../ffi/examples/follow.c");
        self.text(example, &format!("{DOC}/examples/follow.c"), 0o644)
    }

    fn documents(&self) -> Result<(), String> {
        self.text(&copyright()?, &format!("{DOC}/copyright"), 0o644)?;
        for (name, text) in [
            ("changelog", include_str!("../../CHANGELOG.md").to_owned()),
            ("changelog.Debian", changelog()?),
        ] {
            let path = format!("{DOC}/{name}");
            self.text(&text, &path, 0o644)?;
            compress(&self.tree.join(path))?;
        }
        let overrides = include_str!("../deb/lintian-overrides");
        self.text(overrides, "usr/share/lintian/overrides/plasmite", 0o644)
    }

    /// What dpkg is told of the package.
    fn control(&self, machine: &Machine) -> Result<(), String> {
        for (name, script) in [
            ("postinst", include_str!("../deb/postinst")),
            ("prerm", include_str!("../deb/prerm")),
            ("postrm", include_str!("../deb/postrm")),
        ] {
            self.text(script, &format!("DEBIAN/{name}"), 0o755)?;
        }
        self.text("activate-noawait ldconfig\n", "DEBIAN/triggers", 0o644)?;
        let needs = format!("libplasmite 1 plasmite (>= {VERSION})\n");
        self.text(&needs, "DEBIAN/shlibs", 0o644)?;
        let mut control = String::new();
        // Writing into a String can't fail.
        let _ = write!(
            control,
            "Package: plasmite\nVersion: {VERSION}-1\nArchitecture: {}\nMaintainer: {MAINTAINER}\n\
             Section: utils\nPriority: optional\nDepends: {}\nRecommends: fuse3\nInstalled-Size: {}\n{DESCRIPTION}",
            machine.architecture,
            self.depends(machine)?,
            kib(self.tree)?,
        );
        self.text(&control, "DEBIAN/control", 0o644)?;
        let mut sums = String::new();
        for file in all_files(&self.tree.join("usr"))? {
            let sum = Step::new("checksums", "md5sum", &[]).arg(&file).silent().output()?;
            let sum = sum.split_whitespace().next().unwrap_or_default();
            let path = file.strip_prefix(self.tree).unwrap_or(&file).display();
            let _ = writeln!(sums, "{sum}  {path}");
        }
        self.text(&sums, "DEBIAN/md5sums", 0o644)
    }

    /// The packages whose libraries ours are linked with.
    fn depends(&self, machine: &Machine) -> Result<String, String> {
        // dpkg-shlibdeps wants to stand in a source package.
        let stand = self.tree.with_file_name("shlibdeps");
        let control = stand.join("debian/control");
        fs::create_dir_all(stand.join("debian"))
            .and_then(|()| {
                fs::write(&control, "Source: plasmite\n\nPackage: plasmite\nArchitecture: any\n")
            })
            .map_err(|e| format!("{}: {e}", control.display()))?;
        let lib = format!("usr/lib/{}/libplasmite.so.1", machine.multiarch);
        let said = Step::new("dependencies", "dpkg-shlibdeps", &["-O"])
            .dir("target/deb/shlibdeps")
            .arg(self.tree.join("usr/bin/plasmite"))
            .arg(self.tree.join(lib))
            .silent()
            .output()?;
        let depends = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
        depends.map(str::to_owned).ok_or_else(|| format!("dpkg-shlibdeps said {said:?}"))
    }

    fn copy(&self, from: &Path, to: &str, mode: u32) -> Result<(), String> {
        let bytes = fs::read(from).map_err(|e| format!("{}: {e}", from.display()))?;
        self.put(&bytes, to, mode)
    }

    fn text(&self, text: &str, to: &str, mode: u32) -> Result<(), String> {
        self.put(text.as_bytes(), to, mode)
    }

    fn put(&self, bytes: &[u8], to: &str, mode: u32) -> Result<(), String> {
        let path = self.placed(to)?;
        fs::write(&path, bytes)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    fn link(&self, target: &str, to: &str) -> Result<(), String> {
        let path = self.placed(to)?;
        symlink(target, &path).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The path of a file of the package, in directories that everybody may enter.
    fn placed(&self, to: &str) -> Result<PathBuf, String> {
        let path = self.tree.join(to);
        let parent = path.parent().unwrap_or(self.tree);
        fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
        for dir in parent.ancestors().take_while(|dir| dir.starts_with(self.tree)) {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
                .map_err(|e| format!("{}: {e}", dir.display()))?;
        }
        Ok(path)
    }
}

/// Our licence in the form that Debian's tools read, then those of all that is linked in.
fn copyright() -> Result<String, String> {
    let license = include_str!("../../LICENSE");
    let holder = license.lines().find_map(|line| line.strip_prefix("Copyright (c) "));
    let mut text = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: plasmite\n\nFiles: *\nCopyright: {}\nLicense: MIT\n",
        holder.ok_or("LICENSE names no holder")?
    );
    let terms = license.lines().skip_while(|line| !line.starts_with("Permission"));
    terms.for_each(|line| push_line(&mut text, line));
    for (name, third_party) in licenses::of_what_is_linked_in()? {
        if name == "THIRD-PARTY.txt" {
            let _ = write!(text, "\nComment:\n");
            third_party.lines().for_each(|line| push_line(&mut text, line));
        }
    }
    Ok(text)
}

/// A line of a longer field.
fn push_line(text: &mut String, line: &str) {
    let line = line.trim_end();
    let _ = if line.is_empty() { writeln!(text, " .") } else { writeln!(text, " {line}") };
}

fn changelog() -> Result<String, String> {
    let epoch = source_date()?;
    let when = format!("--date=@{}", epoch.trim());
    let date =
        Step::new("time of the changelog", "date", &["-R", "-u", &when]).silent().output()?;
    Ok(format!(
        "plasmite ({VERSION}-1) unstable; urgency=medium\n\n  * Version {VERSION}; changelog.gz says what is new.\n\n \
         -- {MAINTAINER}  {}\n",
        date.trim()
    ))
}

/// Packs a file without its name and time.
fn compress(file: &Path) -> Result<(), String> {
    Step::new("compression", "gzip", &["--best", "--no-name", "--force"]).silent().arg(file).run()
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// The regular files below a directory.
fn all_files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in files(dir)? {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(all_files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// What the files take, as dpkg counts: each in whole KiB.
fn kib(dir: &Path) -> Result<u64, String> {
    let sizes = all_files(dir)?.into_iter().map(|file| {
        fs::metadata(&file)
            .map(|m| m.len().div_ceil(1024))
            .map_err(|e| format!("{}: {e}", file.display()))
    });
    sizes.sum()
}
