//! Every schedule of a few tasks with at most so many preemptions (context bounding, as in CHESS): nearly all errors of
//! interleaving show with two, and their number grows with the length of the tasks to the power of that, not beyond all bounds.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// The task that lets time pass, when nobody else can run: the first that the main task spawns.
const TIMER: usize = 1;

/// A depth-first walk over all schedules, and over what else is left to choose in an execution.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    /// None: as many as there are.
    preemptions: Option<u32>,
    choices: Choices,
    left: u32,
    begun: bool,
    turns: Turns,
}

/// Who has to let whom go first, or those who look again and again would be all that ever runs: a task that has nothing to do
/// twice, without another that could having run in between, waits for that one (the fair schedules of CHESS).
#[derive(Debug, Default)]
struct Turns {
    /// For each task that had nothing to do once: who has run since.
    since: HashMap<TaskId, HashSet<TaskId>>,
    /// The first waits for the second.
    waits: Vec<(TaskId, TaskId)>,
}

impl Turns {
    /// `task` has nothing to do, and the others could run.
    fn pass(&mut self, task: TaskId, others: &[TaskId]) {
        if let Some(ran) = self.since.insert(task, HashSet::new()) {
            let starved = others.iter().filter(|other| !ran.contains(other));
            self.waits.extend(starved.map(|other| (task, *other)));
        }
    }

    /// It is the turn of none of those who wait for another one of `tasks`.
    fn retain(&self, tasks: &mut Vec<TaskId>) {
        let all = tasks.clone();
        tasks.retain(|task| !self.waits.iter().any(|(t, other)| t == task && all.contains(other)));
    }

    fn ran(&mut self, task: TaskId) {
        self.waits.retain(|(_, other)| *other != task);
        self.since.values_mut().for_each(|ran| _ = ran.insert(task));
    }
}

impl Bounded {
    pub(super) fn new(preemptions: Option<u32>) -> Self {
        Self { preemptions, ..Self::default() }
    }

    /// For what is chosen beside the schedule.
    pub(super) fn choices(&self) -> Choices {
        self.choices.clone()
    }
}

/// The choices of an execution, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices(Arc<Mutex<Walk>>);

#[derive(Debug, Default)]
struct Walk {
    /// For each choice that was made: which, and out of how many.
    made: Vec<(usize, usize)>,
    depth: usize,
}

impl Choices {
    fn with<T>(&self, act: impl FnOnce(&mut Walk) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One out of so many: in the end each of them, after each way to come here.
    pub(super) fn choose(&self, out_of: usize) -> usize {
        if out_of == 1 {
            return 0;
        }
        self.with(|walk| {
            if walk.depth == walk.made.len() {
                walk.made.push((0, out_of));
            }
            let (chosen, of) = walk.made[walk.depth];
            assert_eq!(of, out_of, "an execution is not determined by its choices");
            walk.depth += 1;
            chosen
        })
    }

    /// Goes back to the last choice that has another way. False: there is none.
    fn next(&self) -> bool {
        self.with(|walk| {
            while walk.made.pop_if(|(chosen, of)| *chosen + 1 == *of).is_some() {}
            walk.made.last_mut().map(|(chosen, _)| *chosen += 1).is_some()
        })
    }
}

impl Scheduler for Bounded {
    fn new_execution(&mut self) -> Option<Schedule> {
        if std::mem::replace(&mut self.begun, true) && !self.choices.next() {
            return None;
        }
        self.choices.with(|walk| walk.depth = 0);
        self.left = self.preemptions.unwrap_or(u32::MAX);
        self.turns = Turns::default();
        Some(Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let mut tasks: Vec<_> = runnable.iter().map(|task| task.id()).collect();
        if tasks.len() > 1 {
            tasks.retain(|id| usize::from(*id) != TIMER);
        }
        let mut preempts = false;
        if let Some(at) = current.and_then(|id| tasks.iter().position(|t| *t == id)) {
            if is_yielding && tasks.len() > 1 {
                let task = tasks.remove(at);
                self.turns.pass(task, &tasks);
                self.turns.retain(&mut tasks);
            } else {
                tasks[..=at].rotate_right(1);
                preempts = true;
                if self.left == 0 {
                    tasks.truncate(1);
                }
            }
        }
        let chosen = self.choices.choose(tasks.len());
        if preempts && chosen > 0 {
            self.left -= 1;
        }
        let task = tasks.get(chosen).copied();
        task.iter().for_each(|task| self.turns.ran(*task));
        task
    }

    fn next_u64(&mut self) -> u64 {
        panic!("nothing is left to chance")
    }
}
