//! Help, version, and command lines that can't be understood.

use std::process::Command;

use crate::support::Sandbox;

#[test]
fn help_of_every_verb_has_examples_and_exits_0() {
    let sandbox = Sandbox::new();
    for verb in [
        &["--help"][..],
        &["pool", "--help"],
        &["pool", "create", "--help"],
        &["pool", "list", "--help"],
        &["pool", "info", "--help"],
        &["pool", "resize", "--help"],
        &["pool", "delete", "--help"],
        &["doctor", "--help"],
        &["feed", "--help"],
        &["fetch", "--help"],
        &["follow", "--help"],
        &["duplex", "--help"],
        &["tap", "--help"],
        &["export", "--help"],
        &["import", "--help"],
        &["mount", "--help"],
        &["unmount", "--help"],
    ] {
        let help = sandbox.run(verb).ok();
        assert!(help.contains("  plasmite "), "{verb:?}: {help}");
        assert!(help.contains("Usage: plasmite"), "{verb:?}: {help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{verb:?}: {help}");
    }
}

#[test]
fn help_needs_no_pool_and_no_home() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["--help"]);
    command.env_remove("HOME");
    sandbox.finish(command, b"").ok();
}

#[test]
fn version_is_json_in_a_pipe_and_a_word_with_the_option() {
    let sandbox = Sandbox::new();
    let version = sandbox.run(&["version"]).json();
    assert_eq!(version["name"], "plasmite");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(sandbox.run(&["version", "--json"]).json(), version);
    let commit = version["commit"].as_str();
    let commit = commit.map_or_else(String::new, |commit| format!(" ({commit})"));
    let line = format!("plasmite {}{commit}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(sandbox.run(&["--version"]).ok(), line);
    assert_eq!(sandbox.run(&["-V"]).ok(), line);
}

#[test]
fn version_names_the_commit_that_was_built() {
    let git = |args: &[&str]| {
        let output =
            Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        output.ok().filter(|o| o.status.success()).map(|o| String::from_utf8(o.stdout).unwrap())
    };
    let tracked = git(&["ls-files", "Cargo.toml"]).is_some_and(|files| !files.is_empty());
    if !tracked || std::env::var_os("PLASMITE_COMMIT").is_some() {
        // Not a clone of this project, or the builder said otherwise.
        return;
    }
    let version = Sandbox::new().run(&["version"]).json();
    let commit = version["commit"].as_str().unwrap();
    assert_eq!(commit.len(), 12, "{version}");
    // Of this clone; HEAD may have moved since the build.
    let found = git(&["rev-parse", "--verify", &format!("{commit}^{{commit}}")]);
    assert!(found.is_some_and(|full| full.starts_with(commit)), "{version}");
}

#[test]
fn no_verb_is_a_usage_error() {
    let sandbox = Sandbox::new();
    let bare = Command::new(env!("CARGO_BIN_EXE_plasmite"));
    let error = sandbox.finish(bare, b"").fails(2);
    assert_eq!(error["kind"], "Usage");
    assert!(error["hint"].as_str().unwrap().contains("--help"), "{error}");
    for args in [&[][..], &["pool"]] {
        assert_eq!(sandbox.run(args).fails(2)["kind"], "Usage");
    }
}

#[test]
fn mistyped_verbs_and_options_are_told_with_the_right_ones() {
    let sandbox = Sandbox::new();
    let error = sandbox.run(&["fedd", "docs"]).fails(2);
    assert_eq!(error["kind"], "Usage");
    assert!(error["hint"].as_str().unwrap().contains("'feed'"), "{error}");
    let error = sandbox.run(&["follow", "docs", "--timout", "5s"]).fails(2);
    assert!(error["hint"].as_str().unwrap().contains("'--timeout'"), "{error}");
    let error = sandbox.run(&["pool", "crate", "docs"]).fails(2);
    assert!(error["hint"].as_str().unwrap().contains("'create'"), "{error}");
}

#[test]
fn who_asks_for_help_as_for_a_verb_is_told_how_to() {
    let sandbox = Sandbox::new();
    for args in [&["help"][..], &["help", "feed"], &["pool", "help"], &["--dir", "x", "help"]] {
        let error = sandbox.run(args).fails(2);
        assert!(error["hint"].as_str().unwrap().contains("--help after a verb"), "{error}");
    }
}

#[test]
fn missing_arguments_are_named() {
    let sandbox = Sandbox::new();
    for (args, missing) in [
        (&["feed"][..], "<POOL>"),
        (&["fetch", "docs"], "<SEQ>"),
        (&["pool", "create"], "<NAME>"),
        (&["pool", "info"], "<NAME>"),
    ] {
        let error = sandbox.run(args).fails(2);
        assert!(error["message"].as_str().unwrap().contains(missing), "{args:?}: {error}");
    }
}

#[test]
fn bad_values_say_what_is_right() {
    let sandbox = Sandbox::new();
    for (args, right) in [
        (&["pool", "create", "a", "--size", "64MB"][..], "64K"),
        (&["pool", "create", "a", "--size", "-1"], "--size"),
        (&["feed", "a", "--create", "--create-size", "lots"], "64K"),
        (&["follow", "a", "--timeout", "5"], "5s"),
        (&["follow", "a", "--since", "yesterday"], "2026-03-01T12:00:00Z"),
        (&["follow", "a", "--tail", "many"], "'many' for '--tail <N>': write a whole number"),
        (&["follow", "a", "--tag", ""], "--tag"),
        (&["follow", "a", "--tail", "-1"], "'-1' for '--tail <N>': write a whole number"),
        (&["duplex", "a", "--tail", "1e3"], "'1e3' for '--tail <N>': write a whole number"),
        (&["fetch", "a", "-1"], "SEQ"),
        (&["fetch", "a", "one"], "SEQ"),
        (&["fetch", "a", "18446744073709551616"], "SEQ"),
        (&["feed", "a", "--durability", "safe"], "fast, flush"),
        (&["feed", "a", "{}", "--file", "b"], "--file"),
        (&["feed", "a", "--create-size", "1M"], "--create"),
        (&["--dir", "", "pool", "list"], "--dir"),
    ] {
        let error = sandbox.run(args).fails(2);
        assert_eq!(error["kind"], "Usage");
        assert!(error.to_string().contains(right), "{args:?}: {error}");
    }
}

#[test]
fn arguments_that_are_not_utf8_are_usage_errors() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["pool", "create"]);
    command.arg(OsStr::from_bytes(b"a\xff"));
    let error = sandbox.finish(command, b"").fails(2);
    assert_eq!(error["kind"], "Usage");
}

#[test]
fn stdout_that_can_not_be_written_is_an_io_error() {
    let sandbox = Sandbox::with_docs();
    for script in [
        "plasmite version > /dev/full",
        "plasmite pool list > /dev/full",
        "plasmite --help > /dev/full",
    ] {
        let error = sandbox.finish(sandbox.shell(script), b"").fails(8);
        assert_eq!(error["kind"], "Io", "{script}");
    }
}

#[test]
fn a_value_that_begins_with_a_dash_is_told_how_to_write_it() {
    let sandbox = Sandbox::with_docs();
    for (args, written) in [
        (&["feed", "docs", "{}", "--tag", "-x"][..], "--tag=-x"),
        (&["feed", "docs", "{}", "-t", "-xyz"], "--tag=-xyz"),
        (&["follow", "docs", "--where", "-.seq < 0"], "--where=-.seq < 0"),
    ] {
        let error = sandbox.run(args).fails(2);
        assert!(error["hint"].as_str().unwrap().ends_with(written), "{args:?}: {error}");
    }
    sandbox.run(&["feed", "docs", "{}", "--tag=-x"]).ok();
}
