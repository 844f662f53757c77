//! Rounds of writers that are killed while they append.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use plasmite_core::failpoint::Failpoint::{self, *};

use crate::child::{self, Aim, Kind, Programs, Writer};
use crate::pulse::Pulse;
use crate::random::Random;
use crate::report::{PROMISE, Report};
use crate::roles::Manner;
use crate::site::Site;

/// The steps of an append that every one comes to.
const APPEND: &[Failpoint] = &[
    PlaceLocked,
    LockTaken,
    FrameBegun,
    FrameCopied,
    SlotWritten,
    TipBegun,
    TipWritten,
    Committed,
    LockFreed,
];
/// Those of one that wakes somebody.
const WAKE: &[Failpoint] = &[MarkCleared, Woken];
/// Those of one that syncs.
const SYNC: &[Failpoint] =
    &[FlushTargetStored, SyncLockTaken, Synced, DurableStored, PersistedStored];
const SIZES: &[u64] = &[8 << 10, 64 << 10, 1 << 20];
/// How many rounds one pool goes through.
const ROUNDS_OF_A_SITE: u64 = 6;
const MOUNTED: Duration = Duration::from_secs(60);

pub(crate) struct Storm<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) dir: &'a Path,
    pub(crate) random: Random,
    pub(crate) pulse: Pulse,
    pub(crate) report: Report,
    pub(crate) next_name: u64,
    /// With mounts, which take root or a helper.
    pub(crate) mounts: bool,
    points: usize,
}

impl<'a> Storm<'a> {
    pub(crate) fn new(
        programs: &'a Programs,
        dir: &'a Path,
        seed: u64,
        mounts: bool,
    ) -> Result<Self, String> {
        Ok(Self {
            programs,
            dir,
            random: Random::new(seed),
            pulse: Pulse::start(dir)?,
            report: Report::default(),
            next_name: 1,
            mounts,
            points: 0,
        })
    }

