//! Deaths in the making, the deleting and the recovering of pools.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plasmite_core::failpoint::Failpoint::{self, *};
use plasmite_core::{Durability, ErrorKind, Pool, Seq};

use crate::child::{self, Aim, Kind};
use crate::document;
use crate::storm::Storm;

const CREATE: &[Failpoint] =
    &[FileReserved, HeaderWritten, FileSynced, FileLinked, DirectorySynced];
const DELETE: &[Failpoint] = &[DeleteLocked, NameRemoved, StateStored];
const RECOVER: &[Failpoint] = &[
    RecoveryLocked,
    IndexStored,
    IndexSynced,
    LocksCleared,
    TipRecovered,
    BoundsRecovered,
    RecoverySynced,
    BootStored,
];
const BOOT_ID_AT: u64 = 832;
/// How long a handle may take to learn that its pool was deleted by one that died; the engine looks every 80 ms.
const NEWS: Duration = Duration::from_secs(30);

impl Storm<'_> {
    /// A few deaths of this sort.
    pub(crate) fn lives(&mut self) -> Result<(), String> {
        self.report.rounds += 1;
        let dir = self.dir.join(format!("lives-{}", self.name()));
        fs::create_dir(&dir).map_err(|e| e.to_string())?;
        let before = self.report.violations.len();
        match self.random.below(4) {
            0 => self.creation(&dir)?,
            1 => self.deletion(&dir)?,
            2 => self.recovery(&dir)?,
            _ => self.churn(&dir)?,
        }
        if self.report.violations.len() == before {
            fs::remove_dir_all(&dir).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn wrong(&mut self, what: &str, why: impl std::fmt::Display) {
        self.report.violations.push(format!("{what}: {why}"));
    }

    /// A process that dies there, or at random while it does the whole. True when it died.
    fn die(
        &mut self,
        mut command: Command,
        kind: Kind,
        points: &[Failpoint],
    ) -> Result<String, String> {
        let aim =
            (self.random.below(4) != 0).then(|| Aim { point: self.random.one(points), pass: 1 });
        child::aimed(&mut command, aim);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        if aim.is_none() {
            thread::sleep(Duration::from_micros(self.random.below(6000)));
            let _ = child.kill();
        }
        let status = child::wait(&mut child)?;
        if child::was_killed(status) {
            self.report.killed(kind, aim.map(|aim| aim.point.name()));
        } else {
            self.report.missed += 1;
            if !status.success() {
                self.wrong("a process that makes, deletes or recovers", status);
            }
        }
        Ok(aim.map_or("a random moment", |aim| aim.point.name()).to_owned())
    }

    fn creation(&mut self, dir: &Path) -> Result<(), String> {
        let path = dir.join("p.plasmite");
        let (command, kind) = if self.random.below(3) == 0 {
            let mut command = Command::new(&self.programs.plasmite);
            command.args(["pool", "create", "--size", "64K"]).arg(&path);
            (command, Kind::Command)
        } else {
            (self.programs.role("creator", &path), Kind::Rust)
        };
        let at = self.die(command, kind, CREATE)?;
        let what = format!("create, killed at {at}");
        let names = fs::read_dir(dir).map_err(|e| e.to_string())?.count();
        let exists = path.exists();
        if names != usize::from(exists) {
            self.wrong(&what, format!("{names} files are left"));
        }
        let pool = if exists { Pool::open(&path) } else { Pool::create(&path, 64 << 10) };
        match pool.and_then(|pool| pool.append::<&str>(b"{}", &[], Durability::Flush)) {
            Ok(receipt) if receipt.seq == Seq::FIRST => {}
            other => self.wrong(&what, format!("{other:?}")),
        }
        self.report.checked += 1;
        Ok(())
    }

    fn deletion(&mut self, dir: &Path) -> Result<(), String> {
        let path = dir.join("p.plasmite");
        let pool = Pool::create(&path, 64 << 10).map_err(|e| e.to_string())?;
        let put = |pool: &Pool| pool.append::<&str>(b"{}", &[], Durability::Fast);
        put(&pool).map_err(|e| e.to_string())?;
        let sleeper = pool.clone();
        let asleep = thread::spawn(move || sleeper.wait(Seq::new(1000), Some(NEWS)));
        let at = self.die(self.programs.role("deleter", &path), Kind::Rust, DELETE)?;
        let what = format!("delete, killed at {at}");
        if path.exists() {
            // Not deleted, so nothing has happened.
            match put(&pool) {
                Ok(receipt) if receipt.seq.get() == 2 => {}
                other => self.wrong(&what, format!("the pool is there, but {other:?}")),
            }
            Pool::delete(&path).map_err(|e| e.to_string())?;
        }
        let start = Instant::now();
        loop {
            match put(&pool) {
                Err(e) if e.kind() == ErrorKind::NotFound => break,
                Ok(_) if start.elapsed() < NEWS => thread::sleep(Duration::from_millis(1)),
                other => {
                    self.wrong(&what, format!("a handle of the deleted pool: {other:?}"));
                    break;
                }
            }
        }
        match asleep.join() {
            Ok(Err(e)) if e.kind() == ErrorKind::NotFound => {}
            other => self.wrong(&what, format!("a reader that slept: {other:?}")),
        }
        if let Err(e) = Pool::create(&path, 64 << 10) {
            self.wrong(&what, format!("a new pool of the name: {e}"));
        }
        self.report.checked += 1;
        Ok(())
    }

    /// Processes that die while they put a pool right after a restart of the machine; then one that does not.
    fn recovery(&mut self, dir: &Path) -> Result<(), String> {
        let path = dir.join("p.plasmite");
        let size = self.random.one(&[8 << 10, 64 << 10, 256 << 10]);
        let pool = Pool::create(&path, size).map_err(|e| e.to_string())?;
        let (flush_every, count) = (1 + self.random.below(50), 1 + self.random.below(300));
        for n in 1..=count {
            let len = self.random.below(size / 20) as usize;
            let durability =
                if n % flush_every == 0 { Durability::Flush } else { Durability::Fast };
            pool.append::<&str>(document::make(7, n, len).as_bytes(), &[], durability)
                .map_err(|e| e.to_string())?;
        }
        let bounds = pool.bounds().map_err(|e| e.to_string())?;
        pool.file().write_all_at(&[0xaa; 16], BOOT_ID_AT).map_err(|e| e.to_string())?;
        drop(pool);
        let mut what = "recovery, killed at".to_owned();
        for _ in 0..1 + self.random.below(3) {
            let at = self.die(self.programs.role("opener", &path), Kind::Rust, RECOVER)?;
            what = format!("{what} {at}");
        }
        match Pool::open(&path) {
            Err(e) => self.wrong(&what, e),
            Ok(pool) => {
                let found = pool.bounds();
                if found.as_ref().ok() != Some(&bounds) {
                    self.wrong(&what, format!("{bounds:?} became {found:?}"));
                }
                for seq in bounds.oldest.get()..=bounds.newest.get() {
                    let message = pool.get(Seq::new(seq)).map(|m| document::check(m.data()));
                    if !matches!(message, Ok(Some((7, n))) if n == seq) {
                        self.wrong(&what, format!("message {seq}: {message:?}"));
                    }
                }
                let next = pool.append::<&str>(b"{}", &[], Durability::Flush).map(|r| r.seq);
                if next.as_ref().ok() != Some(&bounds.newest.next()) {
                    self.wrong(&what, format!("the next append: {next:?}"));
                }
            }
        }
        self.report.checked += 1;
        Ok(())
    }

    /// Several processes that create and delete one name, and die at random.
    fn churn(&mut self, dir: &Path) -> Result<(), String> {
        let path = dir.join("p.plasmite");
        let mut children = Vec::new();
        for _ in 0..2 + self.random.below(2) {
            let mut command = self.programs.role("churner", &path);
            child::aimed(&mut command, None);
            let child =
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
            children.push(child.map_err(|e| e.to_string())?);
        }
        thread::sleep(Duration::from_micros(4000 + self.random.below(20_000)));
        for mut child in children {
            let _ = child.kill();
            let output = child.wait_with_output().map_err(|e| e.to_string())?;
            if child::was_killed(output.status) {
                self.report.killed(Kind::Rust, None);
            } else {
                self.wrong("create and delete", String::from_utf8_lossy(&output.stderr));
            }
        }
        let what = "create and delete, killed at random";
        if path.exists() {
            match Pool::open(&path)
                .and_then(|pool| pool.append::<&str>(b"{}", &[], Durability::Fast))
            {
                Ok(_) => {}
                Err(e) => self.wrong(what, e),
            }
            if let Err(e) = Pool::delete(&path) {
                self.wrong(what, e);
            }
        }
        let names = fs::read_dir(dir).map_err(|e| e.to_string())?.count();
        if names != 0 {
            self.wrong(what, format!("{names} files are left"));
        }
        self.report.checked += 1;
        Ok(())
    }
}
