//! Endless texts, of which the last part is retained, as files with true offsets.
//!
//! Every line ever added has its place, in bytes since the text began. A file shows a stretch of it: its inode has a fixed
//! base (byte 0 of the file) as long as somebody has it open, so its size never shrinks under a reader. A reader at an
//! offset whose bytes are gone goes on with the oldest retained line: from there on, its own offsets lead elsewhere
//! ([`TextReader::jumps`]). The line in which its last read ended is kept, so that it gets the rest of it even when the text
//! has dropped it.

use std::ops::Range;

use plasmite_core::Result;

use super::Chunk;

/// More jumps than this are remembered only for the newest offsets.
const MAX_JUMPS: usize = 1024;
/// The most bytes of one answer.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// Lines that come at the end and go at the beginning.
pub(crate) trait Text: Send + Sync {
    /// Where the retained lines begin and end.
    fn range(&self) -> Result<Range<u64>>;

    /// Gives `take` the retained lines, each with its place, from the one that holds byte `at` on, until it returns false.
    /// `take` is not called when no retained line holds the byte.
    fn lines(&self, at: u64, take: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()>;
}

/// One open file of a text.
#[derive(Debug)]
pub(crate) struct TextReader {
    /// From file offset `.0` on, the file shows the text from `.1` on. Sorted; never empty.
    jumps: Vec<(u64, u64)>,
    /// The line in which the last read ended, and its place.
    cut: Option<(u64, Vec<u8>)>,
}

impl TextReader {
    /// A reader of the file with this base.
    pub(crate) fn new(base: u64) -> Self {
        Self { jumps: vec![(0, base)], cut: None }
    }

    /// At most `size` bytes at `offset`; empty at the end of the file.
    pub(crate) fn read(&mut self, text: &dyn Text, offset: u64, size: usize) -> Result<Chunk> {
        let size = size.min(MAX_CHUNK_BYTES);
        let mut out = Vec::new();
        let mut at = self.position(offset);
        if let Some((start, line)) = &self.cut
            && (*start..start + line.len() as u64).contains(&at)
        {
            let rest = &line[(at - start) as usize..];
            out.extend_from_slice(&rest[..rest.len().min(size)]);
            at += out.len() as u64;
        }
        while out.len() < size {
            let before = out.len();
            text.lines(at, &mut |start, line| {
                let rest = &line[(at.saturating_sub(start) as usize).min(line.len())..];
                let taken = rest.len().min(size - out.len());
                out.extend_from_slice(&rest[..taken]);
                at = start + (line.len() - rest.len() + taken) as u64;
                self.cut = (taken < rest.len()).then(|| (start, line.to_vec()));
                out.len() < size
            })?;
            if out.len() == before {
                let oldest = text.range()?.start;
                if at >= oldest {
                    break;
                }
                // It is gone: on with the oldest line.
                self.jump(offset + out.len() as u64, oldest);
                at = oldest;
            }
        }
        Ok(Chunk::new(out))
    }

    /// Where in the text the file's byte `offset` is.
    fn position(&self, offset: u64) -> u64 {
        let at = self.jumps.partition_point(|(file, _)| *file <= offset);
        let (file, text) = self.jumps[at.saturating_sub(1)];
        text.saturating_add(offset.saturating_sub(file))
    }

    /// From now on the file's byte `offset` is the text's byte `place`.
    fn jump(&mut self, offset: u64, place: u64) {
        self.jumps.retain(|(file, _)| *file < offset);
        if self.jumps.len() >= MAX_JUMPS {
            self.jumps.drain(..MAX_JUMPS / 2);
        }
        self.jumps.push((offset, place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_after_a_jump_lead_on_from_there() {
        let mut reader = TextReader::new(1000);
        assert_eq!(reader.position(0), 1000);
        assert_eq!(reader.position(500), 1500);
        reader.jump(500, 9000);
        assert_eq!(reader.position(499), 1499);
        assert_eq!(reader.position(500), 9000);
        assert_eq!(reader.position(510), 9010);
        reader.jump(200, 9500);
        assert_eq!(reader.position(510), 9810);
    }

    #[test]
    fn very_many_jumps_are_bounded() {
        let mut reader = TextReader::new(0);
        for i in 1..10_000 {
            reader.jump(i, i * 10);
        }
        assert!(reader.jumps.len() <= MAX_JUMPS);
        assert_eq!(reader.position(9_999), 99_990);
    }
}
