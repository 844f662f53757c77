//! Histories: what is done to a pool, recorded and cut off at every moment.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;

use super::disk::{SECTOR, Segment, Trace};
use super::judge::{Case, Contents, Demand, Judge, after_restart, digest_of_contents, options};
use super::recorder::{Recorder, unless_it_waits};
use crate::checks::{Random, document};
use crate::format::header::OLDEST_SEQ_AT;
use crate::sys::observed::observe;
use crate::{Durability, Pool};

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// An append of a document with so many bytes of text.
    Fast(usize),
    /// The same, on the disk when it returns.
    Flush(usize),
    /// The same; during its first sync another process makes two appends.
    FlushBeside(usize),
    /// Appends of a batch of two.
    Batch(usize, Durability),
    /// [`Pool::flush`].
    Sync,
    /// A power loss, after which the pool is opened again. The disk holds nothing since the last sync.
    LossOfAll,
    /// The same; the disk holds everything.
    LossOfNothing,
    /// The same, at any moment since the power loss before; any state of any sector. The number chooses.
    Loss(u64),
}

/// A pool file to start from, all of it on the disk.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) name: &'static str,
    pub(super) image: Vec<u8>,
    pub(super) contents: Contents,
    pub(super) demand: Demand,
}

impl Start {
    /// A new pool on which `ops` were done, without a power loss among them.
    pub(super) fn after(name: &'static str, size: u64, ops: &[Op]) -> Self {
        let dir = crate::checks::scratch_dir();
        let path = dir.path().join("start");
        drop(Pool::create(&path, size).unwrap());
        let pool = options().open(&path).unwrap();
        let contents = RefCell::default();
        let mut promised = 0;
        for op in ops {
            promised = act(&pool, *op, 0, &contents).unwrap_or(promised);
        }
        let oldest = pool.bounds().unwrap().oldest.get();
        let demand = Demand { oldest, promised };
        Self { name, image: fs::read(&path).unwrap(), contents: contents.take(), demand }
    }
}

/// How the images of a recorded part of a history are chosen.
pub(super) trait Choose {
    fn images(&mut self, trace: &Trace, see: &mut dyn FnMut(&Segment, &[u8], usize));
}

/// What changed at a moment of a recording.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Begun(u64),
    Promised(Demand),
}

/// Another process, which appends during a sync.
struct Beside {
    pool: Pool,
    life: u64,
    contents: Rc<RefCell<Contents>>,
}

impl Beside {
    fn put(&self) {
        // Not when it has to wait: for the lock that the syncing process holds, or for the end of the sync.
        let before = self.contents.borrow().clone();
        if unless_it_waits(|| act(&self.pool, Op::Fast(10), self.life, &self.contents)).is_none() {
            *self.contents.borrow_mut() = before;
        }
    }
}

/// Does `op`, which is no power loss; what is promised after it, if that changed.
fn act(pool: &Pool, op: Op, life: u64, contents: &RefCell<Contents>) -> Option<u64> {
    let n = pool.bounds().unwrap().newest.get() + 1;
    let put = |len, durability| {
        let text = document(life, n, len);
        contents.borrow_mut().insert(n, text.clone());
        pool.append::<&str>(text.as_bytes(), &[], durability).unwrap();
    };
    match op {
        Op::Fast(len) => put(len, Durability::Fast),
        Op::Flush(len) => {
            put(len, Durability::Flush);
            return Some(n);
        }
        Op::Batch(len, durability) => {
            let texts = [document(life, n, len), document(life, n + 1, len)];
            contents.borrow_mut().extend([(n, texts[0].clone()), (n + 1, texts[1].clone())]);
            let documents = texts.each_ref().map(|t| crate::json::Document::parse(t.as_bytes()));
            let documents = documents.map(Result::unwrap);
            let entries = documents.each_ref().map(|document| crate::Entry { document, tags: &[] });
            pool.append_batch(&entries, durability).unwrap();
            return (durability == Durability::Flush).then_some(n + 1);
        }
        Op::FlushBeside(_) => panic!("another process is needed"),
        Op::Sync => {
            pool.flush().unwrap();
            return Some(n - 1);
        }
        Op::LossOfAll | Op::LossOfNothing | Op::Loss(_) => panic!("not an operation of a pool"),
    }
    None
}

