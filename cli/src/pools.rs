//! Finding pools: the directory, and a pool by name with help when it is not there.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use plasmite_core::{Client, Error, ErrorKind, OpenOptions, Pool, Result};

use crate::args::Creation;
use crate::errors;
use crate::mount::quoted;

/// How many resizes one after the other an append goes after.
const MAX_TRIES: u32 = 100;

/// The client of `dir`, or of the default directory.
pub(crate) fn client(dir: Option<PathBuf>) -> Result<Client> {
    Ok(Client::new(match dir {
        Some(dir) => dir,
        None => plasmite_core::default_pool_dir()?,
    }))
}

/// Opens a pool to append to, or creates it when that is asked for.
pub(crate) fn open_for_writing(
    client: &Client,
    name: &str,
    creation: &Creation,
) -> Result<Appender> {
    let pool = if creation.create {
        client.open_or_create(name, creation.create_size)?
    } else {
        open(client, name)?
    };
    Ok(Appender::new(pool, OpenOptions::new()))
}

/// A pool to append to for as long as it takes. When it gets another size meanwhile, it goes on in its new file.
#[derive(Debug)]
pub(crate) struct Appender {
    pool: Mutex<Pool>,
    options: OpenOptions,
}

impl Appender {
    /// For a pool that was opened with `options`.
    pub(crate) fn new(pool: Pool, options: OpenOptions) -> Self {
        Self { pool: Mutex::new(pool), options }
    }

    /// The pool as it is open now.
    pub(crate) fn pool(&self) -> Pool {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does `act`, which does nothing to a pool that has got another size, in the file where the pool is now.
    pub(crate) fn run<T>(&self, mut act: impl FnMut(&Pool) -> Result<T>) -> Result<T> {
        let mut pool = self.pool();
        let mut tries = 0;
        loop {
            match act(&pool) {
                Err(error) if error.kind() == ErrorKind::NotFound && tries < MAX_TRIES => {
                    tries += 1;
                    let opened = self.options.open(pool.path());
                    let Some(new) = opened.ok().filter(|new| new.id() == pool.id()) else {
                        return Err(error);
                    };
                    *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = new.clone();
                    pool = new;
                }
                done => return done,
            }
        }
    }
}

/// The bytes that the data of a message with these tags may have.
pub(crate) fn room_for_data(pool: &Pool, tags: &[String]) -> u64 {
    let tag_bytes: u64 = tags.iter().map(|tag| tag.len() as u64 + 1).sum();
    pool.max_message_bytes().saturating_sub(tag_bytes)
}

/// Opens a pool to append to.
fn open(client: &Client, name: &str) -> Result<Pool> {
    client.open(name).map_err(|error| explained(client, name, &error))
}

/// Opens a pool to look at.
pub(crate) fn open_read_only(client: &Client, name: &str) -> Result<Pool> {
    client.open_read_only(name).map_err(|error| explained(client, name, &error))
}

/// Opens a pool to wait on. A reader that may write to the file is woken by the writer at once; one that
/// may not has to look again from time to time.
pub(crate) fn open_to_wait(client: &Client, name: &str) -> Result<Pool> {
    match client.open(name) {
        Err(error) if error.kind() == ErrorKind::Permission => open_read_only(client, name),
        opened => opened.map_err(|error| explained(client, name, &error)),
    }
}

/// The error of a pool that is not there, with a pool that may have been meant.
pub(crate) fn explained(client: &Client, name: &str, error: &Error) -> Error {
    if error.kind() != ErrorKind::NotFound || error.hint().is_some() || name.contains('/') {
        return error.clone();
    }
    let dir = client.dir().display();
    let option = dir_option(client);
    let names = client.names().unwrap_or_default();
    let hint = if let Some(near) = nearest(name, names.iter().map(|(name, _)| name.as_str())) {
        format!("did you mean {near:?}?")
    } else if names.is_empty() {
        format!("{dir} holds no pools yet; create one: plasmite{option} pool create {name}")
    } else {
        format!(
            "create it: plasmite{option} pool create {name} (plasmite{option} pool list shows what is there)"
        )
    };
    errors::reworded(error, error.message().to_owned(), Some(hint))
}

/// What a command needs, after `plasmite`, to mean the same directory.
pub(crate) fn dir_option(client: &Client) -> String {
    let is_default = plasmite_core::default_pool_dir().is_ok_and(|d| d == client.dir());
    if is_default { String::new() } else { format!(" --dir {}", quoted(client.dir())) }
}

/// The name that `wanted` is most likely a slip of.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    let distance = |name: &str| strsim::osa_distance(&lower, &name.to_lowercase());
    let allowed = (wanted.chars().count() / 3).max(1);
    names
        .map(|name| (distance(name), name))
        .filter(|&(distance, name)| distance <= allowed && distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_goes_on_when_the_file_it_finds_is_resized_again() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path());
        let pool = client.create("docs", 1 << 20).unwrap();
        let appender = Appender::new(pool, OpenOptions::new());
        let sizes = std::cell::RefCell::new(vec![1 << 20, 1 << 17, 1 << 16]);
        let receipt = appender.run(|pool| {
            if let Some(size) = sizes.borrow_mut().pop() {
                Pool::resize(pool.path(), size)?;
            }
            pool.append(b"{}", &[] as &[&str], plasmite_core::Durability::Fast)
        });
        assert_eq!(receipt.unwrap().seq.get(), 1);
        assert!(sizes.borrow().is_empty());
    }

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let near = |wanted| nearest(wanted, ["docs", "events", "a"].into_iter());
        assert_eq!(near("doc"), Some("docs"));
        assert_eq!(near("dosc"), Some("docs"));
        assert_eq!(near("DOCS"), Some("docs"));
        assert_eq!(near("evnets"), Some("events"));
        assert_eq!(near("b"), None);
        assert_eq!(near("metrics"), None);
    }
}
