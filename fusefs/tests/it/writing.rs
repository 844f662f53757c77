use crate::fixture::Fixture;

/// Runs a script that must append exactly these.
#[track_caller]
fn appends(f: &Fixture, script: &str, expected: &[&str]) {
    let before = f.data().len();
    f.sh(script).ok();
    assert_eq!(f.data()[before..], *expected, "{script}");
}

/// Runs a script that must fail and append these only.
#[track_caller]
fn fails(f: &Fixture, script: &str, expected: &[&str]) {
    let before = f.data().len();
    let done = f.sh(script);
    assert_ne!(done.code, Some(0), "{script}: {done:?}");
    assert!(!done.err.is_empty(), "{script}");
    assert_eq!(f.data()[before..], *expected, "{script}");
}

const A: &str = "{\"a\":1}";

/// SEMANTICS: A name in .json takes one document
#[test]
fn ordinary_tools_append_exactly_one_message() {
    let f = Fixture::new();
    std::fs::write(f.root.path().join("src.json"), "{ \"a\": 1 }\n").unwrap();
    for script in [
        "echo '{\"a\":1}' > docs/x.json",
        "echo '{\"a\":1}' >> docs/x.json",
        "echo '{\"a\":1}' > docs/x.json",
        "printf '{\"a\":1}' > docs/y.json",
        "cat > docs/c.json < $ROOT/src.json",
        "cp $ROOT/src.json docs/cp.json",
        "cp $ROOT/src.json docs/cp.json",
        "cp -p $ROOT/src.json docs/cpp.json",
        "cp -a $ROOT/src.json docs/cpa.json",
        "cp $ROOT/src.json $ROOT/mv.json && mv $ROOT/mv.json docs/mv.json",
        "install -m 600 $ROOT/src.json docs/inst.json",
        "tee docs/t.json < $ROOT/src.json >/dev/null",
        "tee -a docs/t.json < $ROOT/src.json >/dev/null",
        "dd if=$ROOT/src.json of=docs/dd.json bs=1 2>/dev/null",
        "dd if=$ROOT/src.json of=docs/dds.json conv=fsync 2>/dev/null",
        "dd if=$ROOT/src.json of=docs/ddo.json oflag=sync 2>/dev/null",
        "sh -c 'echo \"{\\\"a\\\":1}\"' > docs/sh.json",
        "python3 -c \"import json; json.dump({'a':1}, open('docs/p.json','w'), separators=(',',':'))\"",
        "python3 -c \"import pathlib; pathlib.Path('docs/pp.json').write_text('{\\\"a\\\":1}')\"",
        "python3 -c \"import os; f=open('docs/ps.json','w'); f.write('{\\\"a\\\":1}'); f.flush(); os.fsync(f.fileno()); f.close()\"",
        "python3 -c \"f=open('docs/px.json','x+'); f.write('{\\\"a\\\":1}'); f.close()\"",
        "echo '{\"a\":1}' > docs/in",
        "echo '{\"a\":1}' >> docs/in",
        "cp $ROOT/src.json docs/stream",
        "printf '{\\n  \"a\"\\n:\\n1\\n}\\n' >> docs/in",
    ] {
        appends(&f, script, &[A]);
    }
}

/// SEMANTICS: A written name goes on as a regular file
#[test]
fn a_written_name_goes_on_as_a_regular_file() {
    let f = Fixture::new();
    f.sh("echo '{\"a\": 1}' > docs/x.json").ok();
    assert_eq!(
        f.sh("cat docs/x.json; stat -c '%F %s' docs/x.json").ok(),
        "{\"a\": 1}\nregular file 9\n"
    );
    f.sh("chmod 600 docs/x.json && touch -d 2001-01-01 docs/x.json && chown 5 docs/x.json").ok();
    assert_eq!(f.sh("stat -c '%a %y' docs/x.json | cut -c1-14").ok(), "600 2001-01-01\n");
    f.sh("truncate -s 0 docs/x.json; mv docs/x.json docs/y.json; cat docs/y.json; rm docs/y.json")
        .ok();
    assert_ne!(f.sh("cat docs/y.json").code, Some(0));
    assert_eq!(f.data(), [A]);
    f.sh("echo '{}' > docs/x.json; touch docs/x.json").ok();
    assert_eq!(f.sh("getfattr --only-values -n user.plasmite.seq docs/x.json").ok(), "2");
    assert_eq!(f.sh("ls docs").ok(), "1\n2\n");
}

