//! The SDK as a C programmer meets it: the example, built through pkg-config and run beside the command, and what the
//! linker sees of the library.
//!
//! `cargo xtask sdk` makes one. These tests want its absolute path in `PLASMITE_SDK_DIR`; `cargo xtask test` runs them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn sdk() -> PathBuf {
    let dir = std::env::var_os("PLASMITE_SDK_DIR").unwrap();
    PathBuf::from(dir)
}

fn output_of(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stderr}");
    String::from_utf8(stdout).unwrap()
}

/// A copy of the SDK where a path has everything that a path may have.
fn moved_sdk(dir: &Path) -> PathBuf {
    let moved = dir.join("ein Ordner – 移動した");
    output_of(Command::new("cp").arg("-a").arg(sdk()).arg(&moved));
    moved
}

/// How the library is linked: with which options of pkg-config, and what before and after its flags.
enum Link {
    Shared,
    Static,
    /// But the system's libraries shared.
    OnlyOursStatic,
}

/// The example, built with what pkg-config says and nothing else.
fn build(sdk: &Path, program: &Path, compiler: &str, link: &Link) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/follow.c");
    let (options, before, after) = match link {
        Link::Shared => ("", "", ""),
        Link::Static => ("--static", "-static", ""),
        Link::OnlyOursStatic => ("--static", "-Wl,-Bstatic", "-Wl,-Bdynamic"),
    };
    let script = format!(
        r#"flags=$(pkg-config --cflags --libs {options} plasmite) &&
        eval "{compiler} -Wall -Wextra -Werror -o '$PROGRAM' '$SOURCE' -x none {before} $flags {after}""#
    );
    output_of(
        Command::new("sh")
            .args(["-c", &script])
            .env("PKG_CONFIG_PATH", sdk.join("lib/pkgconfig"))
            .env("PROGRAM", program)
            .env("SOURCE", source),
    );
}

