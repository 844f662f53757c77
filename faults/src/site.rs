//! A pool under attack, with all that is known of it: what was seen in it, and what was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plasmite_core::{Durability, Pool, Seq, TailOptions, Timestamp};

use crate::child::{Ack, Ended, Kind};
use crate::document;

/// The writer number of the campaign itself.
const PROBE: u64 = 0;

/// Who wrote a message, and its number.
type Identity = (u64, u64);

pub(crate) struct Site {
    pub(crate) path: PathBuf,
    pub(crate) pool: Pool,
    seen: BTreeMap<u64, Identity>,
    acks: Vec<(u64, Ack)>,
    kinds: HashMap<u64, Kind>,
    probes: u64,
}

/// What a reader saw while writers died.
pub(crate) struct Watched {
    messages: Vec<(u64, Option<Identity>)>,
    /// How long after its time each message was there.
    pub(crate) delays: Vec<Duration>,
    error: Option<String>,
}

/// A reader that is asleep whenever there is nothing to read.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

impl Site {
    pub(crate) fn new(path: &Path, size: u64) -> Result<Self, String> {
        let pool = Pool::create(path, size).map_err(|e| e.to_string())?;
        Ok(Self {
            path: path.to_owned(),
            pool,
            seen: BTreeMap::new(),
            acks: Vec::new(),
            kinds: HashMap::new(),
            probes: 0,
        })
    }

    /// The directory that it alone is in.
    pub(crate) fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Fills the ring up to its `part`th hundredth, or around its end.
    pub(crate) fn fill(&mut self, part: u64, len: usize) -> Result<(), String> {
        loop {
            let info = self.pool.info().map_err(|e| e.to_string())?;
            let full = info.bounds.oldest > Seq::FIRST;
            if full || info.used_bytes * 100 >= info.ring_bytes * part && part < 100 {
                return Ok(());
            }
            self.append(len)?;
        }
    }

    /// One append of a process that lives.
    pub(crate) fn probe(&mut self) -> Result<(), String> {
        self.append(40)
    }

    fn append(&mut self, len: usize) -> Result<(), String> {
        self.probes += 1;
        let n = self.probes;
        let text = document::make(PROBE, n, len);
        let receipt = self
            .pool
            .append::<&str>(text.as_bytes(), &[], Durability::Fast)
            .map_err(|e| format!("a surviving writer: {e}"))?;
        self.acks.push((PROBE, Ack { n, seq: Some(receipt.seq.get()), flushed: false }));
        Ok(())
    }