/// SEMANTICS: Any other name takes a stream of documents
#[test]
fn a_stream_delivers_each_document_at_once() {
    let f = Fixture::new();
    let script = "exec 3>> docs/in; echo '{\"a\":1}' >&3; ls docs | wc -l; printf '{\"b\"' >&3 2>/dev/null & wait; ls docs | wc -l";
    assert!(f.sh(script).ok().starts_with("1\n"));
    appends(
        &f,
        "for i in 1 2 3; do echo \"{\\\"i\\\":$i}\"; done >> docs/in",
        &["{\"i\":1}", "{\"i\":2}", "{\"i\":3}"],
    );
    appends(
        &f,
        "(echo '{\"i\":1}'; sleep .05; echo '{\"i\":2}') > docs/out.jsonl",
        &["{\"i\":1}", "{\"i\":2}"],
    );
    appends(
        &f,
        "printf '{\"i\":1}{\"i\":2} {\"i\":3}' | tee docs/cat > /dev/null",
        &["{\"i\":1}", "{\"i\":2}", "{\"i\":3}"],
    );
}

/// SEMANTICS: What is no JSON object fails where the writer looks
#[test]
fn invalid_json_fails_the_write_where_shells_look() {
    let f = Fixture::new();
    for shell in ["bash", "dash", "sh"] {
        for name in ["x.json", "in"] {
            for text in ["bad", "[1]", "17", "{\"a\":1}}", "{a:1}", "{\"a\":01}"] {
                let good: &[&str] = if name == "in" && text == "{\"a\":1}}" { &[A] } else { &[] };
                fails(
                    &f,
                    &format!("{shell} -c \"echo '{}' > docs/{name}\"", text.replace('"', "\\\"")),
                    good,
                );
            }
        }
    }
    for script in [
        "/bin/echo bad > docs/x.json",
        "echo bad | cat > docs/x.json",
        "echo bad > $ROOT/bad; cp $ROOT/bad docs/x.json",
        "echo bad | tee docs/x.json",
        "echo bad | dd of=docs/x.json",
        "python3 -c \"f = open('docs/x.json','w'); f.write('bad'); f.close()\"",
        "printf '{\"a\":1}\\n{\"b\":2}\\n' > docs/x.json",
    ] {
        fails(&f, script, &[]);
    }
}

/// SEMANTICS: What is no JSON object fails where the writer looks
#[test]
fn an_unfinished_document_fails_the_close() {
    let f = Fixture::new();
    f.sh("printf '{\"a\":' > $ROOT/half").ok();
    for name in ["x.json", "in"] {
        for script in
            ["cp $ROOT/half docs/NAME", "cat $ROOT/half > docs/NAME", "tee docs/NAME < $ROOT/half"]
        {
            fails(&f, &script.replace("NAME", name), &[]);
        }
        fails(
            &f,
            &format!("python3 -c \"f = open('docs/{name}','w'); f.write('{{'); f.close()\""),
            &[],
        );
    }
}

/// SEMANTICS: A name in .json takes one document
#[test]
fn a_document_in_pieces_from_several_processes_is_one_message() {
    let f = Fixture::new();
    appends(&f, "{ /bin/echo '{\"a\":'; /bin/echo '1}'; } > docs/f.json", &[A]);
    appends(&f, "{ printf '{\"a\":'; /bin/true; printf '1}'; } > docs/f.json", &[A]);
    appends(
        &f,
        "exec 3> docs/f.json; /bin/echo '{\"a\":' >&3; /bin/echo '1}' >&3; exec 3>&-",
        &[A],
    );
    appends(&f, "(echo '{\"a\":1'; sleep .05; echo '}') > docs/f.json", &[A]);
    appends(&f, "{ /bin/echo '{\"a\":'; /bin/echo '1}'; } >> docs/in", &[A]);
}

