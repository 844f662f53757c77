//! Endless texts, of which the last part is retained, as files with true offsets.
//!
//! Every line ever added has its place, in bytes since the text began. A file shows a stretch of it: its inode has a fixed
//! base (byte 0 of the file) as long as somebody has it open, so its size never shrinks under a reader. A reader at an
//! offset whose bytes are gone goes on with the oldest retained line: from there on, its own offsets lead elsewhere
//! ([`TextReader::jumps`]). The line in which its last read ended is kept, so that it gets the rest of it even when the text
//! has dropped it.
//!
//! Who reads backwards, block by block (`tac`, `tail -n`), joins what it gets to what it had: it finds blanks where bytes are gone,
//! and the line in which the later block began is kept for it.

use std::ops::Range;

use plasmite_core::Result;

use super::{Chunk, buffers};

/// More jumps than this are remembered only for the newest offsets.
const MAX_JUMPS: usize = 1024;
/// The most bytes of one answer.
const MAX_CHUNK_BYTES: usize = 1 << 20;
/// How often a first read that was overtaken begins anew. Each time it leaves out twice as much of what is about to go, half of all in the end.
const MAX_RESTARTS: u32 = 12;

/// Takes lines, each with its place, until it returns false.
pub(crate) type Lines<'a> = &'a mut dyn FnMut(u64, &[u8]) -> bool;

/// Lines that come at the end and go at the beginning.
pub(crate) trait Text: Send + Sync {
    /// Where the retained lines begin and end.
    fn range(&self) -> Result<Range<u64>>;

    /// Gives `take` the retained lines, each with its place, from the one that holds byte `at` on, until it returns false.
    /// `take` is not called when no retained line holds the byte.
    fn lines(&self, at: u64, take: Lines<'_>) -> Result<()>;
}

/// One open file of a text.
#[derive(Debug)]
pub(crate) struct TextReader {
    /// From file offset `.0` on, the file shows the text from `.1` on. Sorted; never empty.
    jumps: Vec<(u64, u64)>,
    /// The line in which the last read ended, and its place.
    cut: Option<(u64, Vec<u8>)>,
    /// Where the last read began.
    begun: Option<Begin>,
}

/// The beginning of a read.
#[derive(Debug)]
struct Begin {
    /// In the file.
    offset: u64,
    /// In the text.
    place: u64,
    /// The line that holds the byte before it and goes on, and its place.
    line: Option<(u64, Vec<u8>)>,
}

impl TextReader {
    /// A reader of the file with this base.
    pub(crate) fn new(base: u64) -> Self {
        Self { jumps: vec![(0, base)], cut: None, begun: None }
    }

    /// At most `size` bytes at `offset`; empty at the end of the file.
    pub(crate) fn read(&mut self, text: &dyn Text, offset: u64, size: usize) -> Result<Chunk> {
        let size = size.min(MAX_CHUNK_BYTES);
        match self.begun.take() {
            Some(begun) if size > 0 && offset.checked_add(size as u64) == Some(begun.offset) => {
                self.read_back(text, begun, size)
            }
            begun => {
                let chunk = self.read_on(text, offset, size, begun.is_none())?;
                if chunk.as_slice().is_empty() {
                    self.begun = begun;
                }
                Ok(chunk)
            }
        }
    }

