//! What a surface can't express is declared, and declared only where it is so.

use crate::support::{Folder, SURFACES, manifest, play, run, runner};

const STREAM: &str = r#"{"op": "create_pool", "pool": "p"},
    {"op": "append_stream", "id": "stream", "pool": "p", "input": {"text": "{}", "chunk_bytes": 1}DECLARED}"#;

fn stream(declared: &str) -> String {
    manifest(&STREAM.replace("DECLARED", declared))
}

#[test]
fn a_step_that_a_surface_cannot_express_fails_there_unless_that_is_declared() {
    play("python", &stream("")).failed("python", &["step 1 (stream)", "can't express it"]);
    play("python", &stream(r#", "not_on": {"python": "no streams"}"#)).passed("python");
    play("rust", &stream("")).passed("rust");

    let gap = r#"{"op": "create_pool", "pool": "p"},
        {"op": "tail", "id": "gap", "pool": "p", "input": {"since_seq": 1, "error_on_gap": true, "timeout_ms": 0}}"#;
    for surface in ["command", "mount"] {
        play(surface, &manifest(gap)).failed(surface, &["step 1 (gap)", "can't express it"]);
    }
    for surface in ["rust", "python"] {
        play(surface, &manifest(gap)).passed(surface);
    }
}

#[test]
fn a_race_or_a_writer_is_as_expressible_as_what_it_does() {
    let race = manifest(
        r#"{"op": "create_pool", "pool": "p"}, {"op": "race", "id": "race", "input": {"processes": 2,
        "step": {"op": "append_stream", "pool": "p", "input": {"text": "{}", "chunk_bytes": 1}}}}"#,
    );
    play("python", &race).failed("python", &["step 1 (race)", "can't express it"]);
    play("rust", &race).passed("rust");
    let alongside = manifest(
        r#"{"op": "create_pool", "pool": "p"}, {"op": "spawn", "id": "spawn", "pool": "p", "input": {"writers": [{"data": [{}]}],
        "alongside": [{"op": "tail", "pool": "p", "input": {"max": 1, "error_on_gap": true}}]}}"#,
    );
    play("mount", &alongside).failed("mount", &["step 1 (spawn)", "can't express it"]);
    play("rust", &alongside).passed("rust");
}

#[test]
fn a_declaration_that_is_not_needed_fails() {
    for surface in SURFACES {
        let step =
            format!(r#"{{"op": "list_pools", "id": "list", "not_on": {{"{surface}": "x"}}}}"#);
        play(surface, &manifest(&step)).failed(surface, &["step 0 (list)", "in not_on, but can"]);
        let whole = manifest(r#"{"op": "list_pools"}"#)
            .replace("\"steps\"", &format!("\"not_on\": {{\"{surface}\": \"x\"}}, \"steps\""));
        play(surface, &whole).failed(surface, &["in not_on, but can express every step"]);
        let differs = format!(
            r#"{{"op": "list_pools", "id": "list", "expect": {{"names": []}},
            "expect_on": {{"{surface}": {{"because": "x", "expect": {{}}}}}}}}"#
        );
        play(surface, &manifest(&differs))
            .failed(surface, &["step 0 (list)", "in expect_on, but gives"]);
    }
}

#[test]
fn a_surface_that_differs_gives_what_is_expected_there() {
    for surface in SURFACES {
        let differs = |names: &str| {
            manifest(&format!(
                r#"{{"op": "list_pools", "id": "list", "expect": {{"names": ["other"]}},
                "expect_on": {{"{surface}": {{"because": "x", "expect": {{"names": {names}}}}}}}}}"#
            ))
        };
        play(surface, &differs("[]")).passed(surface);
        play(surface, &differs("[\"x\"]")).failed(surface, &["step 0 (list)"]);
    }
}

#[test]
fn the_table_shows_failures_and_reasons_and_fails_with_them() {
    let folder = Folder::new();
    let write = |name: &str, text: String| {
        let path = folder.0.path().join(name);
        std::fs::write(&path, text.replace("\"test\"", &format!("{name:?}"))).unwrap();
        path
    };
    let good = write("good", stream(r#", "not_on": {"python": "no streams here"}"#));
    let mut all = runner();
    let played = run_all(all.arg("all").arg(&good));
    assert_eq!(played.code, Some(0), "{played:?}");
    let row = played.stdout.lines().find(|line| line.starts_with("good")).unwrap();
    assert_eq!(row.matches("passed").count(), 4, "{row}");
    assert!(played.stdout.contains("no streams here"), "{played:?}");

    let bad =
        write("bad", manifest(r#"{"op": "list_pools", "id": "list", "expect": {"names": ["x"]}}"#));
    let broken = write("broken", "{".to_owned());
    let whole =
        stream("").replace("\"steps\"", "\"not_on\": {\"python\": \"not at all\"}, \"steps\"");
    let whole = write("whole", whole);
    let mut all = runner();
    let played = run_all(all.arg("all").args([&bad, &broken, &whole]));
    assert_eq!(played.code, Some(1), "{played:?}");
    let row =
        |name: &str| played.stdout.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert_eq!(row("bad").matches("FAILED").count(), 4, "{played:?}");
    assert_eq!(row("broken").matches("FAILED").count(), 4, "{played:?}");
    assert_eq!(row("whole").matches("passed").count(), 3, "{played:?}");
    assert!(row("whole").contains("not expressible"), "{played:?}");
    for words in ["bad on mount: step 0 (list)", "whole on python: not at all", "not JSON"] {
        assert!(played.stdout.contains(words), "{words}: {played:?}");
    }
    assert!(played.stderr.contains("8 of 12 failed"), "{played:?}");
}

fn run_all(command: &mut std::process::Command) -> crate::support::Played {
    run(std::mem::replace(command, std::process::Command::new("true")))
}
