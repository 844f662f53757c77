//! What a disk may hold: of each unit (a page that the kernel writes, or a sector that is written whole) any state that memory
//! had since the last sync.

use std::rc::Rc;

use crate::checks::Random;

/// Something that happened to the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Store {
        at: usize,
        value: u64,
        bytes: usize,
    },
    /// A sync was asked for: what is stored by now is on the disk at its end.
    SyncBegins,
    /// A sync of what lies from byte `from` on.
    SyncEnds {
        from: usize,
    },
}

/// The states of a file from a moment when all of it was on the disk.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) base: Vec<u8>,
    pub(super) events: Vec<Event>,
}

/// What the disk may hold between two syncs.
#[derive(Debug)]
pub(super) struct Segment {
    /// The first moment: the sync has just returned, or nothing happened yet.
    pub(super) start: usize,
    /// The last: just before the next sync returns, or the end.
    pub(super) end: usize,
    unit_bytes: usize,
    /// For each unit its states, the oldest first, each with the moment since when it is.
    units: Vec<Vec<(usize, Rc<[u8]>)>>,
}

/// What a disk writes whole, or not at all.
pub(super) const SECTOR: usize = 512;
/// A longer run of stores to neighbouring words is a copy: in its middle only the states at the ends of sectors count.
const COPY_WORDS: usize = 12;

impl Trace {
    /// The file as memory holds it at the end.
    pub(super) fn memory(&self) -> Vec<u8> {
        let mut memory = self.base.clone();
        self.events.iter().for_each(|event| apply(event, &mut memory));
        memory
    }

    pub(super) fn segments(&self, unit_bytes: usize) -> Vec<Segment> {
        let skipped = self.middles_of_copies();
        let mut memory = self.base.clone();
        let fresh = |memory: &[u8], time: usize| -> Vec<Vec<(usize, Rc<[u8]>)>> {
            memory.chunks(unit_bytes).map(|unit| vec![(time, unit.into())]).collect()
        };
        let mut segments = Vec::new();
        let mut units = fresh(&memory, 0);
        // What the disk may hold once the sync that is under way has ended.
        let mut after = None;
        let mut start = 0;
        for (i, event) in self.events.iter().enumerate() {
            let time = i + 1;
            apply(event, &mut memory);
            match event {
                Event::Store { at, .. } if !skipped[i] => {
                    let unit = at / unit_bytes;
                    let bytes: Rc<[u8]> =
                        memory[unit * unit_bytes..][..units[unit][0].1.len()].into();
                    for states in [Some(&mut units), after.as_mut()].into_iter().flatten() {
                        if states[unit].last().is_none_or(|(_, last)| *last != bytes) {
                            states[unit].push((time, bytes.clone()));
                        }
                    }
                }
                Event::Store { .. } => {}
                Event::SyncBegins => after = Some(fresh(&memory, time)),
                Event::SyncEnds { from } => {
                    let mut next = after.take().expect("a sync ends that had begun");
                    // What was not synced is as old as it may be.
                    next[..from / unit_bytes].clone_from_slice(&units[..from / unit_bytes]);
                    let units = std::mem::replace(&mut units, next);
                    segments.push(Segment { start, end: i, unit_bytes, units });
                    start = time;
                }
            }
        }
        segments.push(Segment { start, end: self.events.len(), unit_bytes, units });
        segments
    }

    /// For each event whether its state is left out.
    fn middles_of_copies(&self) -> Vec<bool> {
        let range = |i: usize| match self.events.get(i) {
            Some(Event::Store { at, bytes, .. }) => Some((*at, at + bytes)),
            _ => None,
        };
        let follows =
            |i: usize| range(i).is_some_and(|(at, _)| Some(at) == range(i - 1).map(|r| r.1));
        let mut skipped = vec![false; self.events.len()];
        let mut first = 0;
        while first < self.events.len() {
            let mut end = first + 1;
            while follows(end) {
                end += 1;
            }
            if end - first > COPY_WORDS {
                for (i, skip) in skipped.iter_mut().enumerate().take(end - 3).skip(first + 6) {
                    *skip = range(i).is_none_or(|(_, end)| !end.is_multiple_of(SECTOR));
                }
            }
            first = end;
        }
        skipped
    }
}