    /// `first`: nothing was read yet, so that what is gone by the time of the answer can be left out of it.
    fn read_on(&mut self, text: &dyn Text, offset: u64, size: usize, first: bool) -> Result<Chunk> {
        let mut out = buffers::take();
        let mut at = self.position(offset);
        let mut begun = Begin { offset, place: at, line: None };
        let mut restarts = 0;
        if let Some((start, line)) = &self.cut
            && (*start..start + line.len() as u64).contains(&at)
        {
            let rest = &line[(at - start) as usize..];
            out.extend_from_slice(&rest[..rest.len().min(size)]);
            begun.line = (*start < at).then(|| (*start, line.clone()));
            at += out.len() as u64;
        }
        while out.len() < size {
            let before = out.len();
            text.lines(at, &mut |start, line| {
                if start > at {
                    return false; // What is between is gone.
                }
                let rest = &line[(at.saturating_sub(start) as usize).min(line.len())..];
                let taken = rest.len().min(size - out.len());
                if out.is_empty() && start < at {
                    begun.line = Some((start, line.to_vec()));
                }
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
                if first && restarts > MAX_RESTARTS && !out.is_empty() {
                    // This much was there at once. The next read goes on behind the gap.
                    break;
                }
                // It is gone: on with the oldest line.
                at = oldest;
                if first && restarts <= MAX_RESTARTS {
                    out.clear();
                    if restarts > 0 {
                        at = line_after(text, MAX_RESTARTS + 1 - restarts)?;
                    }
                    restarts += 1;
                }
                if out.is_empty() {
                    begun = Begin { offset, place: at, line: None };
                }
                self.jump(offset + out.len() as u64, at);
            }
        }
        self.begun = Some(begun);
        Ok(Chunk::new(out))
    }

    /// The `size` bytes before the beginning of the last read; blanks for those that are gone.
    fn read_back(&mut self, text: &dyn Text, begun: Begin, size: usize) -> Result<Chunk> {
        let end = begun.place;
        let place = end.saturating_sub(size as u64);
        let mut out = vec![b' '; size];
        let mut line_before = None;
        // What was found is without gaps from `from` to `at`.
        let (mut from, mut at) = (place, place);
        let known = begun.line.as_ref().map_or(end, |(start, _)| *start);
        while at < known {
            let oldest = text.range()?.start;
            if at < oldest {
                (from, at) = (oldest.min(known), oldest.min(known));
                line_before = None;
                continue;
            }
            let before = at;
            text.lines(at, &mut |start, line| {
                if start > at {
                    return false;
                }
                if start < place {
                    line_before = Some((start, line.to_vec()));
                }
                put(&mut out, place, start, line);
                at = start + line.len() as u64;
                at < known
            })?;
            if at == before && text.range()?.start <= at {
                break;
            }
        }
        if let Some((start, line)) = &begun.line {
            put(&mut out, place, *start, line);
            if *start < place {
                line_before = begun.line.clone();
            }
        }
        let gone = usize::try_from(from.saturating_sub(place)).unwrap_or(size).min(size);
        out[..gone].fill(b' ');
        if let Some(last) = gone.checked_sub(1) {
            out[last] = b'\n';
        }
        self.begun = Some(Begin { offset: begun.offset - size as u64, place, line: line_before });
        self.cut = begun.line;
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

/// Where a line starts behind a part of what is retained: one half, one quarter, and so on.
fn line_after(text: &dyn Text, halvings: u32) -> Result<u64> {
    let range = text.range()?;
    let place = range.start + ((range.end - range.start) >> halvings);
    let mut found = None;
    text.lines(place, &mut |start, line| {
        found = Some(if start < place { start + line.len() as u64 } else { start });
        false
    })?;
    Ok(found.unwrap_or(range.start))
}

/// Copies the part of a line that lies in `out`, which begins at `place`.
fn put(out: &mut [u8], place: u64, start: u64, line: &[u8]) {
    let skipped = usize::try_from(place.saturating_sub(start)).unwrap_or(usize::MAX);
    let Some(line) = line.get(skipped..) else { return };
    let at = usize::try_from(start.saturating_sub(place)).unwrap_or(usize::MAX);
    let Some(out) = out.get_mut(at..) else { return };
    let len = line.len().min(out.len());
    out[..len].copy_from_slice(&line[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// Lines of ten bytes, `line 0007\n`, up to the newest.
    struct Lines {
        oldest: AtomicU64,
        newest: u64,
        /// How many go during each search, and while one is taken.
        speed: u64,
    }

    fn line(n: u64) -> String {
        format!("line {n:04}\n")
    }

    impl Text for Lines {
        fn range(&self) -> Result<Range<u64>> {
            Ok(self.oldest.load(Relaxed) * 10..(self.newest + 1) * 10)
        }

        fn lines(&self, at: u64, take: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
            let go = || {
                let oldest = self.oldest.load(Relaxed) + self.speed;
                self.oldest.store(oldest.min(self.newest), Relaxed);
            };
            go();
            let retained = |n: &u64| (self.oldest.load(Relaxed)..=self.newest).contains(n);
            for n in (at / 10..).take_while(retained) {
                let goes_on = take(n * 10, line(n).as_bytes());
                go();
                if !goes_on {
                    break;
                }
            }
            Ok(())
        }
    }

    fn lines(oldest: u64, newest: u64, speed: u64) -> Lines {
        Lines { oldest: AtomicU64::new(oldest), newest, speed }
    }

    #[track_caller]
    fn read(reader: &mut TextReader, text: &Lines, offset: u64, size: usize) -> String {
        let chunk = reader.read(text, offset, size).expect("a chunk");
        String::from_utf8(chunk.as_slice().to_vec()).expect("text")
    }

    #[test]
    fn a_first_read_that_is_overtaken_begins_anew_with_the_oldest_line() {
        let text = lines(0, 100, 1);
        let mut reader = TextReader::new(0);
        let first = read(&mut reader, &text, 0, 10_000);
        let all: Vec<_> = first.lines().map(|l| l[5..].parse::<u64>().expect("a number")).collect();
        assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 1), "{all:?}");
        assert!(all.len() > 40 && all.last() == Some(&100), "{all:?}");
    }

    #[test]
    fn who_reads_backwards_gets_blanks_for_what_is_gone_and_no_torn_line() {
        for oldest in 0..=100 {
            let text = lines(0, 100, 0);
            let mut reader = TextReader::new(0);
            let mut whole = read(&mut reader, &text, 986, 24);
            text.oldest.store(oldest, Relaxed);
            for block in (0..58).rev() {
                whole.insert_str(0, &read(&mut reader, &text, block * 17, 17));
            }
            let got: Vec<_> = whole.lines().filter(|l| !l.trim().is_empty()).collect();
            let expected: Vec<_> = (oldest.min(98)..=100).map(line).collect();
            assert_eq!(got.join("\n") + "\n", expected.concat(), "{oldest}");
        }
    }

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
