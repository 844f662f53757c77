//! Messages as lines in a stream of bytes.

use std::io::Read;

const BLOCK_BYTES: usize = 64 << 10;

/// Takes lines out of a stream, which is read in blocks.
pub(crate) struct Lines<R> {
    stream: R,
    /// The beginning of a line whose end has not come yet, at the beginning; room for a block behind it.
    bytes: Vec<u8>,
    kept: usize,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, bytes: Vec::new(), kept: 0 }
    }

    /// Reads once, and hands over the lines that are whole now. How many bytes came.
    pub(crate) fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> usize {
        self.bytes.resize(self.kept + BLOCK_BYTES, 0);
        let n = self.stream.read(&mut self.bytes[self.kept..]).unwrap();
        let end = self.kept + n;
        let mut start = 0;
        let mut look = self.kept;
        while let Some(len) = memchr::memchr(b'\n', &self.bytes[look..end]) {
            take(&self.bytes[start..look + len]);
            look += len + 1;
            start = look;
        }
        self.bytes.copy_within(start..end, 0);
        self.kept = end - start;
        n
    }
}

/// Writes messages as lines: `buffer` is used again.
pub(crate) fn joined<'a>(messages: &[&[u8]], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    for message in messages {
        buffer.extend_from_slice(message);
        buffer.push(b'\n');
    }
    buffer
}
