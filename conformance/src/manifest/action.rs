//! What steps do.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::from_value;
use super::text::Text;

/// The most documents that one step appends.
const MAX_DOCUMENTS: usize = 100_000;

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    CreatePool { pool: String, size_bytes: Option<u64> },
    Append(Append),
    AppendMany(AppendMany),
    AppendStream(AppendStream),
    Get { pool: String, seq: u64 },
    Tail { pool: String, from: Reading, max: Option<u64>, timeout_ms: Option<u64> },
    OpenTail { pool: String, reader: String, from: Reading },
    ReadTail { reader: String, max: Option<u64>, timeout_ms: Option<u64> },
    CloseTail { reader: String },
    ListPools,
    PoolInfo { pool: String },
    DeletePool { pool: String },
    Spawn(Spawn),
    Race { processes: u64, step: Value, action: Box<Action> },
    CorruptHeader { pool: String, offset: u64, bytes: Vec<u8> },
    PutFile { pool: String, bytes: Vec<u8> },
    Chmod { pool: Option<String>, mode: u32 },
}

/// One append.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) pool: String,
    pub(crate) document: Vec<u8>,
    pub(crate) tags: Vec<String>,
    pub(crate) flush: bool,
    /// The pool is created with this size when it is not there.
    pub(crate) create_size_bytes: Option<u64>,
}

/// Appends of many documents at once.
#[derive(Clone, Debug)]
pub(crate) struct AppendMany {
    pub(crate) pool: String,
    pub(crate) documents: Vec<Vec<u8>>,
    pub(crate) tags: Vec<String>,
}

/// Appends of the documents in a text that arrives in pieces.
#[derive(Clone, Debug)]
pub(crate) struct AppendStream {
    pub(crate) pool: String,
    pub(crate) text: Vec<u8>,
    pub(crate) chunk_bytes: usize,
    pub(crate) tags: Vec<String>,
}

/// From where and how messages are read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) since_seq: Option<u64>,
    pub(crate) tags: Vec<String>,
    pub(crate) error_on_gap: bool,
}

/// Processes that work at once.
#[derive(Clone, Debug)]
pub(crate) struct Spawn {
    pub(crate) pool: String,
    pub(crate) writers: Vec<Writer>,
    /// Steps that other processes play meanwhile.
    pub(crate) alongside: Vec<Value>,
}

