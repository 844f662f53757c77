//! Reading a run of messages while writers go on.

use plasmite_core::{Bounds, ErrorKind, Message, Pool, Seq};

use crate::errors::Failure;

/// The first and the last message of a run.
pub(crate) type Span = (Seq, Seq);

/// Messages of a span that were not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Absent {
    /// The first and the last of them.
    pub(crate) span: Span,
    pub(crate) count: u64,
}

/// Gives `visit` each message of the span that is there, in order. Returns what was not.
///
/// # Errors
/// Of `visit`; Corrupt; NotFound when the pool was deleted.
pub(crate) fn for_each(
    pool: &Pool,
    (first, last): Span,
    mut visit: impl FnMut(&Message) -> Result<(), Failure>,
) -> Result<Option<Absent>, Failure> {
    let mut message = Message::default();
    let mut absent: Option<Absent> = None;
    let mut seq = first;
    while seq <= last {
        match pool.get_into(seq, &mut message) {
            Ok(()) => {
                visit(&message)?;
                seq = seq.next();
            }
            Err(error) if error.kind() == ErrorKind::NotFound && error.seq().is_some() => {
                let Bounds { oldest, newest } = pool.bounds()?;
                // Never backwards, whatever the header says.
                let next = if seq > newest { last.next() } else { oldest.max(seq.next()) };
                let so_far = absent.unwrap_or(Absent { span: (seq, seq), count: 0 });
                let span = (so_far.span.0, next.prev().min(last));
                let count = so_far.count + (span.1.get() - seq.get() + 1);
                absent = Some(Absent { span, count });
                seq = next;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(absent)
}
