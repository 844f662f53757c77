//! `POSIX.md` against what the mount does.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fixture::Fixture;

/// A row of a table: the call in Python's words, and what it answers.
struct Row {
    call: String,
    answer: String,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("POSIX.md");
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let (call, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (answer, why) = rest.split_once(" | ")?;
        assert!(why.len() > 4, "no reason: {line}");
        Some(Row { call: call.to_owned(), answer: answer.to_owned() })
    };
    text.lines().filter_map(row).collect()
}

/// SEMANTICS: The calls of POSIX
#[test]
fn every_call_of_the_table_is_answered_as_it_says() {
    let rows = rows();
    assert!(rows.len() > 80);
    let f = Fixture::new();
    let mut python = Command::new("python3")
        .args(["-c", include_str!("posix.py")])
        .current_dir(f.mnt())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let calls: String = rows.iter().map(|row| format!("{}\n", row.call)).collect();
    let writer = std::thread::spawn(move || stdin.write_all(calls.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers.lines().collect();
    assert_eq!(answers.len(), rows.len());
    let wrong: Vec<_> = rows
        .iter()
        .zip(answers)
        .filter(|(row, answer)| row.answer != *answer)
        .map(|(row, answer)| format!("{}: {} in the table, {answer} here", row.call, row.answer))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