/// Ends its process, whatever becomes of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn example_works(compiler: &str, link: &Link) {
    let dir = tempfile::tempdir().unwrap();
    let sdk = moved_sdk(dir.path());
    let program = dir.path().join("follow");
    build(&sdk, &program, compiler, link);
    let needs_library =
        output_of(Command::new("readelf").arg("-d").arg(&program)).contains("[libplasmite.so.1]");
    assert_eq!(needs_library, matches!(link, Link::Shared));

    let pools = dir.path().join("pools");
    let follow = Command::new(&program)
        .arg(&pools)
        .args(["docs", r#"{"text":"hi"}"#, r#"{ "n": 1.50 }"#])
        .env("LD_LIBRARY_PATH", sdk.join("lib"))
        .stdout(Stdio::piped())
        .spawn();
    let mut follow = Running(follow.unwrap());
    let stdout = BufReader::new(follow.0.stdout.take().unwrap());
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|l| send.send(l)));
    let next = |seq: u64, end: &str| {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        assert!(line.starts_with(&format!("{{\"seq\":{seq},\"time\":\"")), "{line}");
        assert!(line.ends_with(end), "{line}");
    };
    next(1, r#""meta":{"tags":["example"]},"data":{"text":"hi"}}"#);
    next(2, r#""meta":{"tags":["example"]},"data":{"n":1.50}}"#);

    // It waits now. The command of the same SDK wakes it.
    let mut command = Command::new(sdk.join("bin/plasmite"));
    output_of(command.arg("--dir").arg(&pools).args(["feed", "docs", r#"{"from":"the command"}"#]));
    next(3, r#""meta":{"tags":[]},"data":{"from":"the command"}}"#);
}

const C99: &str = "cc -std=c99 -pedantic";
const CPP: &str = "c++ -std=c++11 -pedantic -x c++";

#[test]
#[ignore = "needs an SDK"]
fn the_example_works_as_c99_with_the_shared_library() {
    example_works(C99, &Link::Shared);
}

#[test]
#[ignore = "needs an SDK"]
fn the_example_works_as_cpp_with_the_shared_library() {
    example_works(CPP, &Link::Shared);
}

#[test]
#[ignore = "needs an SDK"]
fn the_example_works_as_c99_without_any_shared_library() {
    example_works(C99, &Link::Static);
}

#[test]
#[ignore = "needs an SDK"]
fn the_example_works_as_cpp_without_any_shared_library() {
    example_works(CPP, &Link::Static);
}

#[test]
#[ignore = "needs an SDK"]
fn the_example_works_with_the_static_library_and_the_systems_shared_ones() {
    example_works(C99, &Link::OnlyOursStatic);
}

#[test]
#[ignore = "needs an SDK"]
fn the_example_tells_errors_and_gives_them_as_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("follow");
    build(&sdk(), &program, C99, &Link::Static);
    let run = |args: &[&str]| {
        let output = Command::new(&program).args(args).current_dir(dir.path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["pools", "docs", "[1]"]);
    assert_eq!((code, text.contains("must be a JSON object")), (2, true), "{text}");
    let (code, text) = run(&["pools"]);
    assert_eq!((code, text.starts_with("usage: ")), (2, true), "{text}");
    fs::write(dir.path().join("odd.plasmite"), "no pool").unwrap();
    let (code, text) = run(&[".", "odd"]);
    assert_eq!((code, text.contains("odd.plasmite")), (7, true), "{text}");
}

#[test]
#[ignore = "needs an SDK"]
fn the_libraries_name_for_programs_is_that_of_its_file() {
    let lib = sdk().join("lib");
    let dynamic = output_of(Command::new("readelf").arg("-d").arg(lib.join("libplasmite.so")));
    let soname = dynamic.lines().find(|line| line.contains("(SONAME)")).unwrap();
    assert!(soname.ends_with("[libplasmite.so.1]"), "{soname}");
    assert_eq!(
        fs::canonicalize(lib.join("libplasmite.so")).unwrap(),
        fs::canonicalize(lib.join("libplasmite.so.1")).unwrap()
    );
    assert!(!dynamic.contains("RPATH") && !dynamic.contains("RUNPATH"), "{dynamic}");
}

#[test]
#[ignore = "needs an SDK"]
fn the_binaries_are_stripped() {
    for file in ["bin/plasmite", "lib/libplasmite.so"] {
        let sections = output_of(Command::new("readelf").arg("-SW").arg(sdk().join(file)));
        assert!(sections.contains(".dynsym"), "{sections}");
        assert!(!sections.contains(".debug_info") && !sections.contains(".symtab"), "{sections}");
    }
}

#[test]
#[ignore = "needs an SDK"]
fn pkg_config_gives_the_version_of_the_command() {
    let version = output_of(
        Command::new("pkg-config")
            .args(["--modversion", "plasmite"])
            .env("PKG_CONFIG_PATH", sdk().join("lib/pkgconfig")),
    );
    let told = output_of(Command::new(sdk().join("bin/plasmite")).args(["version", "--json"]));
    assert!(told.contains(&format!("\"version\":\"{}\"", version.trim())), "{told}");
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
}

#[test]
#[ignore = "needs an SDK"]
fn the_licences_of_what_is_linked_in_are_there() {
    let licenses = sdk().join("share/licenses/plasmite");
    let ours = fs::read_to_string(licenses.join("LICENSE")).unwrap();
    assert_eq!(ours, include_str!("../../LICENSE"));
    let others = fs::read_to_string(licenses.join("THIRD-PARTY.txt")).unwrap();
    for name in ["the Rust standard library (", "serde_json ", "fuser ", "clap_builder "] {
        assert!(others.contains(&format!("\n{name}")), "{name}");
    }
}

#[test]
#[ignore = "needs an SDK"]
fn the_commands_in_the_readme_build_the_example() {
    let readme = include_str!("../../README.md");
    let section = readme.split("## From C and Python").nth(1).unwrap();
    let commands = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(commands.contains("pkg-config"));
    // As in the repository, but for the SDK, which is there already, and for what the commands leave behind.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("target")).unwrap();
    symlink(sdk(), dir.path().join("target/sdk")).unwrap();
    symlink(env!("CARGO_MANIFEST_DIR"), dir.path().join("ffi")).unwrap();
    let script = format!("cargo() {{ :; }}\n{commands}");
    output_of(Command::new("sh").args(["-e", "-c", &script]).current_dir(dir.path()));
    for program in ["follow", "follow-static"] {
        let output = Command::new(dir.path().join(program)).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains(" DIRECTORY POOL [JSON]..."));
    }
}
