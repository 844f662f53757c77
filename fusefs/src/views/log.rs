//! `log`: every retained message. The engine itself numbers the bytes of all JSON lines ever appended.

use std::ops::Range;

use plasmite_core::{ErrorKind, Message, Pool, Result};

use super::text::Text;

/// The log of a pool.
pub(crate) struct PoolLog(pub(crate) Pool);

impl Text for PoolLog {
    fn range(&self) -> Result<Range<u64>> {
        let range = self.0.log_range()?;
        Ok(range.start..range.end)
    }

    fn lines(&self, at: u64, take: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
        let Some((mut seq, mut start)) = found(self.0.log_seek(at))? else { return Ok(()) };
        let mut message = Message::default();
        let mut line = String::new();
        while found(self.0.get_into(seq, &mut message))?.is_some() {
            line.clear();
            message.write_line(&mut line);
            if !take(start, line.as_bytes()) {
                break;
            }
            start += line.len() as u64;
            seq = seq.next();
        }
        Ok(())
    }
}

/// None for what is not there (any more, or yet).
pub(super) fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
