//! Every schedule of a few tasks with at most so many preemptions (context bounding, as in CHESS): nearly all errors of
//! interleaving show with two, and their number grows with the length of the tasks to the power of that, not beyond all bounds.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// The task that lets time pass, when nobody else can run: the first that the main task spawns.
const TIMER: usize = 1;

/// A depth-first walk over all schedules.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    /// None: as many as there are.
    preemptions: Option<u32>,
    /// For each choice that was made: which, and out of how many.
    choices: Vec<(usize, usize)>,
    depth: usize,
    left: u32,
    begun: bool,
}

impl Bounded {
    pub(super) fn new(preemptions: Option<u32>) -> Self {
        Self { preemptions, ..Self::default() }
    }
}

impl Scheduler for Bounded {
    fn new_execution(&mut self) -> Option<Schedule> {
        if std::mem::replace(&mut self.begun, true) {
            while self.choices.pop_if(|(chosen, of)| *chosen + 1 == *of).is_some() {}
            self.choices.last_mut()?.0 += 1;
        }
        self.depth = 0;
        self.left = self.preemptions.unwrap_or(u32::MAX);
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
                tasks.remove(at);
            } else {
                tasks[..=at].rotate_right(1);
                preempts = true;
                if self.left == 0 {
                    tasks.truncate(1);
                }
            }
        }
        if tasks.len() == 1 {
            return tasks.first().copied();
        }
        if self.depth == self.choices.len() {
            self.choices.push((0, tasks.len()));
        }
        let (chosen, of) = self.choices[self.depth];
        assert_eq!(of, tasks.len(), "an execution is not determined by its schedule");
        self.depth += 1;
        if preempts && chosen > 0 {
            self.left -= 1;
        }
        Some(tasks[chosen])
    }

    fn next_u64(&mut self) -> u64 {
        panic!("nothing is left to chance")
    }
}