/// SEMANTICS: What is no JSON object fails where the writer looks
#[test]
fn after_a_refusal_nothing_of_that_document_is_appended() {
    let f = Fixture::new();
    let script = "exec 3> docs/x.json; echo bad >&3; echo '{\"a\":1}' >&3";
    fails(&f, script, &[]);
    // A stream starts afresh on the next line.
    fails(
        &f,
        "exec 3> docs/in; printf 'bad' >&3; printf ' rest {\"x\":1}\\n' >&3; echo '{\"a\":1}' >&3; false",
        &[A],
    );
    fails(
        &f,
        "exec 3> docs/in; printf '{\"a\":1}\\nbad\\n' >&3; r=$?; echo '{\"a\":1}' >&3; exit $r",
        &[A, A],
    );
    let script = "import os\nfd = os.open('docs/in', os.O_WRONLY|os.O_CREAT)\nprint(os.write(fd, b'{\\\"a\\\":1}\\nbad\\n'))\ntry: os.write(fd, b'bad\\n')\nexcept OSError as e: print(e.errno)\nprint(os.write(fd, b'{\\\"a\\\":1}\\n'))";
    assert_eq!(f.sh(&format!("python3 -c \"{script}\"")).ok(), "7\n22\n8\n");
}

/// SEMANTICS: What is no JSON object fails where the writer looks
#[test]
fn a_message_larger_than_the_pool_is_efbig() {
    let f = Fixture::sized(64 << 10);
    f.sh("python3 -c \"print('{\\\"a\\\":\\\"' + 'x'*200000 + '\\\"}')\" > $ROOT/big").ok();
    for name in ["x.json", "in", ".tmp"] {
        let done = f.sh(&format!("cat $ROOT/big > docs/{name}"));
        assert!(done.err.contains("File too large"), "{name}: {done:?}");
    }
    let max = f.pool().max_message_bytes();
    f.sh(&format!(
        "python3 -c \"print('{{\\\"a\\\":\\\"' + 'x'*({max}-8) + '\\\"}}')\" > docs/x.json"
    ))
    .ok();
    assert_eq!(f.data().len(), 1);
}

#[test]
fn large_messages_arrive_whole() {
    let f = Fixture::sized(16 << 20);
    f.sh("python3 -c \"print('{\\\"a\\\":\\\"' + 'x'*3000000 + '\\\"}')\" > $ROOT/big && cp $ROOT/big docs/x.json && cmp docs/1.json $ROOT/big && cat $ROOT/big >> docs/in && cmp docs/2.json $ROOT/big").ok();
    assert_eq!(
        f.sh("cat docs/log | wc -l; timeout 2 cat docs/tail | wc -l; tail -n 1 docs/log | wc -l")
            .ok(),
        "2\n2\n1\n"
    );
    assert_eq!(f.sh("cmp docs/x.json docs/1.json && cat docs/in | wc -c").ok(), "3000009\n");
}

