//! The messages with certain tags, as one endless text of their own.
//!
//! No file tells which messages have a tag: somebody has to look at each once. What was found is kept as marks, few enough
//! for any pool, from which a place is found again in a short walk. The text begins where the first look began.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use plasmite_core::{Message, Pool, Result, Seq};

use super::log::{found, lines_of};
use super::text::{Lines, Text};
use crate::current::Current;
use crate::sync::lock;

/// Messages between two marks, at first.
const STRIDE: u64 = 512;
/// Marks at most; when there are more, half of them go and the stride doubles.
const MAX_MARKS: usize = 8192;
/// So many messages are looked at on the spot.
const FEW: u64 = 1000;
/// How long marks are kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

/// Which messages have the tags, and where their lines are.
#[derive(Debug)]
pub(crate) struct Matches {
    tags: Arc<[String]>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The next message to look at.
    next: Seq,
    /// Where the line of the next match will start.
    end: u64,
    /// Sorted, and no older than the oldest retained message when they were used last.
    marks: VecDeque<Mark>,
    stride: u64,
    latest: Option<Seq>,
    used: Instant,
}

/// A message that was looked at.
#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: Seq,
    /// The first match from there on, once there is one, and where its line starts.
    first: Option<Seq>,
    at: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            next: Seq::ZERO,
            end: 0,
            marks: VecDeque::new(),
            stride: STRIDE,
            latest: None,
            used: Instant::now(),
        }
    }
}

impl Matches {
    /// Nothing is known yet.
    pub(crate) fn new(tags: Arc<[String]>) -> Self {
        Self { tags, state: Mutex::default() }
    }

    /// True when an answer takes a while: there is much to look at, or somebody does already.
    pub(crate) fn is_behind(&self, pool: &Pool) -> bool {
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return true,
        };
        pool.bounds()
            .is_ok_and(|b| b.newest.get().saturating_sub(state.next.max(b.oldest).get()) > FEW)
    }

    /// Where the retained lines begin and end.
    pub(crate) fn range(&self, pool: &Pool) -> Result<Range<u64>> {
        let state = self.current(pool)?;
        let (_, start) = state.from(pool, &self.tags, Seq::ZERO)?;
        Ok(start..state.end)
    }

    /// The first retained match from `seq` on, and where its line starts or will start.
    pub(crate) fn from(&self, pool: &Pool, seq: Seq) -> Result<(Option<Seq>, u64)> {
        self.current(pool)?.from(pool, &self.tags, seq)
    }

    /// The newest retained match.
    pub(crate) fn latest(&self, pool: &Pool) -> Result<Option<Seq>> {
        let latest = self.current(pool)?.latest;
        let oldest = pool.bounds()?.oldest;
        Ok(latest.filter(|latest| *latest >= oldest))
    }

    /// Forgets everything if it was not used for a while; true when places begin anew. Does not wait.
    pub(crate) fn tidy(&self) -> bool {
        let Ok(mut state) = self.state.try_lock() else { return false };
        let idle = state.next > Seq::ZERO && state.used.elapsed() > IDLE;
        if idle {
            *state = State::default();
        }
        idle
    }

    /// The state, with all messages looked at.
    fn current(&self, pool: &Pool) -> Result<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        state.used = Instant::now();
        state.look_on(pool, &self.tags)?;
        Ok(state)
    }
}

impl State {
    fn look_on(&mut self, pool: &Pool, tags: &[String]) -> Result<()> {
        let newest = pool.bounds()?.newest;
        let mut message = Message::default();
        while self.next <= newest {
            if found(pool.get_into(self.next, &mut message))?.is_none() {
                // Overwritten: nobody saw a line of it.
                self.next = self.next.next().max(pool.bounds()?.oldest);
                continue;
            }
            let seq = self.next;
            if self.marks.back().is_none_or(|last| seq.get() - last.seq.get() >= self.stride) {
                self.marks.push_back(Mark { seq, first: None, at: self.end });
            }
            if message.has_tags(tags) {
                let waiting = self.marks.iter_mut().rev().take_while(|m| m.first.is_none());
                waiting.for_each(|mark| mark.first = Some(seq));
                self.end += message.line_len();
                self.latest = Some(seq);
            }
            self.next = seq.next();
            if self.marks.len() > MAX_MARKS {
                self.thin_out(pool.bounds()?.oldest);
            }
        }
        self.drop_marks_before(pool.bounds()?.oldest);
        Ok(())
    }

