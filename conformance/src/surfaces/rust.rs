//! The Rust API.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use plasmite_core::json::{Document, DocumentStream};
use plasmite_core::{
    Client, DEFAULT_POOL_SIZE_BYTES, Durability, Entry, Error, GapPolicy, Pool, Seq, Tail,
    TailOptions,
};

use super::{Address, Surface, no_reader};
use crate::envelope::Message;
use crate::kind::Kind;
use crate::manifest::{Action, Append, AppendMany, AppendStream, Reading, Writer};
use crate::outcome::{Failure, Got, Refusal};

pub(crate) struct Rust {
    client: Client,
    readers: HashMap<String, Tail>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Some(kind) = Kind::of_code(error.kind().code()) else {
            return Self::Broken(format!("an unknown kind: {error:?}"));
        };
        if format!("{kind:?}") != error.kind().name() {
            return Self::Broken(format!(
                "kind {} has the number of {kind:?}",
                error.kind().name()
            ));
        }
        let text = match error.hint() {
            Some(hint) => format!("{}; {hint}", error.message()),
            None => error.message().to_owned(),
        };
        Self::Refused(Refusal::Told {
            kind,
            text,
            path: error.path().is_some(),
            seq: error.seq().is_some(),
            offset: error.offset().is_some(),
        })
    }
}

impl Rust {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { client: Client::new(dir), readers: HashMap::new() }
    }

    fn append(&self, append: &Append) -> Result<Got, Failure> {
        let pool = match append.create_size_bytes {
            Some(size) => self.client.open_or_create(&append.pool, size)?,
            None => self.client.open(&append.pool)?,
        };
        let durability = if append.flush { Durability::Flush } else { Durability::Fast };
        let seq = pool.append(&append.document, &append.tags, durability)?.seq.get();
        Ok(Got::Appended(seq, seq))
    }

    fn append_many(&self, many: &AppendMany) -> Result<Got, Failure> {
        let pool = self.client.open(&many.pool)?;
        let documents = many
            .documents
            .iter()
            .map(|text| Document::parse(text))
            .collect::<Result<Vec<_>, _>>()?;
        let tags: Vec<&str> = many.tags.iter().map(String::as_str).collect();
        let entries: Vec<_> =
            documents.iter().map(|document| Entry { document, tags: &tags }).collect();
        let receipts = pool.append_batch(&entries, Durability::Fast)?;
        match (receipts.first(), receipts.last()) {
            (Some(first), Some(last)) => Ok(Got::Appended(first.seq.get(), last.seq.get())),
            _ => Err(Failure::Broken("a batch gave no receipts".into())),
        }
    }

    fn append_stream(&self, stream: &AppendStream) -> Result<Got, Failure> {
        let pool = self.client.open(&stream.pool)?;
        let mut documents = DocumentStream::new(pool.max_message_bytes());
        let mut seqs: Option<(u64, u64)> = None;
        for chunk in stream.text.chunks(stream.chunk_bytes) {
            documents.push(chunk);
            while let Some(document) = documents.next()? {
                let receipt = pool.append_document(&document, &stream.tags, Durability::Fast)?;
                let seq = receipt.seq.get();
                seqs = Some((seqs.map_or(seq, |(first, _)| first), seq));
            }
        }
        documents.finish()?;
        seqs.map(|(first, last)| Got::Appended(first, last))
            .ok_or_else(|| Failure::Broken("the text holds no document".into()))
    }

    fn open_tail(
        &self,
        pool: &str,
        Reading { since_seq, tags, error_on_gap }: &Reading,
        max: Option<u64>,
    ) -> Result<Tail, Failure> {
        let gap = if *error_on_gap { GapPolicy::Error } else { GapPolicy::Continue };
        let since = since_seq.map(Seq::new);
        let options = TailOptions { since, max, tags: tags.clone(), gap, ..Default::default() };
        Ok(self.client.open(pool)?.tail(options)?)
    }
}

fn read(tail: &mut Tail, max: Option<u64>, timeout_ms: Option<u64>) -> Result<Got, Failure> {
    let timeout = timeout_ms.map(Duration::from_millis);
    let mut messages = Vec::new();
    while max.is_none_or(|max| (messages.len() as u64) < max) {
        let Some(message) = tail.next(timeout)? else { break };
        messages.push(Message::parse(message.to_json().as_bytes())?);
    }
    Ok(Got::Messages(messages))
}

impl Surface for Rust {
    fn cannot(&self, _: &Action) -> Option<&'static str> {
        None
    }

    fn prepare(&mut self, _: &Action) -> Result<(), Failure> {
        Ok(())
    }

    fn play(&mut self, action: &Action) -> Result<Got, Failure> {
        match action {
            Action::CreatePool { pool, size_bytes } => {
                self.client.create(pool, size_bytes.unwrap_or(DEFAULT_POOL_SIZE_BYTES))?;
                Ok(Got::Created)
            }
            Action::Append(append) => self.append(append),
            Action::AppendMany(many) => self.append_many(many),
            Action::AppendStream(stream) => self.append_stream(stream),
            Action::Get { pool, seq } => {
                let message = self.client.open_read_only(pool)?.get(Seq::new(*seq))?;
                Ok(Got::Message(Message::parse(message.to_json().as_bytes())?))
            }
            Action::Tail { pool, from, max, timeout_ms } => {
                read(&mut self.open_tail(pool, from, *max)?, *max, *timeout_ms)
            }
            Action::OpenTail { pool, reader, from } => {
                let tail = self.open_tail(pool, from, None)?;
                self.readers.insert(reader.clone(), tail);
                Ok(Got::Done)
            }
            Action::ReadTail { reader, max, timeout_ms } => {
                let tail = self.readers.get_mut(reader).ok_or_else(|| no_reader(reader))?;
                read(tail, *max, *timeout_ms)
            }
            Action::CloseTail { reader } => {
                self.readers.remove(reader).map(|_| Got::Done).ok_or_else(|| no_reader(reader))
            }
            Action::ListPools => {
                Ok(Got::Names(self.client.list()?.into_iter().map(|pool| pool.name).collect()))
            }
            Action::PoolInfo { pool } => {
                let facts = self.client.open_read_only(pool)?.info()?.to_json();
                let facts = serde_json::from_str(&facts).map_err(|e| e.to_string())?;
                Ok(Got::Info(facts))
            }
            Action::DeletePool { pool } => {
                self.client.delete(pool)?;
                Ok(Got::Deleted)
            }
            _ => Err(super::not_played_here(action)),
        }
    }

    fn write(&mut self, pool: &str, writer: &Writer) -> Result<(), Failure> {
        let pool: Pool = self.client.open(pool)?;
        for document in &writer.documents {
            pool.append(document, &writer.tags, Durability::Fast)?;
        }
        Ok(())
    }

    fn address(&self) -> Address {
        Address::Rust(self.client.dir().to_owned())
    }
}