/// SEMANTICS: Staging names are delivered by rename
#[test]
fn staging_names_are_delivered_by_rename() {
    let f = Fixture::new();
    appends(&f, "echo bad > docs/.x; rm docs/.x", &[]);
    appends(&f, "printf '{\"a\":' > docs/.x; printf '1}' >> docs/.x; cat docs/.x > $ROOT/o", &[]);
    assert_eq!(f.sh("cat $ROOT/o; ls docs").ok(), A);
    appends(&f, "mv docs/.x docs/x.json", &[A]);
    appends(&f, "echo '{\"a\":1}' > docs/x.json.tmp && mv -f docs/x.json.tmp docs/x.json", &[A]);
    appends(
        &f,
        "printf '{\"a\":1}\\n{\"b\":2}\\n' > docs/y.part && mv docs/y.part docs/y.jsonl",
        &[A, "{\"b\":2}"],
    );
    fails(&f, "echo bad > docs/.b; mv docs/.b docs/b.json", &[]);
    fails(&f, "printf '{\"a\":1}\\n{\"b\":2}\\n' > docs/.b; mv docs/.b docs/b.json", &[]);
    fails(&f, "printf '{\"a\":1}\\nbad' > docs/.b; mv docs/.b docs/b", &[]);
    assert_eq!(f.sh("cat docs/.b").ok(), "{\"a\":1}\nbad");
    appends(&f, "touch docs/.e docs/e.json; mv docs/.e docs/e2.json; : > docs/f.json", &[]);
    appends(&f, "echo '{\"a\":1}' > docs/s.json; sed -i s/1/2/ docs/s.json", &[A, "{\"a\":2}"]);
    appends(
        &f,
        "mkdir other; echo '{\"a\":1}' > other/.z; mv other/.z docs/z.json; rmdir other",
        &[A],
    );
}

/// SEMANTICS: Staging names are delivered by rename
#[test]
fn a_draft_that_would_take_too_much_memory_is_refused_and_others_go_on() {
    let f = Fixture::sized(4 << 30);
    f.sh("echo '{\"a\":1}' > docs/.d").ok();
    for script in [
        "truncate -s 300M docs/.d",
        "truncate -s 3G docs/.d",
        "truncate -s 3G docs/.new",
        "dd of=docs/.d bs=1 seek=2G conv=notrunc status=none <<< x",
    ] {
        let done = f.sh(script);
        assert_eq!(done.code, Some(1), "{script}: {done:?}");
        assert!(done.err.contains("No space left on device"), "{script}: {done:?}");
    }
    appends(&f, "mv docs/.d docs/x.json", &[A]);
}

/// SEMANTICS: O_SYNC and fsync mean on disk
#[test]
fn sync_writes_are_durable() {
    let f = Fixture::new();
    for (script, seq) in [
        ("dd of=docs/x.json oflag=dsync 2>/dev/null <<< '{}'", 1),
        ("dd of=docs/in oflag=sync 2>/dev/null <<< '{}'", 2),
        ("dd of=docs/x.json conv=fsync 2>/dev/null <<< '{}'", 3),
        ("dd of=docs/in conv=fdatasync 2>/dev/null <<< '{}'", 4),
    ] {
        f.sh(script).ok();
        assert_eq!(f.pool().info().unwrap().durable.get(), seq, "{script}");
    }
    f.sh("echo '{}' > docs/x.json").ok();
    assert_eq!(f.pool().info().unwrap().durable.get(), 4);
}

#[test]
fn every_message_of_concurrent_writers_arrives_once() {
    let f = Fixture::sized(8 << 20);
    let script = "for w in 1 2 3 4; do ( for i in $(seq 150); do echo \"{\\\"w\\\":$w,\\\"i\\\":$i}\" > docs/w$w-$i.json; done ) & \
        ( for i in $(seq 150); do echo \"{\\\"s\\\":$w,\\\"i\\\":$i}\"; done >> docs/in ) & done; wait";
    let pool = f.pool();
    let other = std::thread::spawn(move || {
        (0..1000).for_each(|i| crate::fixture::append(&pool, &format!("{{\"e\":{i}}}")))
    });
    let reader = f.spawn("timeout 40 head -n 2200 docs/tail | wc -l > $ROOT/count");
    f.sh(script).ok();
    other.join().unwrap();
    let mut reader = reader;
    reader.ends_soon();
    assert_eq!(crate::fixture::read(f.root.path().join("count")), "2200\n");
    let mut all = f.data();
    assert_eq!(all.len(), 2200);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2200);
}