    fn drop_marks_before(&mut self, oldest: Seq) {
        while self.marks.front().is_some_and(|mark| mark.seq < oldest) {
            self.marks.pop_front();
        }
    }

    fn thin_out(&mut self, oldest: Seq) {
        self.drop_marks_before(oldest);
        if self.marks.len() > MAX_MARKS / 2 {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
    }

    /// The first retained match from `seq` on among those looked at, and its place. Walks one stride at most.
    fn from(&self, pool: &Pool, tags: &[String], seq: Seq) -> Result<(Option<Seq>, u64)> {
        let mut message = Message::default();
        'again: loop {
            let seq = seq.max(pool.bounds()?.oldest);
            let after = self.marks.get(self.marks.partition_point(|mark| mark.seq < seq));
            let (limit, mut first, mut at) =
                after.map_or((self.next, None, self.end), |mark| (mark.seq, mark.first, mark.at));
            let mut walk = limit.prev();
            while walk >= seq && walk < limit {
                if found(pool.get_into(walk, &mut message))?.is_none() {
                    // Overwritten meanwhile, so the oldest message is another one.
                    continue 'again;
                }
                if message.has_tags(tags) {
                    first = Some(walk);
                    at = at.saturating_sub(message.line_len());
                }
                walk = walk.prev();
            }
            return Ok((first, at));
        }
    }

    /// A match, with its place, from which a walk leads to the line that holds byte `at`. None: no retained line does.
    fn before(&self, pool: &Pool, tags: &[String], at: u64) -> Result<Option<(Seq, u64)>> {
        let (first, start) = self.from(pool, tags, Seq::ZERO)?;
        let Some(first) = first.filter(|_| (start..self.end).contains(&at)) else {
            return Ok(None);
        };
        let mark = self.marks.partition_point(|mark| mark.at <= at).checked_sub(1);
        let near = mark.and_then(|i| self.marks.get(i)).and_then(|m| Some((m.first?, m.at)));
        Ok(Some(near.filter(|(_, place)| *place > start).unwrap_or((first, start))))
    }
}

/// The log of the messages with certain tags, for one reader.
pub(crate) struct MatchesLog {
    pool: Current,
    matches: Arc<Matches>,
    /// Where the last read ended: the message to look at next, and the place of the next match.
    stopped: Mutex<(Seq, u64)>,
}

impl MatchesLog {
    /// Nothing was read yet.
    pub(crate) fn new(pool: Pool, matches: Arc<Matches>) -> Self {
        Self { pool: Current::new(pool), matches, stopped: Mutex::new((Seq::ZERO, 0)) }
    }

    fn lines_in(&self, pool: &Pool, at: u64, take: Lines<'_>) -> Result<()> {
        let tags = &self.matches.tags;
        let (mut message, mut line) = (Message::default(), String::new());
        'again: loop {
            let (mut seq, mut place, end) = {
                let state = self.matches.current(pool)?;
                let Some(near) = state.before(pool, tags, at)? else { return Ok(()) };
                let stopped = *lock(&self.stopped);
                let stopped = Some(stopped).filter(|s| s.0 > near.0 && s.1 <= at);
                let (seq, place) = stopped.unwrap_or(near);
                (seq, place, state.next)
            };
            let mut taken = false;
            while seq < end {
                if found(pool.get_into(seq, &mut message))?.is_none() {
                    // Overtaken. Before the first line there may be another way to it.
                    if taken {
                        return Ok(());
                    }
                    continue 'again;
                }
                seq = seq.next();
                if !message.has_tags(tags) {
                    continue;
                }
                let start = place;
                place += message.line_len();
                if place <= at {
                    continue;
                }
                line.clear();
                message.write_line(&mut line);
                taken = true;
                if !take(start, line.as_bytes()) {
                    break;
                }
            }
            *lock(&self.stopped) = (seq, place);
            return Ok(());
        }
    }
}

impl Text for MatchesLog {
    fn range(&self) -> Result<Range<u64>> {
        self.pool.with(|pool| self.matches.range(pool))
    }

