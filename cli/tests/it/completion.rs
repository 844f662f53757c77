//! `plasmite completion` in the shells themselves, and the manual pages.

use std::fs;
use std::process::Command;

use crate::support::{Sandbox, have};

/// A shell with the command on its PATH and its pools at home.
fn shell(sandbox: &Sandbox, name: &str, args: &[&str]) -> Command {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_plasmite")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = [bin.to_owned()].into_iter().chain(std::env::split_paths(&path));
    let mut command = Command::new(name);
    command
        .args(args)
        .env("HOME", sandbox.path(""))
        .env("XDG_CONFIG_HOME", sandbox.path("config"))
        .env("PATH", std::env::join_paths(paths.collect::<Vec<_>>()).unwrap())
        .current_dir(sandbox.path(""));
    command
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "docs-old", "events"]).ok();
    fs::create_dir_all(sandbox.path(".plasmite")).unwrap();
    std::os::unix::fs::symlink(sandbox.path("pools"), sandbox.path(".plasmite/pools")).unwrap();
    sandbox.run(&["pool", "create", "./elsewhere/other.plasmite"]).ok();
    sandbox
}

/// What is typed, and some of what Tab offers.
const OFFERS: &[(&[&str], &[&str])] = &[
    (&["fol"], &["follow"]),
    (&["feed", ""], &["docs", "docs-old", "events"]),
    (&["feed", "doc"], &["docs", "docs-old"]),
    (&["pool", "info", "e"], &["events"]),
    (&["--dir", "elsewhere", "fetch", ""], &["other"]),
    (&["follow", "docs", "--cur"], &["--cursor-file"]),
    (&["feed", "docs", "--durability", ""], &["fast", "flush"]),
];

fn check(name: &str, offered: impl Fn(&Sandbox, &[&str]) -> String) {
    let sandbox = sandbox();
    for (words, offers) in OFFERS {
        let text = offered(&sandbox, words);
        let found: Vec<&str> = text.split_whitespace().collect();
        for offer in *offers {
            assert!(found.contains(offer), "{name}: {words:?}: {text:?}");
        }
        let stranger = if offers.contains(&"other") { "docs" } else { "other" };
        assert!(!found.contains(&stranger), "{name}: {words:?}: {text:?}");
    }
}

#[test]
fn bash_offers_verbs_options_and_pools() {
    check("bash", |sandbox, words| {
        let script = "source <(plasmite completion bash)
            COMP_WORDS=(plasmite \"$@\"); COMP_CWORD=$#; COMP_TYPE=9
            function=$(complete -p plasmite | sed 's/.*-F \\([^ ]*\\).*/\\1/')
            $function plasmite \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
            printf '%s\\n' \"${COMPREPLY[@]}\"";
        let args = [&["--norc", "-c", script, "bash"][..], words].concat();
        sandbox.finish(shell(sandbox, "bash", &args), b"").out
    });
}

#[test]
fn fish_offers_verbs_options_and_pools() {
    if !have("/usr/bin/fish") {
        return;
    }
    check("fish", |sandbox, words| {
        let line = words.iter().fold("plasmite".to_owned(), |line, word| format!("{line} {word}"));
        let script = format!("plasmite completion fish | source; complete -C '{line}'");
        let offers = sandbox.finish(shell(sandbox, "fish", &["-c", &script]), b"").out;
        // Behind the tab it describes them.
        offers.lines().filter_map(|line| line.split('\t').next()).collect::<Vec<_>>().join("\n")
    });
}

#[test]
fn zsh_offers_verbs_options_and_pools() {
    if !have("/usr/bin/zsh") {
        return;
    }
    check("zsh", |sandbox, words| {
        // Completion needs a line that is edited: `_describe` says what it would offer instead.
        let script = "autoload -Uz compinit; compinit -u -d \"$HOME/dump\"
            source <(plasmite completion zsh)
            _describe() { local -a offers=(\"${(@P)3}\"); print -rl -- \"${(@)offers%%:*}\"; }
            words=(plasmite \"$@\"); CURRENT=$#words
            ${_comps[plasmite]}";
        let args = [&["-f", "-c", script, "zsh"][..], words].concat();
        sandbox.finish(shell(sandbox, "zsh", &args), b"").out
    });
}

#[test]
fn the_scripts_are_accepted_without_a_word() {
    let sandbox = sandbox();
    for (name, path, script) in [
        ("bash", "/bin/bash", "source <(plasmite completion bash)"),
        (
            "zsh",
            "/usr/bin/zsh",
            "autoload -Uz compinit; compinit -u -d \"$HOME/dump\"; source <(plasmite completion zsh)",
        ),
        ("fish", "/usr/bin/fish", "plasmite completion fish | source"),
    ] {
        if have(path) {
            let ran = sandbox.finish(shell(&sandbox, name, &["-c", script]), b"");
            assert_eq!(ran.ok(), "", "{name}");
        }
    }
}

#[test]
fn a_script_that_asks_is_never_answered_with_an_error() {
    let sandbox = sandbox();
    for words in
        [&["--", "plasmite", "feed", ""][..], &["--", "plasmite", "no", "such", ""], &["--"]]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plasmite"));
        command.args(words).env("PLASMITE_COMPLETE", "fish").env_remove("HOME");
        assert_eq!(sandbox.finish(command, b"").err, "", "{words:?}");
    }
}

#[test]
fn there_is_a_manual_page_for_each_verb() {
    let sandbox = Sandbox::new();
    sandbox.run(&["man", "man"]).ok();
    let mut names: Vec<_> = fs::read_dir(sandbox.path("man"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let verbs = [
        "completion",
        "duplex",
        "export",
        "feed",
        "fetch",
        "follow",
        "import",
        "mount",
        "pool",
        "pool-create",
        "pool-delete",
        "pool-info",
        "pool-list",
        "tap",
        "unmount",
        "version",
    ];
    for verb in verbs {
        assert!(names.contains(&format!("plasmite-{verb}.1")), "{verb}: {names:?}");
    }
    assert!(
        names.contains(&"plasmite.1".to_owned()) && !names.contains(&"plasmite-man.1".to_owned())
    );
    if have("/usr/bin/man") {
        for name in &names {
            let mut man = Command::new("man");
            man.args(["--warnings", "-l", name]).env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8");
            man.current_dir(sandbox.path("man"));
            let ran = sandbox.finish(man, b"");
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{name}");
            assert!(ran.out.contains("plasmite"), "{name}");
        }
    }
}
