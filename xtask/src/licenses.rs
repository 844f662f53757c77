//! The licences of what is linked into the command and the library, from the crates' own files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::run::{cargo, root};

/// Of alternatives we take the first that is named here.
const PREFERRED: &[&str] = &["MIT", "Apache-2.0"];

/// The licence texts to distribute with our binaries: names of files, and what they hold.
pub(crate) fn of_what_is_linked_in() -> Result<Vec<(&'static str, String)>, String> {
    let mut files = vec![("THIRD-PARTY.txt", crates(&Metadata::read()?)?)];
    let sysroot = stdout_of("rustc", &["--print", "sysroot"])?;
    let std = Path::new(sysroot.trim()).join("share/doc/rust/COPYRIGHT-library.html");
    // A toolchain that was not installed by rustup may keep it elsewhere; the short form is in the other file.
    files.extend(fs::read_to_string(std).ok().map(|text| ("RUST-STANDARD-LIBRARY.html", text)));
    Ok(files)
}

/// Every text once, under the crates that it holds for.
fn crates(metadata: &Metadata) -> Result<String, String> {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let std = mit("The Rust Project Developers (see https://thanks.rust-lang.org)");
    texts.entry(std).or_default().insert("the Rust standard library (MIT)".into());
    for package in metadata.linked_into("plasmite")? {
        for text in package.texts()? {
            texts.entry(text).or_default().insert(package.to_string());
        }
    }
    let mut by_crate: Vec<_> = texts.into_iter().map(|(text, names)| (names, text)).collect();
    by_crate.sort();
    let sections = by_crate.iter().map(|(names, text)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("\n{}\n{}\n\n{text}\n", "=".repeat(80), names.join("\n"))
    });
    let head = "The plasmite command and libplasmite contain the works named below, each under the licence that follows it.\n";
    Ok(std::iter::once(head.to_owned()).chain(sections).collect())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    source: Option<String>,
    license: Option<String>,
    authors: Vec<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Metadata {
    /// The dependencies as they are on the system that we build for.
    fn read() -> Result<Self, String> {
        let rustc = stdout_of("rustc", &["-vV"])?;
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or_else(|| format!("rustc -vV names no host: {rustc}"))?;
        let args = ["metadata", "--format-version=1", "--filter-platform"];
        let json = cargo("the crates that are linked in", &args).arg(host).silent().output()?;
        serde_json::from_str(&json).map_err(|e| format!("cargo metadata cannot be understood: {e}"))
    }

    /// Other people's packages whose code ends in the artefacts of package `name`: neither build scripts nor macros.
    fn linked_into(&self, name: &str) -> Result<Vec<&Package>, String> {
        let packages: BTreeMap<&str, &Package> =
            self.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let nodes: BTreeMap<&str, &Node> =
            self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let ours = self.packages.iter().find(|p| p.name == name && p.source.is_none());
        let mut todo = vec![ours.ok_or_else(|| format!("there is no package {name}"))?];
        let mut seen = BTreeSet::new();
        while let Some(package) = todo.pop() {
            if package.is_macro() || !seen.insert(package.id.as_str()) {
                continue;
            }
            let deps = nodes.get(package.id.as_str()).map_or(&[][..], |node| &node.deps);
            let linked = deps.iter().filter(|dep| dep.dep_kinds.iter().any(|k| k.kind.is_none()));
            todo.extend(linked.filter_map(|dep| packages.get(dep.pkg.as_str()).copied()));
        }
        let found = seen.iter().filter_map(|id| packages.get(id).copied());
        Ok(found.filter(|package| package.source.is_some()).collect())
    }
}

impl Package {
    fn is_macro(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }

    /// The licence that we use it under.
    fn chosen(&self) -> Result<&str, String> {
        let license = self.license.as_deref();
        let license = license.ok_or_else(|| format!("{} names no licence", self.name))?;
        Ok(chosen(license))
    }

    /// Its licence and notices: its own files, or the licence's common text when it comes without any.
    fn texts(&self) -> Result<Vec<String>, String> {
        let chosen = self.chosen()?;
        let dir = self.manifest_path.parent().unwrap_or(Path::new("."));
        let names = || {
            let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
            let names =
                entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            Ok::<_, String>(names.collect::<BTreeSet<String>>())
        };
        let files = license_files(&names()?, chosen);
        let texts: Vec<String> = files
            .iter()
            .map(|name| fs::read_to_string(dir.join(name)).map_err(|e| format!("{name}: {e}")))
            .collect::<Result<_, _>>()?;
        match (texts.is_empty(), chosen) {
            (false, _) => Ok(texts.iter().map(|text| text.trim_end().to_owned()).collect()),
            (true, "MIT") => Ok(vec![mit(&self.copyright())]),
            (true, other) => Err(format!(
                "{self} is under {other}, but has no licence file in {}",
                dir.display()
            )),
        }
    }

