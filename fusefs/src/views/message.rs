//! Files that are made whole when they are opened: `17`, `17.json`, `info.json`.

use plasmite_core::{Message, Pool, Result};

/// `17`: the envelope as one line.
pub(crate) fn envelope_text(message: &Message) -> Vec<u8> {
    let mut line = String::with_capacity(message.line_len() as usize);
    message.write_line(&mut line);
    line.into_bytes()
}

/// `17.json`: the data alone, as one line.
pub(crate) fn data_text(message: &Message) -> Vec<u8> {
    let data = message.data();
    let mut line = Vec::with_capacity(data.len() + 1);
    line.extend_from_slice(data.as_bytes());
    line.push(b'\n');
    line
}

/// `info.json`: the pool's facts as one line.
pub(crate) fn info_text(pool: &Pool) -> Result<Vec<u8>> {
    let mut line = pool.info()?.to_json().into_bytes();
    line.push(b'\n');
    Ok(line)
}