    pub(crate) fn watch(&self) -> Result<Watcher, String> {
        let since = self.pool.bounds().map_err(|e| e.to_string())?.newest.next();
        let options = TailOptions { since: Some(since), ..TailOptions::default() };
        let mut tail = self.pool.tail(options).map_err(|e| e.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut watched = Watched { messages: Vec::new(), delays: Vec::new(), error: None };
            loop {
                match tail.next(Some(Duration::from_millis(20))) {
                    Ok(Some(message)) => {
                        let now = Timestamp::now().as_nanos();
                        let delay = now.saturating_sub(message.time().as_nanos());
                        watched.delays.push(Duration::from_nanos(delay));
                        watched
                            .messages
                            .push((message.seq().get(), document::check(message.data())));
                    }
                    Ok(None) if stopped.load(Ordering::Relaxed) => return watched,
                    Ok(None) => {}
                    Err(e) => {
                        watched.error = Some(format!("a reader: {e}"));
                        return watched;
                    }
                }
            }
        });
        Ok(Watcher { stop, thread })
    }

    /// Takes in what writers had acknowledged and a reader had seen, once all writers are dead, and judges it all. Returns what
    /// is wrong.
    pub(crate) fn judge(&mut self, ended: Vec<Ended>, watched: Watched) -> Vec<String> {
        let mut wrong = Vec::new();
        wrong.extend(watched.error);
        for one in ended {
            self.kinds.insert(one.who, one.kind);
            if let Some(failure) = one.failure {
                wrong.push(format!("{} writer {} failed: {failure}", one.kind.name(), one.who));
            }
            self.acks.extend(one.acks.into_iter().map(|ack| (one.who, ack)));
        }
        for (seq, identity) in watched.messages {
            self.note(seq, identity, &mut wrong);
        }
        if let Err(error) = self.read_all(&mut wrong) {
            wrong.push(error);
        }
        self.check_order(&mut wrong);
        self.check_acks(&mut wrong);
        wrong
    }

    /// Takes in what is known of a writer that died before a round.
    pub(crate) fn keep(&mut self, ended: Ended, watched: Watched) {
        self.kinds.insert(ended.who, ended.kind);
        self.acks.extend(ended.acks.into_iter().map(|ack| (ended.who, ack)));
        for (seq, identity) in watched.messages {
            // A torn one is judged when the whole pool is read.
            if let Some(identity) = identity {
                self.seen.insert(seq, identity);
            }
        }
    }

    fn note(&mut self, seq: u64, identity: Option<Identity>, wrong: &mut Vec<String>) {
        let Some(identity) = identity else {
            return wrong.push(format!("message {seq} is torn"));
        };
        let before = self.seen.insert(seq, identity);
        if before.is_some_and(|before| before != identity) {
            wrong.push(format!("message {seq} was {before:?} and is {identity:?}"));
        }
    }

    /// Reads every retained message by a handle of its own, and goes on appending.
    fn read_all(&mut self, wrong: &mut Vec<String>) -> Result<(), String> {
        let fail = |e: plasmite_core::Error| format!("after the deaths: {e}");
        let newest = self.pool.bounds().map_err(fail)?.newest;
        self.append(1)?;
        let fresh = Pool::open_read_only(&self.path).map_err(fail)?;
        let bounds = fresh.bounds().map_err(fail)?;
        if bounds.newest != newest.next() {
            wrong.push(format!("the message after {newest} got seq {}", bounds.newest));
        }
        for seq in bounds.oldest.get()..=bounds.newest.get() {
            match fresh.get(Seq::new(seq)) {
                Ok(message) => self.note(seq, document::check(message.data()), wrong),
                Err(e) => wrong.push(format!("message {seq} of {bounds:?}: {e}")),
            }
        }
        Ok(())
    }

    /// Each message once, each writer's in its order, and none missing but where the reader was overtaken.
    fn check_order(&self, wrong: &mut Vec<String>) {
        let mut last: HashMap<u64, (u64, u64, u64)> = HashMap::new();
        for (place, (seq, (w, n))) in self.seen.iter().enumerate() {
            let place = place as u64;
            let (n_before, seq_before, place_before) =
                last.insert(*w, (*n, *seq, place)).unwrap_or_default();
            if *n <= n_before {
                wrong.push(format!(
                    "writer {w}: document {n} at {seq} after {n_before} at {seq_before}"
                ));
                continue;
            }
            let first = n_before == 0;
            let between = if first { place } else { place - place_before - 1 };
            let unseen = seq - seq_before - 1 - between;
            if n - n_before - 1 > unseen {
                wrong.push(format!(
                    "writer {w}: between documents {n_before} and {n} only {unseen} messages were not seen"
                ));
            }
        }
    }

    fn check_acks(&self, wrong: &mut Vec<String>) {
        let info = match self.pool.info() {
            Ok(info) => info,
            Err(e) => return wrong.push(format!("info: {e}")),
        };
        let places: HashMap<Identity, u64> =
            self.seen.iter().map(|(seq, identity)| (*identity, *seq)).collect();
        let unseen = info.bounds.newest.get() - self.seen.len() as u64;
        let mut acknowledged: HashMap<u64, u64> = HashMap::new();
        for (who, ack) in &self.acks {
            let identity = (*who, ack.n);
            acknowledged.entry(*who).and_modify(|n| *n = ack.n.max(*n)).or_insert(ack.n);
            let found = places.get(&identity).copied();
            match (ack.seq, found) {
                (Some(seq), Some(found)) if seq == found => {}
                (None, Some(_)) => {}
                // Overwritten before anybody looked.
                (Some(seq), None)
                    if seq < info.bounds.oldest.get() && !self.seen.contains_key(&seq) => {}
                (None, None) if unseen > 0 => {}
                _ => wrong.push(format!(
                    "document {identity:?}, acknowledged as {:?}, is at {found:?} of {:?}",
                    ack.seq, info.bounds
                )),
            }
            let durable = ack.seq.or(found).is_none_or(|seq| seq <= info.durable.get());
            if ack.flushed && !durable {
                wrong.push(format!(
                    "{identity:?} at {found:?} was flushed; durable is {}",
                    info.durable
                ));
            }
        }
        for (seq, (w, n)) in &self.seen {
            let one_by_one = self.kinds.get(w).is_none_or(|kind| *kind != Kind::Command);
            let said = acknowledged.get(w).copied().unwrap_or(0);
            if one_by_one && *n > said + 1 {
                wrong.push(format!(
                    "writer {w} had {said} acknowledged, and document {n} is at {seq}"
                ));
            }
        }
    }
}

impl Watcher {
    pub(crate) fn end(self) -> Result<Watched, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the reading thread died".to_owned())
    }
}
