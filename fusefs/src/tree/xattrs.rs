//! Extended attributes: a message's facts, and the receipt of a written name.
//!
//! The kernel keeps none of them, so each question is a request. What is not ours is refused as not supported, with which
//! `ls -l` asks once per file system, not once per file. ENOSYS would end all questions, ours included.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plasmite_core::Message;

use super::Tree;
use crate::errno::{Errno, Reply};
use crate::ino::Ino;

/// Of a message, its number; of a written name, the number of the last message that it became: the receipt.
const SEQ: &str = "user.plasmite.seq";
/// When the message was appended.
const TIME: &str = "user.plasmite.time";
/// The message's tags, as a JSON array.
const TAGS: &str = "user.plasmite.tags";
/// The attributes of users, of which a file may have any.
const USERS: &[u8] = b"user.";

impl Tree {
    /// An extended attribute. ENODATA when the file has none of that name, EOPNOTSUPP for those of other sorts.
    pub(crate) fn getxattr(&self, number: u64, name: &OsStr) -> Reply<Vec<u8>> {
        if !name.as_bytes().starts_with(USERS) {
            return Err(Errno::EOPNOTSUPP);
        }
        let found = self.xattrs(number)?.into_iter().find(|(ours, _)| name == *ours);
        found.map(|(_, value)| value.into_bytes()).ok_or(Errno::ENODATA)
    }

    /// The names of the extended attributes, each with a zero byte.
    pub(crate) fn listxattr(&self, number: u64) -> Reply<Vec<u8>> {
        let names = self.xattrs(number)?.into_iter().flat_map(|(name, _)| [name, "\0"]);
        Ok(names.collect::<String>().into_bytes())
    }

    fn xattrs(&self, number: u64) -> Reply<Vec<(&'static str, String)>> {
        match Self::ino(number)? {
            Ino::Message(id, low) | Ino::Data(id, low) => {
                let pool = self.pools.by_id(id)?.pool()?;
                Ok(facts(&Self::message(&pool, low).map_err(super::attributes::gone)?))
            }
            Ino::Node(id, node) if !self.is_text(id, node) => {
                let seq = self.shelf.facts(node)?.seq;
                Ok(seq.map(|seq| (SEQ, seq.to_string())).into_iter().collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn facts(message: &Message) -> Vec<(&'static str, String)> {
    let tags = serde_json::Value::from_iter(message.tags());
    vec![
        (SEQ, message.seq().to_string()),
        (TIME, message.time().to_string()),
        (TAGS, tags.to_string()),
    ]
}
