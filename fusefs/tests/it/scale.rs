use crate::fixture::{Fixture, append};

/// SEMANTICS: A listing shows the messages and nothing else
#[test]
fn a_hundred_thousand_messages_are_listed_completely() {
    let f = Fixture::sized(32 << 20);
    let pool = f.pool();
    for i in 0..100_000 {
        append(&pool, &format!("{{\"i\":{i}}}"));
    }
    assert_eq!(pool.bounds().unwrap().count(), 100_000);
    let writer = {
        let pool = pool.clone();
        std::thread::spawn(move || (0..2000).for_each(|i| append(&pool, &format!("{{\"i\":{i}}}"))))
    };
    let count: u64 = f.sh("ls -U docs | wc -l").ok().trim().parse().unwrap();
    assert!((100_000..=102_000).contains(&count), "{count}");
    writer.join().unwrap();
    assert_eq!(f.sh("ls -lU docs | tail -n +2 | wc -l").ok(), "102000\n");
    assert_eq!(f.sh("ls -U docs | head -n 102000 | tail -n 1").ok(), "102000\n");
}

/// SEMANTICS: A listing shows the messages and nothing else
#[test]
fn listings_are_whole_while_messages_come_and_go() {
    let f = Fixture::sized(256 << 10);
    let pool = f.pool();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                append(&pool, "{\"some\":\"text\"}");
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        })
    };
    for _ in 0..30 {
        let names = f.sh("ls -U docs; ls -lU docs > /dev/null 2>&1").out;
        let seqs: Vec<u64> = names.lines().map(|l| l.parse().unwrap()).collect();
        assert!(seqs.windows(2).all(|w| w[0] < w[1]));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}
