//! Failpoints: the named steps of everything that changes a pool. A debug build can be told to die or to stop at one, so that
//! tests have a process exactly there; a release build has no code for it.
//!
//! `PLASMITE_DIE_AT=committed:17` ends the process, as SIGKILL does, when it comes to `committed` for the 17th time;
//! `PLASMITE_STOP_AT` stops it there, as SIGSTOP does.

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that names the failpoint at which to die and, after a colon, at which time.
pub const DIE_AT: &str = "PLASMITE_DIE_AT";
/// The one for stopping.
pub const STOP_AT: &str = "PLASMITE_STOP_AT";

macro_rules! failpoints {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Failpoint {
            $($(#[$doc])* $variant,)*
        }

        impl Failpoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in the variable.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

failpoints! {
    /// A place in the participant table is locked, its record is not written.
    PlaceLocked = "place-locked";
    /// The writer lock was taken.
    LockTaken = "lock-taken";
    /// A lock was taken from a writer that died.
    LockTakenOver = "lock-taken-over";
    /// `oldest` is stored, nothing is overwritten.
    RoomMade = "room-made";
    /// The frame's first words are in the ring.
    FrameBegun = "frame-begun";
    /// The frame is in the ring.
    FrameCopied = "frame-copied";
    /// The index knows where the frame is.
    SlotWritten = "slot-written";
    /// The tip that does not count is marked as being written.
    TipBegun = "tip-begun";
    /// The next tip is written.
    TipWritten = "tip-written";
    /// The flush target is stored.
    FlushTargetStored = "flush-target-stored";
    /// The message is published; the lock is held.
    Committed = "committed";
    /// The lock is free, nobody was woken.
    LockFreed = "lock-freed";
    /// The mark of sleeping readers is cleared, they sleep.
    MarkCleared = "mark-cleared";
    /// Readers were woken.
    Woken = "woken";
    /// The sync lock was taken.
    SyncLockTaken = "sync-lock-taken";
    /// The file is synced.
    Synced = "synced";
    /// `durable` is stored, `persisted` is not.
    DurableStored = "durable-stored";
    /// `persisted` is stored, the sync lock is held.
    PersistedStored = "persisted-stored";
    /// A new file's bytes are reserved.
    FileReserved = "file-reserved";
    /// A new file's header is written.
    HeaderWritten = "header-written";
    /// A new file is synced.
    FileSynced = "file-synced";
    /// A new file has its name.
    FileLinked = "file-linked";
    /// A new file's name is on the disk.
    DirectorySynced = "directory-synced";
    /// A deleter has the writer lock.
    DeleteLocked = "delete-locked";
    /// The name is removed, the state is not stored.
    NameRemoved = "name-removed";
    /// The state says that the pool is deleted; nobody was woken.
    StateStored = "state-stored";
    /// The recovery byte is locked.
    RecoveryLocked = "recovery-locked";
    /// Recovery has written the index.
    IndexStored = "index-stored";
    /// And synced it.
    IndexSynced = "index-synced";
    /// Recovery has freed the locks of before.
    LocksCleared = "locks-cleared";
    /// Recovery has written the tip.
    TipRecovered = "tip-recovered";
    /// Recovery has written every word but the boot's id.
    BoundsRecovered = "bounds-recovered";
    /// And synced them.
    RecoverySynced = "recovery-synced";
    /// The boot's id is stored.
    BootStored = "boot-stored";
    /// A resize has copied what was there, while writers went on.
    ResizeCopied = "resize-copied";
    /// It has the old file's lock, and the new file has not all messages.
    ResizeLocked = "resize-locked";
    /// The new file is complete and on the disk, without a name.
    ResizeFinished = "resize-finished";
    /// It has a temporary name.
    ResizeNamed = "resize-named";
    /// It has the pool's name, which may not be on the disk.
    ResizeRenamed = "resize-renamed";
    /// The new file's name is on the disk; the old file's state is not stored.
    ResizeSynced = "resize-synced";
    /// The old file's state is stored; both locks are held.
    ResizeStateStored = "resize-state-stored";
    /// The locks are free; nobody who slept at the old file was woken.
    ResizeFreed = "resize-freed";
}

/// Passes a failpoint.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn pass(_: Failpoint) {}

/// Passes a failpoint, or dies there.
#[cfg(debug_assertions)]
#[inline]
pub(crate) fn pass(point: Failpoint) {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    if let Some(plan) = PLAN.get_or_init(Plan::from_env)
        && plan.point == point
        && plan.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        if plan.stop {
            crate::sys::process::stop();
        } else {
            crate::sys::process::die();
        }
    }
}

#[cfg(debug_assertions)]
struct Plan {
    point: Failpoint,
    left: AtomicU64,
    stop: bool,
}

#[cfg(debug_assertions)]
impl Plan {
    fn from_env() -> Option<Self> {
        let stop = std::env::var_os(STOP_AT).is_some();
        let text = std::env::var(if stop { STOP_AT } else { DIE_AT }).ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        let point = Failpoint::ALL.iter().copied().find(|p| p.name() == name)?;
        Some(Self { point, left: AtomicU64::new(count.parse().ok()?), stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failpoint_has_a_name_of_its_own_and_is_passed_somewhere() {
        let mut names: Vec<_> = Failpoint::ALL.iter().map(|p| p.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Failpoint::ALL.len());
        let pool = concat!(env!("CARGO_MANIFEST_DIR"), "/src/pool");
        let sources: String = std::fs::read_dir(pool)
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        for point in Failpoint::ALL {
            assert!(
                sources.contains(&format!("Failpoint::{point:?})")),
                "{point:?} is never passed"
            );
        }
    }
}