    fn copyright(&self) -> String {
        match self.authors.as_slice() {
            [] => format!("the authors of {}", self.name),
            authors => authors.join(", "),
        }
    }
}

impl std::fmt::Display for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let license = self.chosen().unwrap_or("unknown licence");
        write!(f, "{} {} ({license})", self.name, self.version)
    }
}

/// Of plain alternatives the one we prefer; else the whole expression.
fn chosen(license: &str) -> &str {
    if license.contains(['(', ')']) || license.contains(" AND ") {
        return license;
    }
    let alternatives: Vec<&str> =
        license.split(" OR ").flat_map(|part| part.split('/')).map(str::trim).collect();
    PREFERRED.iter().copied().find(|name| alternatives.contains(name)).unwrap_or(license)
}

/// The files of a crate with its chosen licence, and its notices. Where no name says which licence it is: all of them.
fn license_files(names: &BTreeSet<String>, chosen: &str) -> Vec<String> {
    let begins = |name: &str, with: &[&str]| {
        let name = name.to_uppercase();
        with.iter().any(|start| name.starts_with(start))
    };
    let licenses: Vec<&String> = names
        .iter()
        .filter(|name| begins(name, &["LICENSE", "LICENCE", "COPYING", "UNLICENSE"]))
        .collect();
    let family = chosen.split('-').next().unwrap_or(chosen).to_uppercase();
    let of_family = |name: &&&String| name.to_uppercase().contains(&format!("-{family}"));
    let named: Vec<&String> = licenses.iter().filter(of_family).copied().collect();
    let notices = names.iter().filter(|name| begins(name, &["NOTICE", "COPYRIGHT"]));
    let licenses = if named.is_empty() { licenses } else { named };
    licenses.into_iter().chain(notices).cloned().collect()
}

fn mit(holder: &str) -> String {
    let ours = include_str!("../../LICENSE").trim_end();
    ours.lines()
        .map(|line| {
            if line.starts_with("Copyright") {
                format!("Copyright (c) {holder}")
            } else {
                line.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn stdout_of(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).current_dir(root()).output();
    let output = output.map_err(|e| format!("cannot run {program}: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_alternatives_mit_is_chosen_and_of_conditions_none_is_dropped() {
        assert_eq!(chosen("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"), "MIT");
        assert_eq!(chosen("MIT/Apache-2.0"), "MIT");
        assert_eq!(chosen("Apache-2.0 OR GPL-2.0-only"), "Apache-2.0");
        assert_eq!(chosen("Zlib"), "Zlib");
        for both in ["(MIT OR Apache-2.0) AND Unicode-3.0", "MIT AND Zlib"] {
            assert_eq!(chosen(both), both);
        }
    }

    #[test]
    fn the_files_of_the_chosen_licence_are_taken_with_all_notices() {
        let names =
            ["COPYRIGHT", "Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT.md", "NOTICE", "src"];
        let names: BTreeSet<String> = names.map(str::to_owned).into();
        assert_eq!(license_files(&names, "MIT"), ["LICENSE-MIT.md", "COPYRIGHT", "NOTICE"]);
        assert_eq!(license_files(&names, "Apache-2.0"), ["LICENSE-APACHE", "COPYRIGHT", "NOTICE"]);
        assert_eq!(license_files(&names, "Zlib").len(), 4);
    }

    #[test]
    fn what_is_linked_in_is_named_and_what_only_builds_it_is_not() {
        let text = crates(&Metadata::read().unwrap()).unwrap();
        let named = |name: &str| text.lines().any(|line| line.starts_with(&format!("{name} ")));
        for linked in ["libc", "serde_json", "fuser", "jaq-core", "clap_builder"] {
            assert!(named(linked), "{linked}");
        }
        for other in ["proptest", "serde_derive", "cfg_aliases", "plasmite-core"] {
            assert!(!named(other), "{other}");
        }
        assert!(text.contains("the Rust standard library (MIT)"));
    }
}