/// What one process appends, one message after the other.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) documents: Vec<Vec<u8>>,
    pub(crate) tags: Vec<String>,
    /// It is killed (SIGKILL) as soon as its last append has returned.
    pub(crate) killed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Durability {
    Fast,
    Flush,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateInput {
    size_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendInput {
    #[serde(default, deserialize_with = "present")]
    data: Option<Value>,
    text: Option<Text>,
    #[serde(default)]
    tags: Vec<String>,
    durability: Option<Durability>,
    create_size_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendManyInput {
    data: Vec<Value>,
    #[serde(default = "once")]
    repeat: usize,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendStreamInput {
    text: Text,
    chunk_bytes: usize,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetInput {
    seq: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TailInput {
    since_seq: Option<u64>,
    max: Option<u64>,
    timeout_ms: Option<u64>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    error_on_gap: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenTailInput {
    reader: String,
    since_seq: Option<u64>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    error_on_gap: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadTailInput {
    reader: String,
    max: Option<u64>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseTailInput {
    reader: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpawnInput {
    writers: Vec<WriterInput>,
    #[serde(default)]
    alongside: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriterInput {
    data: Option<Vec<Value>>,
    numbered: Option<Numbered>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    killed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    data: Map<String, Value>,
    count: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RaceInput {
    processes: u64,
    step: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RaceStep {
    op: String,
    pool: Option<String>,
    #[serde(default)]
    input: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CorruptInput {
    offset: u64,
    bytes: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutFileInput {
    text: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChmodInput {
    mode: String,
}

fn once() -> usize {
    1
}

/// A `null` that is there is a value.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn json(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

impl Action {
    /// The action of an op; its input must be exactly what the op takes.
    pub(super) fn parse(
        op: &str,
        pool: Option<String>,
        input: Map<String, Value>,
    ) -> Result<Self, String> {
        let input = Value::Object(input);
        let pool_needed = || pool.clone().ok_or_else(|| format!("op={op}: `pool` is missing"));
        let action = match op {
            "create_pool" => {
                let CreateInput { size_bytes } = from_value(input)?;
                Self::CreatePool { pool: pool_needed()?, size_bytes }
            }
            "append" => Self::Append(Append::of(pool_needed()?, from_value(input)?)?),
            "append_many" => Self::AppendMany(AppendMany::of(pool_needed()?, from_value(input)?)?),
            "append_stream" => {
                let AppendStreamInput { text, chunk_bytes, tags } = from_value(input)?;
                if chunk_bytes == 0 {
                    return Err("chunk_bytes=0: must be at least 1".into());
                }
                let text = text.0;
                Self::AppendStream(AppendStream { pool: pool_needed()?, text, chunk_bytes, tags })
            }
            "get" => {
                let GetInput { seq } = from_value(input)?;
                Self::Get { pool: pool_needed()?, seq }
            }
            "tail" => {
                let TailInput { since_seq, max, timeout_ms, tags, error_on_gap } =
                    from_value(input)?;
                let from = Reading { since_seq, tags, error_on_gap };
                Self::Tail { pool: pool_needed()?, from, max, timeout_ms }
            }
            "open_tail" => {
                let OpenTailInput { reader, since_seq, tags, error_on_gap } = from_value(input)?;
                let from = Reading { since_seq, tags, error_on_gap };
                Self::OpenTail { pool: pool_needed()?, reader, from }
            }
            "read_tail" => {
                let ReadTailInput { reader, max, timeout_ms } = from_value(input)?;
                Self::ReadTail { reader, max, timeout_ms }
            }
            "close_tail" => {
                let CloseTailInput { reader } = from_value(input)?;
                Self::CloseTail { reader }
            }
            "list_pools" => {
                let Nothing {} = from_value(input)?;
                Self::ListPools
            }
            "pool_info" => {
                let Nothing {} = from_value(input)?;
                Self::PoolInfo { pool: pool_needed()? }
            }
            "delete_pool" => {
                let Nothing {} = from_value(input)?;
                Self::DeletePool { pool: pool_needed()? }
            }
            "spawn" => Self::Spawn(Spawn::of(pool_needed()?, from_value(input)?)?),
            "race" => Self::race(from_value(input)?)?,
            "corrupt_header" => {
                let CorruptInput { offset, bytes } = from_value(input)?;
                let Text(bytes) = from_value(serde_json::json!({ "hex": bytes }))?;
                Self::CorruptHeader { pool: pool_needed()?, offset, bytes }
            }
            "put_file" => {
                let PutFileInput { text } = from_value(input)?;
                Self::PutFile { pool: pool_needed()?, bytes: text.0 }
            }
            "chmod" => {
                let ChmodInput { mode } = from_value(input)?;
                let mode = u32::from_str_radix(&mode, 8)
                    .map_err(|_| format!("mode={mode:?} is not octal"))?;
                Self::Chmod { pool: pool.clone(), mode }
            }
            _ => return Err(format!("op={op:?} is not known")),
        };
        if pool.is_some() && !action.takes_pool() {
            return Err(format!("op={op} takes no `pool`"));
        }
        Ok(action)
    }

    /// The pool that it is about.
    pub(crate) fn pool(&self) -> Option<&str> {
        match self {
            Self::CreatePool { pool, .. }
            | Self::Append(Append { pool, .. })
            | Self::AppendMany(AppendMany { pool, .. })
            | Self::AppendStream(AppendStream { pool, .. })
            | Self::Get { pool, .. }
            | Self::Tail { pool, .. }
            | Self::OpenTail { pool, .. }
            | Self::PoolInfo { pool }
            | Self::DeletePool { pool }
            | Self::Spawn(Spawn { pool, .. })
            | Self::CorruptHeader { pool, .. }
            | Self::PutFile { pool, .. } => Some(pool),
            Self::Chmod { pool, .. } => pool.as_deref(),
            Self::Race { action, .. } => action.pool(),
            Self::ListPools | Self::ReadTail { .. } | Self::CloseTail { .. } => None,
        }
    }

    fn takes_pool(&self) -> bool {
        !matches!(
            self,
            Self::ListPools | Self::Race { .. } | Self::ReadTail { .. } | Self::CloseTail { .. }
        )
    }

    fn race(RaceInput { processes, step }: RaceInput) -> Result<Self, String> {
        let RaceStep { op, pool, input } = from_value(step.clone())?;
        let action = Self::parse(&op, pool, input)?;
        let is_plain = !matches!(
            action,
            Self::Spawn(_)
                | Self::Race { .. }
                | Self::OpenTail { .. }
                | Self::ReadTail { .. }
                | Self::CloseTail { .. }
        );
        match processes {
            2..=64 if is_plain => Ok(Self::Race { processes, step, action: Box::new(action) }),
            2..=64 => Err(format!("op={op} can't be raced")),
            _ => Err(format!("processes={processes}: must be 2 to 64")),
        }
    }
}

impl Append {
    fn of(pool: String, input: AppendInput) -> Result<Self, String> {
        let document = match (input.data, input.text) {
            (Some(data), None) => json(&data),
            (None, Some(text)) => text.0,
            _ => return Err("either `data` or `text` must be there".into()),
        };
        let flush = matches!(input.durability, Some(Durability::Flush));
        let create_size_bytes = input.create_size_bytes;
        Ok(Self { pool, document, tags: input.tags, flush, create_size_bytes })
    }
}

impl AppendMany {
    fn of(pool: String, input: AppendManyInput) -> Result<Self, String> {
        let count = input.data.len().saturating_mul(input.repeat);
        if !(1..=MAX_DOCUMENTS).contains(&count) {
            return Err(format!("{count} documents: must be 1 to {MAX_DOCUMENTS}"));
        }
        let once = input.data.iter().map(json);
        let documents = once.cycle().take(count).collect();
        Ok(Self { pool, documents, tags: input.tags })
    }
}

impl Spawn {
    fn of(pool: String, input: SpawnInput) -> Result<Self, String> {
        let writers = input.writers.into_iter().map(Writer::of).collect::<Result<Vec<_>, _>>()?;
        if writers.is_empty() {
            return Err("`writers` is empty".into());
        }
        for (i, step) in input.alongside.iter().enumerate() {
            let step = super::Step::parse(i, step.clone()).map_err(|e| format!("alongside {e}"))?;
            let is_plain =
                matches!(step.action, Action::Append(_) | Action::Get { .. } | Action::Tail { .. });
            if !is_plain {
                return Err(format!("alongside {}: only append, get and tail", step.label));
            }
        }
        Ok(Self { pool, writers, alongside: input.alongside })
    }
}

impl Writer {
    fn of(input: WriterInput) -> Result<Self, String> {
        let documents = match (input.data, input.numbered) {
            (Some(data), None) => data.iter().map(json).collect(),
            (None, Some(Numbered { count, .. })) if count > MAX_DOCUMENTS as u64 => {
                return Err(format!("count={count}: must be at most {MAX_DOCUMENTS}"));
            }
            (None, Some(Numbered { data, count })) => (1..=count)
                .map(|n| {
                    let mut data = data.clone();
                    data.insert("n".to_owned(), n.into());
                    json(&Value::Object(data))
                })
                .collect(),
            _ => return Err("a writer has either `data` or `numbered`".into()),
        };
        Ok(Self { documents, tags: input.tags, killed: input.killed })
    }
}
