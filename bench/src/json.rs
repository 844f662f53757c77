//! Rows of the door for JSON: a MiB of documents, each different, so that the CPU can't learn them by heart.

use std::hint::black_box;
use std::time::Instant;

use plasmite_core::json::Document;
use serde::de::IgnoredAny;

use crate::limits::each;
use crate::rows::Bench;

const BYTES: usize = 1 << 20;

pub(crate) fn rows(bench: &mut Bench) {
    let passes = bench.count / 2000;
    kind(bench, passes, records, &DENSE);
    kind(bench, passes, |random| spaced(&records(random)), &SPACED);
    kind(bench, passes, numbers, &NUMBERS);
    kind(bench, passes, prose, &STRINGS);
}

/// The names of the rows, and the least GB/s that is aimed at.
struct Names {
    peer: &'static str,
    ours: &'static str,
    aim: Option<f64>,
}

const DENSE: Names = Names {
    peer: "serde_json validates 1 MiB, dense",
    ours: "validate + minify 1 MiB, dense",
    aim: Some(1.0),
};
const SPACED: Names = Names {
    peer: "serde_json validates 1 MiB, spaced",
    ours: "validate + minify 1 MiB, spaced",
    aim: None,
};
const NUMBERS: Names = Names {
    peer: "serde_json validates 1 MiB, numbers",
    ours: "validate + minify 1 MiB, numbers",
    aim: Some(1.0),
};
const STRINGS: Names = Names {
    peer: "serde_json validates 1 MiB, strings",
    ours: "validate + minify 1 MiB, strings",
    aim: Some(5.0),
};

fn kind(bench: &mut Bench, passes: u64, one: impl Fn(&mut Random) -> String, names: &Names) {
    let mut random = Random(88_172_645_463_325_252);
    let (mut texts, mut bytes) = (Vec::new(), 0);
    while bytes < BYTES {
        let text = one(&mut random);
        bytes += text.len();
        texts.push(text);
    }
    let mut note = |name, limit, aim, check: &dyn Fn(&[u8])| {
        let start = Instant::now();
        for _ in 0..passes {
            texts.iter().for_each(|text| check(black_box(text.as_bytes())));
        }
        let ns = each(start, passes) * BYTES as f64 / bytes as f64;
        bench.note(name, ns, limit, aim);
    };
    note(names.peer, None, None, &|text| {
        let text = std::str::from_utf8(text).unwrap();
        black_box(serde_json::from_str::<IgnoredAny>(text).unwrap());
    });
    let aim = names.aim.map(|gb_per_s| BYTES as f64 / gb_per_s);
    note(names.ours, Some((names.peer, 1.0)), aim, &|text| {
        black_box(Document::parse(text).unwrap());
    });
}

/// The same numbers each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn text(&mut self, len: u64) -> String {
        let letters = b"eeetaoinshrdlu ";
        (0..len).map(|_| char::from(letters[self.below(letters.len() as u64) as usize])).collect()
    }
}

/// What an application logs or measures: short keys, values of every sort.
fn records(random: &mut Random) -> String {
    let (name_len, city_len) = (3 + random.below(12), 2 + random.below(20));
    let (name, city) = (random.text(name_len), random.text(city_len));
    let ok = ["true", "false", "null"][random.below(3) as usize];
    let digits = random.below(9) as u32;
    let (id, price) = (random.below(10u64.pow(digits + 1)), random.below(100_000) as f64 / 100.0);
    let tags = (0..random.below(4)).map(|_| "\"new\"").collect::<Vec<_>>().join(",");
    let (x, y) = (random.below(200) as i64 - 100, random.below(2000) as i64 - 1000);
    format!(
        r#"{{"id":{id},"name":"{name}","ok":{ok},"price":{price},"tags":[{tags}],"at":{{"x":{x},"y":{y},"city":"{city}"}}}}"#
    )
}

/// The same as most libraries write it.
fn spaced(text: &str) -> String {
    text.replace(':', ": ").replace(',', ", ")
}

/// A series of measurements.
fn numbers(random: &mut Random) -> String {
    let values: Vec<_> = (0..200)
        .map(|_| {
            let digits = random.below(6) as u32;
            random.below(10u64.pow(digits + 1)).to_string()
        })
        .collect();
    format!(r#"{{"values":[{}]}}"#, values.join(","))
}

/// Posts, mails, chapters.
fn prose(random: &mut Random) -> String {
    let (title, body) = (20 + random.below(60), 200 + random.below(2000));
    format!(r#"{{"title":"{}","body":"{}"}}"#, random.text(title), random.text(body))
}