    fn lines(&self, at: u64, take: Lines<'_>) -> Result<()> {
        lines_of(&self.pool, take, |pool, take| self.lines_in(pool, at, take))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use plasmite_core::{Client, Durability};

    use super::*;
    use crate::views::TextReader;

    /// What the text must be, kept the plain way.
    #[derive(Default)]
    struct Model {
        lines: VecDeque<(Seq, u64, String)>,
        end: u64,
    }

    impl Model {
        fn append(&mut self, pool: &Pool, tagged: bool, pad: usize) {
            let tags: &[&str] = if tagged { &["x", "wanted"] } else { &["x"] };
            let json = format!("{{\"pad\":\"{}\"}}", "p".repeat(pad));
            let seq = pool.append(json.as_bytes(), tags, Durability::Fast).expect("append").seq;
            if tagged {
                let line = pool.get(seq).expect("get").to_json() + "\n";
                let at = self.end;
                self.end += line.len() as u64;
                self.lines.push_back((seq, at, line));
            }
            let oldest = pool.bounds().expect("bounds").oldest;
            while self.lines.front().is_some_and(|(seq, ..)| *seq < oldest) {
                self.lines.pop_front();
            }
        }

        fn start(&self) -> u64 {
            self.lines.front().map_or(self.end, |(_, at, _)| *at)
        }

        fn text(&self) -> String {
            self.lines.iter().map(|(.., line)| line.as_str()).collect()
        }
    }

    fn pool(size_bytes: u64) -> (tempfile::TempDir, Pool) {
        let dir = tempfile::tempdir().expect("a directory");
        let pool = Client::new(dir.path()).create("docs", size_bytes).expect("a pool");
        (dir, pool)
    }

    fn read_all(log: &MatchesLog, base: u64, step: usize) -> String {
        let (mut reader, mut text) = (TextReader::new(base), Vec::new());
        loop {
            let chunk = reader.read(log, text.len() as u64, step).expect("read");
            if chunk.as_slice().is_empty() {
                return String::from_utf8(text).expect("UTF-8");
            }
            text.extend_from_slice(chunk.as_slice());
        }
    }

    /// SEMANTICS: A filtered log is a true file
    #[test]
    fn the_text_is_what_a_plain_list_of_matches_says_while_the_ring_turns() {
        let (_dir, pool) = pool(256 << 10);
        let matches = Arc::new(Matches::new([String::from("wanted")].into()));
        let mut model = Model::default();
        assert_eq!(matches.range(&pool).expect("range"), 0..0);
        // Rare, frequent, and bursts; more than the ring holds, and looked at now and then only.
        for round in 0..60_u64 {
            for i in 0..400_u64 {
                let tagged = match round % 3 {
                    0 => i % 97 == 0,
                    1 => i % 2 == 0,
                    _ => (100..130).contains(&i),
                };
                model.append(&pool, tagged, (i * 31 % 60) as usize);
            }
            let log = MatchesLog::new(pool.clone(), Arc::clone(&matches));
            assert_eq!(log.range().expect("range"), model.start()..model.end, "round {round}");
            let oldest = model.lines.front().map(|(seq, ..)| *seq);
            assert_eq!(matches.from(&pool, Seq::ZERO).expect("first").0, oldest);
            let newest = model.lines.back().map(|(seq, ..)| *seq);
            assert_eq!(matches.latest(&pool).expect("latest"), newest);
            for (seq, at, line) in model.lines.iter().step_by(37) {
                assert_eq!(matches.from(&pool, *seq).expect("from"), (Some(*seq), *at));
                let mut reader = TextReader::new(*at);
                let chunk = reader.read(&log, 0, line.len()).expect("read");
                assert_eq!(chunk.as_slice(), line.as_bytes());
            }
            let step = if round % 2 == 0 { 1000 } else { 1 << 20 };
            assert_eq!(read_all(&log, model.start(), step), model.text(), "round {round}");
        }
        assert!(lock(&matches.state).marks.len() < 50);
    }

    #[test]
    fn however_many_messages_there_are_only_so_many_marks_are_kept() {
        let (_dir, pool) = pool(16 << 20);
        let matches = Matches::new([String::from("wanted")].into());
        lock(&matches.state).stride = 2;
        let mut model = Model::default();
        (0..50_000).for_each(|i| model.append(&pool, i % 10 == 3, 0));
        assert_eq!(matches.range(&pool).expect("range"), model.start()..model.end);
        let state = lock(&matches.state);
        assert!(state.marks.len() <= MAX_MARKS && state.stride > 2, "{}", state.stride);
        drop(state);
        for (seq, at, _) in model.lines.iter().step_by(101) {
            assert_eq!(matches.from(&pool, *seq).expect("from"), (Some(*seq), *at));
        }
    }
}
