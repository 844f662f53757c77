use std::time::Duration;

use plasmite_core::{
    Batch, Client, Durability, Entry, Envelopes, ErrorKind, OpenOptions, Pool, Seq, Timestamp,
    json::Document,
};

use crate::support::{Dir, KIB, NO_TAGS, put};

#[test]
fn what_is_appended_comes_back_byte_for_byte() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let text = r#"{"b":1.50,"a":[1e400,-0,"é\u00e9\n"],"a":12345678901234567890123}"#;
    let receipt = pool.append(text.as_bytes(), &["x", "y", "x"], Durability::Fast).unwrap();
    assert_eq!(receipt.seq, Seq::FIRST);
    let message = pool.get(receipt.seq).unwrap();
    assert_eq!(message.data(), text);
    assert_eq!(message.time(), receipt.time);
    assert_eq!(message.tags().collect::<Vec<_>>(), ["x", "y", "x"]);
    let time = receipt.time;
    assert_eq!(
        message.to_json(),
        format!(r#"{{"seq":1,"time":"{time}","meta":{{"tags":["x","y","x"]}},"data":{text}}}"#)
    );
    assert_eq!(time.to_string().len(), 30);
    assert_eq!(message.line_len() as usize, message.to_json().len() + 1);
}

#[test]
fn whitespace_between_tokens_is_removed_and_nothing_else() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, " {\n \"a b\" : [ 1 , \" c \" ]\t}\r\n");
    assert_eq!(pool.get(Seq::FIRST).unwrap().data(), r#"{"a b":[1," c "]}"#);
}

#[test]
fn a_file_has_exactly_the_size_asked_for_and_all_of_it_is_reserved() {
    use std::os::unix::fs::MetadataExt;
    let dir = Dir::new();
    for size in [8192, 8193, 100_001, 1 << 20] {
        let pool = dir.pool(&format!("p{size}"), size);
        let metadata = pool.file().metadata().unwrap();
        assert_eq!(metadata.len(), size);
        assert!(metadata.blocks() * 512 >= size, "{size}: {} blocks", metadata.blocks());
        let info = pool.info().unwrap();
        assert_eq!(info.size_bytes, size);
        assert_eq!(info.used_bytes, 0);
    }
}

#[test]
fn the_largest_message_fits_and_one_byte_more_is_refused_with_both_sizes() {
    let dir = Dir::new();
    let pool = dir.pool("p", 16 * KIB);
    let max = pool.max_message_bytes() as usize;
    let fitting = |n: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(n - 8));
    for _ in 0..3 {
        put(&pool, &fitting(max));
        put(&pool, "{}");
    }
    let error = pool.append(fitting(max + 1).as_bytes(), NO_TAGS, Durability::Fast).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let text = error.to_string();
    assert!(text.contains(&max.to_string()) && text.contains(&(max + 1).to_string()), "{text}");
    assert_eq!(pool.bounds().unwrap().newest, Seq::new(6));
}

#[test]
fn old_messages_make_room_and_seqs_go_on() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    for n in 1..=1000 {
        assert_eq!(put(&pool, &format!("{{\"n\":{n}}}")).seq.get(), n);
    }
    let bounds = pool.bounds().unwrap();
    assert_eq!(bounds.newest.get(), 1000);
    assert!(bounds.count() > 20 && bounds.count() < 200, "{bounds:?}");
    for seq in bounds.oldest.get()..=1000 {
        assert_eq!(pool.get(Seq::new(seq)).unwrap().data(), format!("{{\"n\":{seq}}}"));
    }
    for gone in [0, 1, bounds.oldest.get() - 1, 1001, u64::MAX] {
        let error = pool.get(Seq::new(gone)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.seq(), Some(Seq::new(gone)));
        assert_eq!(error.path(), None);
    }
}

#[test]
fn a_batch_gets_consecutive_seqs_and_one_bad_entry_refuses_it() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let a = Document::parse(b"{\"a\":1}").unwrap();
    let b = Document::parse(b"{\"b\":2}").unwrap();
    let long = "t".repeat(256);
    let good = [Entry { document: &a, tags: &["t"] }, Entry { document: &b, tags: &[] }];
    let receipts = pool.append_batch(&good, Durability::Fast).unwrap();
    assert_eq!(receipts.iter().map(|r| r.seq.get()).collect::<Vec<_>>(), [1, 2]);
    let bad = [Entry { document: &a, tags: &[] }, Entry { document: &b, tags: &[&long] }];
    let error = pool.append_batch(&bad, Durability::Fast).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Usage, Some(1)));
    assert_eq!(pool.bounds().unwrap().newest.get(), 2);
    assert!(pool.append_batch(&[], Durability::Flush).unwrap().is_empty());
}

