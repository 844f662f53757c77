use std::fs;

use crate::fixture::{Fixture, append, read};

/// SEMANTICS: A message is a read-only file
#[test]
fn messages_are_files_with_true_sizes() {
    let f = Fixture::new();
    let pool = f.pool();
    for i in 1..=5 {
        append(&pool, &format!("{{\"i\":{i}}}"));
    }
    for seq in 1..=5u64 {
        let message = pool.get(plasmite_core::Seq::new(seq)).unwrap();
        let path = f.docs().join(seq.to_string());
        assert_eq!(read(&path), message.to_json() + "\n");
        assert_eq!(fs::metadata(&path).unwrap().len(), message.line_len());
        let data = f.docs().join(format!("{seq}.json"));
        assert_eq!(read(&data), format!("{{\"i\":{seq}}}\n"));
        assert_eq!(fs::metadata(&data).unwrap().len(), 8);
    }
    assert_eq!(
        f.sh("cat docs/first docs/latest | wc -l; readlink docs/first docs/latest").ok(),
        "2\n1\n5\n"
    );
    assert!(read(f.docs().join("info.json")).contains("\"messages\":5"));
    assert_eq!(f.sh("stat -c %s docs/info.json").ok(), f.sh("wc -c < docs/info.json").ok());
}

#[test]
fn an_empty_pool_has_no_first_and_latest() {
    let f = Fixture::new();
    assert!(!f.docs().join("latest").exists() && !f.docs().join("1").exists());
    assert_eq!(read(f.docs().join("log")), "");
    assert_eq!(f.sh("ls -A docs").ok(), "");
}

/// SEMANTICS: A listing shows the messages and nothing else
#[test]
fn a_listing_shows_messages_and_nothing_else() {
    let f = Fixture::new();
    f.sh("for i in 1 2 3; do echo '{}' > docs/x$i.json; done; echo '{}' > docs/in").ok();
    assert_eq!(f.sh("ls -A docs").ok(), "1\n2\n3\n4\n");
    assert_eq!(f.sh("cat docs/* | wc -l").ok(), "4\n");
    assert_eq!(f.sh("grep -rc seq docs | sort").ok(), "docs/1:1\ndocs/2:1\ndocs/3:1\ndocs/4:1\n");
    assert_eq!(
        f.sh("cp -a docs $ROOT/copy && ls $ROOT/copy | wc -l && diff -r docs $ROOT/copy").ok(),
        "4\n"
    );
    assert_eq!(f.sh("jq -s length docs/*").ok(), "4\n");
}

/// SEMANTICS: A message is a read-only file
#[test]
fn messages_and_views_cannot_be_changed() {
    let f = Fixture::new();
    append(&f.pool(), "{\"a\":1}");
    for script in [
        "echo '{}' > docs/1",
        "echo '{}' >> docs/1.json",
        "rm -f docs/1",
        "mv docs/1 docs/2x",
        "mv docs/1 docs/2",
        "chmod 600 docs/1",
        "truncate -s 0 docs/1",
        "echo '{}' > docs/7",
        "echo '{}' > docs/7.json",
        "touch docs/0",
        "echo '{}' > docs/log",
        "echo '{}' > docs/tail",
        "echo '{}' > docs/info.json",
        "rm -f docs/tail",
        "echo '{}' > docs/errors",
    ] {
        let done = f.sh(script);
        assert_ne!(done.code, Some(0), "{script}");
        assert!(done.err.contains("not permitted"), "{script}: {done:?}");
    }
    assert_eq!(f.data(), ["{\"a\":1}"]);
}

/// SEMANTICS: A message is a read-only file
#[test]
fn evicted_messages_are_gone() {
    let f = Fixture::sized(64 << 10);
    let pool = f.pool();
    append(&pool, "{\"first\":true}");
    assert!(f.docs().join("1.json").exists());
    for i in 0..5000 {
        append(
            &pool,
            &format!("{{\"i\":{i},\"text\":\"0123456789012345678901234567890123456789\"}}"),
        );
    }
    assert!(fs::read(f.docs().join("1")).is_err());
    let oldest = pool.bounds().unwrap().oldest.to_string();
    assert_eq!(f.sh("ls docs | sort -n | head -n 1").ok().trim(), oldest);
    assert_eq!(f.sh("ls docs | wc -l").ok().trim(), pool.bounds().unwrap().count().to_string());
}

/// SEMANTICS: A message is a read-only file
#[test]
fn mapped_and_partial_reads_work() {
    let f = Fixture::new();
    append(&f.pool(), "{\"text\":\"hello world\"}");
    let script = "import mmap; f = open('docs/1.json','rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); print(m[9:14].decode())";
    assert_eq!(f.sh(&format!("python3 -c \"{script}\"")).ok(), "hello\n");
    assert_eq!(f.sh("dd if=docs/1.json bs=1 skip=9 count=5 2>/dev/null").ok(), "hello");
}
