//! Every paragraph of `SEMANTICS.md` is proved by a test that quotes its heading.

use std::collections::BTreeSet;
use std::path::Path;

/// The headings that the tests in a directory quote, each just above its test.
fn quoted(dir: &Path, out: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            quoted(&path, out);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            if let Some(heading) = line.strip_prefix("/// SEMANTICS: ") {
                assert_eq!(lines.peek(), Some(&"#[test]"), "{}: {heading}", path.display());
                out.insert(heading.to_owned());
            }
        }
    }
}

#[test]
fn every_heading_is_quoted_by_a_test_and_every_quote_is_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut quotes = BTreeSet::new();
    quoted(&root.join("src"), &mut quotes);
    quoted(&root.join("tests/it"), &mut quotes);
    quoted(&root.join("../cli/tests/it"), &mut quotes);
    let text = std::fs::read_to_string(root.join("SEMANTICS.md")).unwrap();
    let headings: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert!(headings.len() > 20);
    assert_eq!(headings, quotes);
}