/// Plays a history and has every image of it judged that `choose` chooses.
pub(super) fn play(start: &Start, ops: &[Op], choose: &mut dyn Choose, judge: &mut Judge) {
    judge.figures.histories += 1;
    let path = judge.path("pool");
    let mut image = start.image.clone();
    let contents = Rc::new(RefCell::new(start.contents.clone()));
    let mut demand = start.demand;
    let mut rest = ops;
    for life in 1.. {
        let end = rest.iter().position(|op| is_loss(*op)).unwrap_or(rest.len());
        let mut begun = contents.borrow().last_key_value().map_or(0, |(seq, _)| *seq);
        let marks = vec![(0, Mark::Begun(begun)), (0, Mark::Promised(demand))];
        let marks = Rc::new(RefCell::new(marks));

        fs::write(&path, &image).unwrap();
        let recorder = Rc::new(Recorder::default());
        let observing = observe(recorder.clone());
        let pool = options().open(&path).unwrap();
        let mut other: Option<Pool> = None;
        let bounds = pool.bounds().unwrap();
        // Until recovery is done, the life before may be found again.
        let (before, opened) = (contents.borrow().clone(), recorder.now());
        if life > 1 {
            // What recovery gave up makes room for messages of the same numbers.
            contents.borrow_mut().split_off(&(bounds.newest.get() + 1));
            demand = Demand { oldest: bounds.oldest.get(), promised: bounds.newest.get() };
            marks.borrow_mut().push((opened, Mark::Promised(demand)));
        }
        for op in &rest[..end] {
            begun = pool.bounds().unwrap().newest.get() + 1;
            begun += u64::from(matches!(op, Op::Batch(..)));
            marks.borrow_mut().push((recorder.now(), Mark::Begun(begun)));
            let promised = if let Op::FlushBeside(len) = op {
                let other = other.get_or_insert_with(|| options().open(&path).unwrap());
                let beside = Beside { pool: other.clone(), life, contents: contents.clone() };
                let (recorder, marks) = (recorder.clone(), marks.clone());
                recorder.clone().during_next_sync(move || {
                    for _ in 0..2 {
                        let n = beside.pool.bounds().unwrap().newest.get() + 1;
                        marks.borrow_mut().push((recorder.now(), Mark::Begun(n)));
                        beside.put();
                    }
                });
                act(&pool, Op::Flush(*len), life, &contents)
            } else {
                act(&pool, *op, life, &contents)
            };
            if let Some(promised) = promised {
                demand.promised = promised;
                marks.borrow_mut().push((recorder.now(), Mark::Promised(demand)));
            }
        }
        drop(other);
        drop(observing);
        drop(pool);
        let trace = Trace { base: image, events: recorder.take() };
        let (marks, contents) = (marks.borrow(), contents.borrow());
        let digests = (digest_of_contents(&before), digest_of_contents(&contents));
        let demands = Demands::of(&trace, &marks);
        let history = (start.name, ops);
        choose.images(&trace, &mut |segment, image, moment| {
            let demands = demands.between(moment, segment.end);
            let begun = begun_at(&marks, moment);
            let (contents, contents_digest): (&Contents, u64) =
                if segment.end < opened { (&before, digests.0) } else { (&contents, digests.1) };
            let case =
                Case { contents, contents_digest, demands: &demands, begun, history: &history };
            judge.judge(image, case);
        });
        let Some((loss, after)) = rest[end..].split_first() else { return };
        let (left, at, last) = lose(&trace, *loss);
        demand = *demands.between(at, last).last().unwrap();
        image = after_restart(&left);
        rest = after;
    }
}

/// What a power loss leaves, the first moment at which it can leave that, and the last.
fn lose(trace: &Trace, loss: Op) -> (Vec<u8>, usize, usize) {
    let segments = trace.segments(SECTOR);
    let end = trace.events.len();
    match loss {
        Op::LossOfNothing => (trace.memory(), end, end),
        Op::Loss(seed) => {
            let mut random = Random::new(seed);
            let segment = &segments[random.below(segments.len())];
            let (image, moment) = segment.any_image(&mut random);
            (image, moment, segment.end)
        }
        _ => segments.last().map(|last| (last.oldest_image(), last.start, end)).unwrap(),
    }
}

fn is_loss(op: Op) -> bool {
    matches!(op, Op::LossOfAll | Op::LossOfNothing | Op::Loss(_))
}

fn begun_at(marks: &[(usize, Mark)], moment: usize) -> u64 {
    let begun = |(time, mark): &(usize, Mark)| match mark {
        Mark::Begun(seq) if *time <= moment => Some(*seq),
        _ => None,
    };
    marks.iter().rev().find_map(begun).unwrap_or(0)
}

/// What must be there after a power loss at each moment.
struct Demands(Vec<(usize, Demand)>);

impl Demands {
    fn of(trace: &Trace, marks: &[(usize, Mark)]) -> Self {
        let word = |at: u64| trace.base[at as usize..][..8].try_into().unwrap();
        let mut oldest = u64::from_le_bytes(word(OLDEST_SEQ_AT));
        let mut demands: Vec<(usize, Demand)> = Vec::new();
        let mut marks = marks.iter().peekable();
        let mut last = Demand { oldest: 0, promised: 0 };
        for time in 0..=trace.events.len() {
            if let Some(super::disk::Event::Store { at, value, .. }) =
                time.checked_sub(1).map(|i| trace.events[i])
                && at == OLDEST_SEQ_AT as usize
            {
                oldest = value;
            }
            while let Some((_, mark)) = marks.next_if(|(t, _)| *t <= time) {
                if let Mark::Promised(demand) = mark {
                    last = *demand;
                }
            }
            // An eviction ends the promise, from the moment when it is said on.
            let now = Demand { oldest: last.oldest.max(oldest), promised: last.promised };
            if demands.last().is_none_or(|(_, before)| *before != now) {
                demands.push((time, now));
            }
        }
        Self(demands)
    }

    /// Those of the moments from `first` to `last`: the power may have gone at any of them.
    fn between(&self, first: usize, last: usize) -> Vec<Demand> {
        let from = self.0.iter().rposition(|(time, _)| *time <= first).unwrap_or(0);
        self.0[from..].iter().take_while(|(time, _)| *time <= last).map(|(_, d)| *d).collect()
    }
}
