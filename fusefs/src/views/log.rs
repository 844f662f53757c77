//! `log`: everything that is retained, as one file with true offsets.
//!
//! The engine numbers the bytes of all JSON lines ever appended; a log file shows a stretch of them. The
//! inode has a fixed base (byte 0 of the file) as long as somebody has it open, so its size never
//! shrinks under a reader. A reader at an offset whose bytes were overwritten goes on with the oldest
//! retained line: from there on, its own offsets lead elsewhere ([`LogReader::jumps`]). The line in which its
//! last read ended is kept, so that it gets the rest of it even when the pool has dropped it.

use plasmite_core::{ErrorKind, Message, Pool, Result, Seq};

use super::Chunk;

/// More jumps than this are remembered only for the newest offsets.
const MAX_JUMPS: usize = 1024;
/// The most bytes of one answer.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// The size of a log file whose byte 0 is byte `base` of the log.
pub(crate) fn size_at(pool: &Pool, base: u64) -> Result<u64> {
    Ok(pool.log_range()?.end.saturating_sub(base))
}

/// One open `log`.
#[derive(Debug)]
pub(crate) struct LogReader {
    /// From file offset `.0` on, the file shows the log from `.1` on. Sorted; never empty.
    jumps: Vec<(u64, u64)>,
    /// The line in which the last read ended, and where in the log it starts.
    cut: Option<(u64, Vec<u8>)>,
}

impl LogReader {
    /// A reader of the log file with this base.
    pub(crate) fn new(base: u64) -> Self {
        Self { jumps: vec![(0, base)], cut: None }
    }

    /// At most `size` bytes at `offset`; empty at the end of the file.
    pub(crate) fn read(&mut self, pool: &Pool, offset: u64, size: usize) -> Result<Chunk> {
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
        if out.len() < size {
            self.read_lines(pool, offset, at, size, &mut out)?;
        }
        Ok(Chunk::new(out))
    }

    /// Where in the log the file's byte `offset` is.
    fn position(&self, offset: u64) -> u64 {
        let at = self.jumps.partition_point(|(file, _)| *file <= offset);
        let (file, log) = self.jumps[at.saturating_sub(1)];
        log.saturating_add(offset.saturating_sub(file))
    }

    /// From now on the file's byte `offset` is the log's byte `log`.
    fn jump(&mut self, offset: u64, log: u64) {
        self.jumps.retain(|(file, _)| *file < offset);
        if self.jumps.len() >= MAX_JUMPS {
            self.jumps.drain(..MAX_JUMPS / 2);
        }
        self.jumps.push((offset, log));
    }

    /// Fills `out`, which already holds the bytes from `offset` on, up to `size` with the lines at `at`.
    fn read_lines(
        &mut self,
        pool: &Pool,
        offset: u64,
        mut at: u64,
        size: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mut message = Message::default();
        let mut line = String::new();
        while out.len() < size {
            let Some((mut seq, mut start)) = seek(pool, at)? else {
                let range = pool.log_range()?;
                if at >= range.start {
                    return Ok(());
                }
                // Overwritten: on with the oldest line.
                self.jump(offset + out.len() as u64, range.start);
                at = range.start;
                continue;
            };
            while out.len() < size && get(pool, seq, &mut message)? {
                line.clear();
                message.write_line(&mut line);
                let rest = &line.as_bytes()[(at.saturating_sub(start) as usize).min(line.len())..];
                let taken = rest.len().min(size - out.len());
                out.extend_from_slice(&rest[..taken]);
                at += taken as u64;
                self.cut = (taken < rest.len()).then(|| (start, line.as_bytes().to_vec()));
                start += line.len() as u64;
                seq = seq.next();
            }
            if pool.bounds()?.newest < seq {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The message that holds byte `at` of the log, and where its line starts.
fn seek(pool: &Pool, at: u64) -> Result<Option<(Seq, u64)>> {
    found(pool.log_seek(at))
}

/// Fetches a message; false when it is not there (any more, or yet).
fn get(pool: &Pool, seq: Seq, message: &mut Message) -> Result<bool> {
    Ok(found(pool.get_into(seq, message))?.is_some())
}

fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_after_a_jump_lead_on_from_there() {
        let mut reader = LogReader::new(1000);
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
        let mut reader = LogReader::new(0);
        for i in 1..10_000 {
            reader.jump(i, i * 10);
        }
        assert!(reader.jumps.len() <= MAX_JUMPS);
        assert_eq!(reader.position(9_999), 99_990);
    }
}