#[test]
fn parts_of_a_batch_are_appended_whole_or_not_at_all_and_tell_what_they_were() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    let max = usize::try_from(pool.max_message_bytes()).unwrap();
    let fitting = |n: usize| format!("{{\"x\":\"{}\"}}", "y".repeat(n - 8));
    let mut batch = Batch::new();
    for (text, tags) in [("{\"a\":1}", &[][..]), ("{\"b\" : 2}", &["t", "u"])] {
        batch.push(&Document::parse(text.as_bytes()).unwrap(), tags).unwrap();
    }
    let before = batch.bytes();
    let empty = Document::parse(b"{}").unwrap();
    assert_eq!(batch.push(&empty, &["good", ""]).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!((batch.len(), batch.bytes()), (2, before), "as if it had not been tried");
    batch.push(&Document::parse(fitting(max + 1).as_bytes()).unwrap(), NO_TAGS).unwrap();
    batch.push(&Document::parse(fitting(max).as_bytes()).unwrap(), NO_TAGS).unwrap();

    let mut receipts = Vec::new();
    let error = pool.append_prepared(&batch, 0..4, Durability::Fast, &mut receipts).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Usage, Some(2)));
    assert!(receipts.is_empty() && pool.bounds().unwrap().is_empty());
    for part in [0..2, 1..2, 3..4, 2..2, 4..9, 7..9] {
        let fits = part.end <= 4;
        let (first, count) = (receipts.len() as u64 + 1, if fits { part.len() } else { 0 });
        pool.append_prepared(&batch, part, Durability::Flush, &mut receipts).unwrap();
        assert_eq!(receipts.len() as u64, first - 1 + count as u64);
        assert!(receipts.iter().zip(1..).all(|(receipt, seq)| receipt.seq.get() == seq));
    }
    let message = pool.get(Seq::new(4)).unwrap();
    assert_eq!((message.data().len(), message.tags().count()), (max, 0));
    batch.clear();
    assert!(batch.is_empty() && batch.bytes() == 0);
    batch.push(&Document::parse(b"{\"b\" : 2}").unwrap(), &["t", "u"]).unwrap();
    pool.append_prepared(&batch, 0..1, Durability::Fast, &mut receipts).unwrap();
    let message = pool.get(Seq::new(5)).unwrap();
    assert_eq!(message.data(), "{\"b\":2}");
    assert!(message.tags().eq(["t", "u"]));
    assert_eq!(message.time(), receipts[4].time);
}

#[test]
fn bad_tags_are_refused_and_nothing_is_appended() {
    let dir = Dir::new();
    let pool = dir.pool("p", 1 << 20);
    for tags in [vec![String::new()], vec!["x".repeat(256)], vec!["y".repeat(255); 300]] {
        let error = pool.append(b"{}", &tags, Durability::Fast).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.hint().is_some());
    }
    assert!(pool.bounds().unwrap().is_empty());
    pool.append(b"{}", &["z".repeat(255)], Durability::Fast).unwrap();
}

#[test]
fn time_never_goes_backwards_when_the_clock_does() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static CLOCK: AtomicU64 = AtomicU64::new(5_000_000_000);
    let dir = Dir::new();
    drop(dir.pool("p", 64 * KIB));
    let pool = OpenOptions::new()
        .clock(|| Timestamp::from_nanos(CLOCK.load(Ordering::Relaxed)))
        .open(&dir.path("p"))
        .unwrap();
    let mut last = Timestamp::default();
    for now in [5_000_000_000, 7_000_000_000, 1_000_000_000, 6_000_000_000, 7_000_000_001] {
        CLOCK.store(now, Ordering::Relaxed);
        let time = put(&pool, "{}").time;
        assert!(time >= last);
        last = time;
    }
    assert_eq!(last.as_nanos(), 7_000_000_001);
    assert_eq!(pool.seq_at(Timestamp::from_nanos(7_000_000_000)).unwrap().get(), 2);
    assert_eq!(pool.seq_at(Timestamp::from_nanos(0)).unwrap().get(), 1);
    assert_eq!(pool.seq_at(Timestamp::from_nanos(8_000_000_000)).unwrap().get(), 6);
}

