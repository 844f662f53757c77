//! `docs/reliability.md` promises nothing that is not shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn every_row_names_tests_or_commands_that_exist() {
    let text = read("docs/reliability.md");
    let xtask = read("xtask/src/main.rs");
    let (mut rows, mut tests) = (0, 0);
    for section in text.split("\n## ").filter(|section| section.starts_with("How it is shown")) {
        for row in section.lines().filter(|l| l.starts_with("| ")).skip(2) {
            let evidence = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let named: Vec<_> = evidence.split('`').skip(1).step_by(2).collect();
            assert!(!named.is_empty(), "nothing shows: {row}");
            for name in named {
                if let Some(task) = name.strip_prefix("cargo xtask ") {
                    assert!(xtask.contains(&format!("task == \"{task}\"")), "no such task: {name}");
                    continue;
                }
                let (file, test) = name.split_once("::").unwrap_or_else(|| panic!("{name}?"));
                let source = read(file);
                let found = ["fn ", "static void ", "def "]
                    .iter()
                    .any(|kind| source.contains(&format!("{kind}{test}(")));
                assert!(found, "no such test: {name}");
                tests += 1;
            }
            rows += 1;
        }
    }
    assert!(rows > 30 && tests > 40, "{rows} rows, {tests} tests");
}
