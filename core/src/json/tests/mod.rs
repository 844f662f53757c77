#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch;
mod check;
mod document;
mod properties;
mod reference;
mod stream;

use std::fs;
use std::path::PathBuf;

use super::{DocumentStream, Failure};
use crate::error::Error;

/// A path in the test data that lies beside the project. None, with a message, when it isn't there.
fn shared_data(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}

/// The suite's texts by name; those that aren't objects are wrapped into one.
fn suite() -> Vec<(String, Vec<u8>)> {
    let Some(folder) = shared_data("json-test-suite") else { return Vec::new() };
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".json") {
            let text = fs::read(path).unwrap();
            let is_object = text.trim_ascii_start().starts_with(b"{");
            texts.push((name, if is_object { text } else { wrap(&text) }));
        }
    }
    assert!(texts.len() > 300);
    texts
}

fn wrap(text: &[u8]) -> Vec<u8> {
    [b"{\"v\":", text, b"}"].concat()
}

fn real_documents() -> Vec<String> {
    let Some(path) = shared_data("documents.jsonl") else { return Vec::new() };
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// `"a":` nested so that the deepest object or array is at level `depth`.
fn nested(depth: usize) -> String {
    let inner = depth - 1;
    format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
}

/// What a stream makes of pieces: the documents, and the failure of `next` or `finish` if there is one.
fn run<'a>(
    max_bytes: u64,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, Option<(Failure, Error)>) {
    let mut stream = DocumentStream::new(max_bytes);
    let mut documents = Vec::new();
    for piece in pieces {
        stream.push(piece);
        loop {
            match stream.next() {
                Ok(Some(document)) => documents.push(document.as_str().to_owned()),
                Ok(None) => break,
                Err(error) => {
                    return (documents, Some((stream.failure().unwrap(), error)));
                }
            }
        }
    }
    let end = stream.finish();
    (documents, end.err().map(|error| (stream.failure().unwrap(), error)))
}

/// What a stream makes of one text given byte by byte.
fn run_bytes(text: &[u8]) -> (Vec<String>, Option<(Failure, Error)>) {
    run(u64::MAX, text.chunks(1))
}
