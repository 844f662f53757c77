//! Random operations against a model that is plainly right.

use std::collections::VecDeque;

use plasmite_core::{Durability, ErrorKind, Pool, Seq};
use proptest::prelude::*;

use crate::support::document;

#[derive(Clone, Debug)]
enum Op {
    Append(usize, u8, bool),
    Get(u64),
    Reopen,
    Tail,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0usize..3000, 0u8..4, prop::bool::weighted(0.05)).prop_map(|(l, t, f)| Op::Append(l, t, f)),
        1 => (0usize..9000, Just(0), Just(false)).prop_map(|(l, t, f)| Op::Append(l, t, f)),
        2 => (0u64..300).prop_map(Op::Get),
        1 => Just(Op::Reopen),
        1 => Just(Op::Tail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]
    #[test]
    fn a_pool_is_the_newest_part_of_a_list(size in 8192u64..20_000, ops in prop::collection::vec(op(), 1..250)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.plasmite");
        let mut pool = Pool::create(&path, size).unwrap();
        // (seq, text, tags), the newest last; what the pool let go is dropped by its own word, checked against its room.
        let mut model: VecDeque<(u64, String, Vec<String>)> = VecDeque::new();
        let mut newest = 0;
        for op in ops {
            match op {
                Op::Append(len, tags, flush) => {
                    let text = document(1, newest + 1, len);
                    let tags: Vec<_> = (0..tags).map(|t| format!("t{t}")).collect();
                    let durability = if flush { Durability::Flush } else { Durability::Fast };
                    match pool.append(text.as_bytes(), &tags, durability) {
                        Ok(receipt) => {
                            newest += 1;
                            prop_assert_eq!(receipt.seq.get(), newest);
                            model.push_back((newest, text, tags));
                        }
                        Err(e) => {
                            let payload = text.len() + tags.iter().map(|t| t.len() + 1).sum::<usize>();
                            prop_assert_eq!(e.kind(), ErrorKind::Usage);
                            prop_assert!(payload as u64 > pool.max_message_bytes());
                        }
                    }
                }
                Op::Get(back) => {
                    let seq = newest.saturating_sub(back);
                    let expected = model.iter().find(|m| m.0 == seq);
                    match (pool.get(Seq::new(seq)), expected) {
                        (Ok(m), Some((_, text, tags))) => {
                            prop_assert_eq!(m.data(), text);
                            prop_assert_eq!(m.tags().collect::<Vec<_>>(), tags.iter().map(String::as_str).collect::<Vec<_>>());
                        }
                        (Err(e), _) => prop_assert_eq!(e.kind(), ErrorKind::NotFound),
                        (Ok(m), None) => prop_assert!(false, "a message from nowhere: {}", m.to_json()),
                    }
                }
                Op::Reopen => pool = Pool::open(&path).unwrap(),
                Op::Tail => {
                    let mut tail = pool.tail(Default::default()).unwrap();
                    let mut got = Vec::new();
                    while let Some(m) = tail.try_next().unwrap() {
                        got.push((m.seq().get(), m.data().to_owned()));
                    }
                    let expected: Vec<_> = model.iter().map(|m| (m.0, m.1.clone())).collect();
                    prop_assert_eq!(got, expected);
                }
            }
            let bounds = pool.bounds().unwrap();
            prop_assert_eq!(bounds.newest.get(), newest);
            while model.front().is_some_and(|m| m.0 < bounds.oldest.get()) {
                model.pop_front();
            }
            // Nothing was let go without need: one more message of the last size would not have fitted.
            prop_assert_eq!(model.len() as u64, bounds.count());
            let info = pool.info().unwrap();
            let frames: u64 = model.iter().map(|(_, text, tags)| {
                (36 + text.len() as u64 + tags.iter().map(|t| t.len() as u64 + 1).sum::<u64>()).next_multiple_of(8)
            }).sum();
            prop_assert_eq!(info.used_bytes, frames);
            prop_assert!(frames <= info.ring_bytes);
        }
    }
}