#[test]
fn every_byte_of_the_log_is_found_in_its_line() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    let mut lines = Vec::new();
    let mut position = 0;
    for n in 0..300 {
        let tags = if n % 3 == 0 { vec!["a\"b", "täg"] } else { vec![] };
        let r = pool.append(format!("{{\"n\":{n}}}").as_bytes(), &tags, Durability::Fast).unwrap();
        let message = pool.get(r.seq).unwrap();
        assert_eq!(message.line_len() as usize, message.to_json().len() + 1);
        assert_eq!(message.log_before(), position);
        lines.push((position, message.line_len(), r.seq));
        position += message.line_len();
    }
    let range = pool.log_range().unwrap();
    assert_eq!(range.end, position);
    for (start, len, seq) in lines {
        for at in [start, start + len / 2, start + len - 1] {
            if at < range.start {
                assert_eq!(pool.log_seek(at).unwrap_err().kind(), ErrorKind::NotFound);
            } else {
                assert_eq!(pool.log_seek(at).unwrap(), (seq, start));
            }
        }
    }
    assert!(pool.log_seek(position).is_err());
}

#[test]
fn deleting_tells_every_open_handle_and_wakes_the_sleeping() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    let other = Pool::open(&dir.path("p")).unwrap();
    let reader = Pool::open_read_only(&dir.path("p")).unwrap();
    let sleeper = std::thread::spawn(move || reader.wait(Seq::FIRST, None));
    std::thread::sleep(Duration::from_millis(20));
    Pool::delete(&dir.path("p")).unwrap();
    assert!(!dir.path("p").exists());
    for handle in [&pool, &other] {
        let append = handle.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err();
        let get = handle.get(Seq::FIRST).unwrap_err();
        let bounds = handle.bounds().unwrap_err();
        for error in [append, get, bounds] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!(error.path(), Some(&*dir.path("p")));
        }
    }
    assert_eq!(sleeper.join().unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Pool::delete(&dir.path("p")).unwrap_err().kind(), ErrorKind::NotFound);
    // The name is free again, and the old handles stay with the old pool.
    let new = dir.pool("p", 64 * KIB);
    put(&new, "{}");
    assert!(pool.append(b"{}", NO_TAGS, Durability::Fast).is_err());
}