    pub(crate) fn name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }

    /// One pool through a few rounds.
    pub(crate) fn site(&mut self, kills: u64) -> Result<(), String> {
        let name = self.name();
        // A pool directory of its own, for the mount.
        let dir = self.dir.join(format!("site-{name}"));
        std::fs::create_dir(&dir).map_err(|e| e.to_string())?;
        let path = dir.join("pool.plasmite");
        let size = self.random.one(SIZES);
        let mut site = Site::new(&path, size)?;
        site.fill(self.random.one(&[0, 50, 100]), 40 + self.random.below(size / 80) as usize)?;
        for _ in 0..ROUNDS_OF_A_SITE {
            let before = self.report.violations.len();
            self.round(&mut site, size)?;
            self.check_by_doctor(&path)?;
            if self.report.violations.len() > before {
                // As it is, to be looked at.
                let kept = std::env::temp_dir().join(format!("plasmite-storm-violation-{name}"));
                let copied = std::fs::copy(&path, &kept);
                self.report.violations.push(format!("kept as {}: {copied:?}", kept.display()));
                break;
            }
            if self.report.kills >= kills {
                break;
            }
        }
        drop(site);
        std::fs::remove_dir_all(&dir).map_err(|e| e.to_string())
    }

    pub(crate) fn check_by_doctor(&mut self, path: &Path) -> Result<(), String> {
        let output = Command::new(&self.programs.plasmite)
            .arg("doctor")
            .arg(path)
            .output()
            .map_err(|e| e.to_string())?;
        self.report.examined += 1;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            self.report.violations.push(format!("doctor: {}: {said}", output.status));
        }
        Ok(())
    }

    fn round(&mut self, site: &mut Site, size: u64) -> Result<(), String> {
        self.report.rounds += 1;
        let mounted = self.mounts && self.random.below(8) == 0;
        let count = if mounted { 1 + self.random.below(2) } else { 1 + self.random.below(4) };
        let aim = (self.random.below(2) == 0).then(|| self.aim(site));
        let mut manner = Manner {
            max_len: 20 + self.random.below(size / 20) as usize,
            mixed: self.random.below(2) == 0,
            flush_every: self.random.one(&[0, 0, 0, 1, 7]),
            count: u64::MAX,
        };
        if let Some(aim) = aim {
            manner.count = 3000;
            if SYNC.contains(&aim.point) {
                manner.flush_every = 1 + self.random.below(3);
            }
        }
        if aim.is_some_and(|aim| aim.point == LockTakenOver) {
            self.leave_a_dead_holder(site, manner)?;
        }
        let watcher = site.watch()?;
        let mount = if mounted { Some(self.mount(site.dir(), aim)?) } else { None };
        let mut writers = Vec::new();
        for i in 0..count {
            let kind = match self.random.below(12) {
                _ if mounted && i == 0 => Kind::Mount,
                0 => Kind::Python,
                1 | 2 => Kind::Command,
                _ => Kind::Rust,
            };
            let who = self.name();
            let aimed = aim.filter(|_| i == 0 && !mounted);
            let path = match &mount {
                Some(mount) if kind == Kind::Mount => mount.point.join("pool/in"),
                _ => site.path.clone(),
            };
            writers.push(Writer::start(self.programs, kind, &path, who, manner, aimed)?);
        }
        writers.iter().for_each(Writer::wait_until_ready);
        writers.iter_mut().for_each(Writer::go);
        let mut ended = Vec::new();
        if let Some(mut mount) = mount {
            let kind = Kind::Mount;
            self.kill_daemon(site, &mut mount, aim.is_some(), &mut writers[0])?;
            self.count(kind, child::was_killed(child::wait(&mut mount.daemon)?), aim);
            let client = writers.remove(0).end()?;
            if client.killed {
                self.report.violations.push("the client of a dead daemon had to be killed".into());
            }
            ended.push(client);
        } else if let Some(aim) = aim {
            let mut first = writers.remove(0);
            first.wait()?;
            let first = first.end()?;
            self.count(first.kind, first.killed, Some(aim));
            let others: Vec<u32> = writers.iter().map(Writer::id).collect();
            self.probe(site, &others, aim.point.name(), || ())?;
            ended.push(first);
        } else {
            thread::sleep(Duration::from_micros(self.random.below(8000)));
        }
        while !writers.is_empty() {
            let i = self.random.below(writers.len() as u64) as usize;
            let mut writer = writers.swap_remove(i);
            let mut others: Vec<u32> = writers.iter().map(Writer::id).collect();
            others.push(writer.id());
            self.probe(site, &others, "a kill at random", || writer.kill())?;
            let writer = writer.end()?;
            self.count(writer.kind, writer.killed, None);
            ended.push(writer);
            thread::sleep(Duration::from_micros(self.random.below(3000)));
        }
        let watched = watcher.end()?;
        self.report.read_late(&watched.delays);
        self.report.acknowledged += ended.iter().map(|one| one.acks.len() as u64).sum::<u64>();
        let what = format!("{aim:?} {manner:?} size={size}");
        let wrong = site.judge(ended, watched);
        self.report.checked += 1;
        self.report.violations.extend(wrong.into_iter().map(|w| format!("{what}: {w}")));
        Ok(())
    }

    /// The next step in turn, so that all come equally often.
    fn aim(&mut self, site: &Site) -> Aim {
        let full = site.pool.bounds().is_ok_and(|b| b.oldest > plasmite_core::Seq::FIRST);
        let mut points = [APPEND, WAKE, SYNC, &[LockTakenOver]].concat();
        if full {
            points.push(RoomMade);
        }
        self.points += 1;
        let point = points[self.points % points.len()];
        let few = WAKE.contains(&point) || matches!(point, PlaceLocked | LockTakenOver);
        let pass = if few { 1 } else { 1 + self.random.below(40) };
        Aim { point, pass }
    }

    fn count(&mut self, kind: Kind, killed: bool, aim: Option<Aim>) {
        match (killed, aim) {
            (true, aim) => {
                self.report.killed(kind, "append", aim.map(|aim| aim.point.name()));
            }
            (false, _) => self.report.missed += 1,
        }
    }

    /// Kills, and has a survivor append: how long it waits for those who die, and for `others`.
    fn probe(
        &mut self,
        site: &mut Site,
        others: &[u32],
        what: &str,
        kill: impl FnOnce(),
    ) -> Result<(), String> {
        let mark = self.pulse.mark(others);
        kill();
        if let Err(error) = site.probe() {
            self.report.violations.push(format!("{what}: {error}"));
            return Ok(());
        }
        let took = mark.elapsed();
        self.report.went_on(took);
        if took > PROMISE {
            let late = self.pulse.since(&mark);
            self.report.went_on_late(took, late, what);
        }
        Ok(())
    }

    /// Has a writer die in the lock, which the next one finds.
    fn leave_a_dead_holder(&mut self, site: &mut Site, manner: Manner) -> Result<(), String> {
        let point = self.random.one(&[LockTaken, FrameBegun, TipBegun, TipWritten, Committed]);
        let aim = Aim { point, pass: 1 };
        let who = self.name();
        let watcher = site.watch()?;
        let mut writer =
            Writer::start(self.programs, Kind::Rust, &site.path, who, manner, Some(aim))?;
        writer.go();
        let writer = writer.end()?;
        self.count(writer.kind, writer.killed, Some(aim));
        let watched = watcher.end()?;
        site.keep(writer, watched);
        Ok(())
    }

    /// A mount of the pools in a directory.
    pub(crate) fn mount(&mut self, pools: &Path, aim: Option<Aim>) -> Result<Mounted, String> {
        let point = self.dir.join(format!("mount-{}", self.name()));
        std::fs::create_dir(&point).map_err(|e| e.to_string())?;
        let before = std::fs::metadata(&point).map_err(|e| e.to_string())?.dev();
        let mut command = self.programs.daemon(pools, &point);
        child::aimed(&mut command, aim);
        let daemon = command.spawn().map_err(|e| e.to_string())?;
        let mut mounted = Mounted { daemon, point };
        let start = Instant::now();
        // Not a look into it: only who works with a pool opens it.
        while std::fs::metadata(&mounted.point).is_ok_and(|m| m.dev() == before) {
            if start.elapsed() > MOUNTED || mounted.daemon.try_wait().is_ok_and(|s| s.is_some()) {
                return Err("the mount did not come up".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(mounted)
    }

    /// The daemon dies, at its aim or at random; its client finds out by itself.
    fn kill_daemon(
        &mut self,
        site: &mut Site,
        mount: &mut Mounted,
        aimed: bool,
        client: &mut Writer,
    ) -> Result<(), String> {
        if aimed {
            // Or its client has written all that it wanted.
            client.wait()?;
        } else {
            thread::sleep(Duration::from_micros(self.random.below(8000)));
        }
        let daemon = &mut mount.daemon;
        let others = [daemon.id(), client.id()];
        self.probe(site, &others, "the death of a mount daemon", || drop(daemon.kill()))?;
        client.wait()?;
        Ok(())
    }
}

/// A mount whose daemon will be killed.
pub(crate) struct Mounted {
    pub(crate) daemon: Child,
    pub(crate) point: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.point).output();
        let _ = std::fs::remove_dir(&self.point);
    }
}
