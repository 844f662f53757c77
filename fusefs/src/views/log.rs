//! `log`: every retained message. The engine itself numbers the bytes of all JSON lines ever appended.

use std::ops::Range;

use plasmite_core::{ErrorKind, Message, Pool, Result};

use super::text::{Lines, Text};
use crate::current::Current;

/// The log of a pool.
pub(crate) struct PoolLog(Current);

impl PoolLog {
    /// All of its messages.
    pub(crate) fn new(pool: Pool) -> Self {
        Self(Current::new(pool))
    }
}

impl Text for PoolLog {
    fn range(&self) -> Result<Range<u64>> {
        let range = self.0.with(Pool::log_range)?;
        Ok(range.start..range.end)
    }

    fn lines(&self, at: u64, take: Lines<'_>) -> Result<()> {
        lines_of(&self.0, take, |pool, take| {
            let Some((mut seq, mut start)) = found(pool.log_seek(at))? else { return Ok(()) };
            let mut message = Message::default();
            let mut line = String::new();
            while found(pool.get_into(seq, &mut message))?.is_some() {
                line.clear();
                message.write_line(&mut line);
                if !take(start, line.as_bytes()) {
                    break;
                }
                start += line.len() as u64;
                seq = seq.next();
            }
            Ok(())
        })
    }
}

/// Has `read` give the lines of a pool: anew while it gives none because the pool was resized.
pub(super) fn lines_of(
    pool: &Current,
    take: Lines<'_>,
    read: impl Fn(&Pool, Lines<'_>) -> Result<()>,
) -> Result<()> {
    loop {
        let pool = pool.pool()?;
        let mut any = false;
        let result = read(&pool, &mut |start, line| {
            any = true;
            take(start, line)
        });
        if any || pool.in_new_file().is_none() {
            return result;
        }
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