#[test]
fn deleting_removes_damaged_pools_and_never_another_file() {
    let dir = Dir::new();
    let text = dir.tmp.path().join("notes.txt");
    std::fs::write(&text, "my notes").unwrap();
    assert_eq!(Pool::delete(&text).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(Pool::delete(dir.tmp.path()).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(std::fs::read_to_string(&text).unwrap(), "my notes");
    std::fs::write(dir.path("damaged"), "not a pool any more").unwrap();
    Pool::delete(&dir.path("damaged")).unwrap();
    let other_name = dir.tmp.path().join("pool.old");
    Pool::create(&other_name, 8192).unwrap().file().set_len(5000).unwrap();
    Pool::delete(&other_name).unwrap();
    assert_eq!(std::fs::read_dir(dir.tmp.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_was_just_removed_is_noticed_within_a_moment() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    std::fs::remove_file(dir.path("p")).unwrap();
    let error = loop {
        match pool.append(b"{}", NO_TAGS, Durability::Fast) {
            Ok(_) => std::thread::sleep(Duration::from_millis(5)),
            Err(e) => break e,
        }
    };
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_reader_needs_only_read_permission() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{\"a\":1}");
    std::fs::set_permissions(dir.path("p"), std::fs::Permissions::from_mode(0o444)).unwrap();
    let reader = Pool::open_read_only(&dir.path("p")).unwrap();
    assert_eq!(reader.get(Seq::FIRST).unwrap().data(), "{\"a\":1}");
    let error = reader.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert_eq!(reader.flush().unwrap_err().kind(), ErrorKind::Permission);
    put(&pool, "{\"b\":1}");
    assert!(reader.wait(Seq::FIRST, Some(Duration::from_secs(10))).unwrap());
}

#[test]
fn create_never_replaces_and_names_what_is_wrong() {
    let dir = Dir::new();
    dir.pool("p", 64 * KIB);
    let again = Pool::create(&dir.path("p"), 64 * KIB).unwrap_err();
    assert_eq!((again.kind(), again.path()), (ErrorKind::AlreadyExists, Some(&*dir.path("p"))));
    let small = Pool::create(&dir.path("q"), 100).unwrap_err();
    assert_eq!(small.kind(), ErrorKind::Usage);
    assert!(small.to_string().contains("8192"));
    let nowhere = Pool::create(&dir.tmp.path().join("no/such/q"), 64 * KIB).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    let huge = Pool::create(&dir.path("q"), 1 << 42).unwrap_err();
    assert!(matches!(huge.kind(), ErrorKind::Io | ErrorKind::Usage), "{huge}");
    assert_eq!(std::fs::read_dir(dir.tmp.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_client_resolves_names_and_refuses_what_can_not_be_one() {
    let dir = Dir::new();
    let client = Client::new(dir.tmp.path().join("a/b"));
    assert!(client.names().unwrap().is_empty());
    client.create("docs", 8192).unwrap();
    client.create("notes.plasmite", 8192).unwrap();
    let absolute = dir.tmp.path().join("elsewhere.x");
    client.create(absolute.to_str().unwrap(), 8192).unwrap();
    let names: Vec<_> = client.names().unwrap().into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["docs", "notes"]);
    let long = "x".repeat(300);
    for bad in [
        "",
        ".",
        "..",
        "a\nb",
        "a\0b",
        "http://host/pool",
        long.as_str(),
        ".plasmite",
        ".hidden",
        "/",
        "docs/",
    ] {
        assert_eq!(client.open(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad:?}");
    }
    assert_eq!(client.open("missing").unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(dir.tmp.path().join("file"), "").unwrap();
    let below_file = Client::new(dir.tmp.path().join("file/pools"));
    assert_eq!(below_file.create("p", 8192).unwrap_err().kind(), ErrorKind::Usage);
    client.rename("docs", "letters").unwrap();
    assert_eq!(client.rename("letters", "notes").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(client.rename("docs", "x").unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(client.dir().join("junk.plasmite"), b"junk").unwrap();
    let list = client.list().unwrap();
    let ok: Vec<_> = list.iter().map(|l| (l.name.as_str(), l.info.is_ok())).collect();
    assert_eq!(ok, [("junk", false), ("letters", true), ("notes", true)]);
    client.delete("junk").unwrap();
    client.delete("letters").unwrap();
}

#[test]
fn releasing_pages_frees_memory_and_loses_nothing() {
    let dir = Dir::new();
    dir.pool("p", 8 << 20);
    let pool = Pool::open(&dir.path("p")).unwrap();
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    (0..7).for_each(|_| {
        put(&pool, &text);
    });
    let resident = || {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let path = dir.path("p").to_str().unwrap().to_owned();
        let ours = smaps.lines().skip_while(|l| !l.ends_with(&path));
        let rss = ours.skip(1).find_map(|l| l.strip_prefix("Rss:")).unwrap();
        rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    assert!(resident() > 4096);
    pool.release_pages();
    assert!(resident() < 100, "{} KiB", resident());
    assert_eq!(pool.get(Seq::new(7)).unwrap().data(), text);
    put(&pool, "{}");
}

#[test]
fn info_is_one_json_object() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let v: serde_json::Value = serde_json::from_str(&pool.info().unwrap().to_json()).unwrap();
    assert_eq!(v["messages"], 0);
    assert!(v["oldest_seq"].is_null());
    put(&pool, "{}");
    let v: serde_json::Value = serde_json::from_str(&pool.info().unwrap().to_json()).unwrap();
    assert_eq!((v["messages"].as_u64(), v["newest_seq"].as_u64()), (Some(1), Some(1)));
    assert_eq!(v["size_bytes"], 64 * KIB);
}

#[test]
fn a_small_message_costs_at_most_48_bytes() {
    let dir = Dir::new();
    let pool = dir.pool("p", 1 << 20);
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(92));
    assert_eq!(text.len(), 100);
    while pool.bounds().unwrap().oldest == Seq::FIRST {
        put(&pool, &text);
    }
    let count = pool.bounds().unwrap().count();
    let each = (1 << 20) as f64 / count as f64 - 100.0;
    assert!(each <= 48.0, "{each}");
}

#[test]
fn envelopes_of_appended_messages_are_what_readers_get() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    for tags in [vec![], vec!["a"], vec!["q\"", "\\", "\n", "é\u{1F600}"]] {
        let envelopes = Envelopes::new(&tags);
        let document = Document::parse(br#" {"n": 1} "#).unwrap();
        for _ in 0..12 {
            let receipt = pool.append_document(&document, &tags, Durability::Fast).unwrap();
            let mut text = String::new();
            envelopes.write_json(&mut text, receipt, &document);
            assert_eq!(text, pool.get(receipt.seq).unwrap().to_json());
            assert_eq!(envelopes.line_len(receipt, &document), text.len() as u64 + 1);
        }
    }
}
