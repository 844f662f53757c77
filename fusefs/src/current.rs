//! A pool that may get another size while it is in use.

use std::sync::Mutex;

use plasmite_core::{Pool, Result};

use crate::sync::lock;

/// A pool, in the file that it is in now.
#[derive(Debug)]
pub(crate) struct Current(Mutex<Pool>);

impl Current {
    /// The pool as it was opened.
    pub(crate) fn new(pool: Pool) -> Self {
        Self(Mutex::new(pool))
    }

    /// The pool; its new file once it was resized.
    ///
    /// # Errors
    /// When the new file can't be opened.
    pub(crate) fn pool(&self) -> Result<Pool> {
        let mut pool = lock(&self.0);
        keep_up(&mut pool)?;
        Ok(pool.clone())
    }

    /// Does something with the pool; once more when the pool was resized before it was done.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn with<T>(&self, work: impl FnMut(&Pool) -> Result<T>) -> Result<T> {
        with(&mut self.pool()?, work)
    }
}

/// The same with a pool that nobody shares.
///
/// # Errors
/// Those of `work`.
pub(crate) fn with<T>(pool: &mut Pool, mut work: impl FnMut(&Pool) -> Result<T>) -> Result<T> {
    loop {
        match work(pool) {
            Err(_) if keep_up(pool)? => {}
            result => return result,
        }
    }
}

/// Goes on in the pool's new file; true when there was one.
///
/// # Errors
/// When it can't be opened.
pub(crate) fn keep_up(pool: &mut Pool) -> Result<bool> {
    let Some(new) = pool.in_new_file() else { return Ok(false) };
    *pool = new?;
    Ok(true)
}