fn apply(event: &Event, memory: &mut [u8]) {
    if let Event::Store { at, value, bytes } = event {
        memory[*at..at + bytes].copy_from_slice(&value.to_le_bytes()[..*bytes]);
    }
}

impl Segment {
    /// How many images there are.
    pub(super) fn count(&self) -> u64 {
        self.units.iter().fold(1, |n, states| n.saturating_mul(states.len() as u64))
    }

    /// Every image, with the first moment at which it can be found.
    pub(super) fn every_image(&self, mut see: impl FnMut(&[u8], usize)) {
        let mut chosen = vec![0; self.units.len()];
        let mut image = self.image(&chosen);
        loop {
            see(&image, self.moment(&chosen));
            // The next in the order of an odometer.
            let Some(turned) = (0..chosen.len()).find(|u| chosen[*u] + 1 < self.units[*u].len())
            else {
                return;
            };
            chosen[turned] += 1;
            chosen[..turned].fill(0);
            (0..=turned).for_each(|unit| self.put(unit, chosen[unit], &mut image));
        }
    }

    /// Every image in which all units but one or two are as memory was at the end, or as they were at the start.
    pub(super) fn nearly_whole_images(&self, mut see: impl FnMut(&[u8], usize)) {
        let newest: Vec<_> = self.units.iter().map(|states| states.len() - 1).collect();
        for whole in [newest, vec![0; self.units.len()]] {
            for (a, first) in self.units.iter().enumerate() {
                for (b, second) in self.units.iter().enumerate().skip(a) {
                    for (i, j) in
                        (0..first.len()).flat_map(|i| (0..second.len()).map(move |j| (i, j)))
                    {
                        let mut chosen = whole.clone();
                        (chosen[a], chosen[b]) = (i, j);
                        if chosen[a] == i && (i != whole[a] || j != whole[b]) {
                            see(&self.image(&chosen), self.moment(&chosen));
                        }
                    }
                }
            }
        }
    }

    /// An image at random: any states at all, mostly old or mostly new ones, or those of one moment but for a few.
    pub(super) fn any_image(&self, random: &mut Random) -> (Vec<u8>, usize) {
        let kind = random.below(4);
        let moment = self.start + random.below(self.end - self.start + 1);
        let choose = |states: &Vec<(usize, Rc<[u8]>)>| {
            let any = random.below(states.len());
            let at_moment = states.iter().rposition(|(time, _)| *time <= moment).unwrap_or(0);
            match kind {
                0 => any,
                1 if random.below(4) > 0 => 0,
                2 if random.below(4) > 0 => states.len() - 1,
                3 if random.below(4) > 0 => at_moment,
                _ => any,
            }
        };
        let chosen: Vec<_> = self.units.iter().map(choose).collect();
        (self.image(&chosen), self.moment(&chosen))
    }

    /// What is there when nothing since the last sync reached the disk.
    pub(super) fn oldest_image(&self) -> Vec<u8> {
        self.image(&vec![0; self.units.len()])
    }

    fn image(&self, chosen: &[usize]) -> Vec<u8> {
        self.units.iter().zip(chosen).flat_map(|(states, c)| states[*c].1.iter().copied()).collect()
    }

    fn put(&self, unit: usize, state: usize, image: &mut [u8]) {
        let bytes = &self.units[unit][state].1;
        image[unit * self.unit_bytes..][..bytes.len()].copy_from_slice(bytes);
    }

    fn moment(&self, chosen: &[usize]) -> usize {
        let newest = self.units.iter().zip(chosen).map(|(states, c)| states[*c].0).max();
        // What the disk took during a sync is there at its end.
        newest.unwrap_or(0).max(self.start)
    }
}
