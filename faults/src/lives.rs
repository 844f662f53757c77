//! Deaths in the making, the deleting, the recovering and the resizing of pools.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plasmite_core::{Durability, ErrorKind, Pool, Seq};

use crate::child::{self, Aim, Kind};
use crate::deed::Deed;
use crate::document;
use crate::storm::Storm;

const BOOT_ID_AT: u64 = 832;
/// How long a handle may take to learn that its pool was deleted by one that died; the engine looks once a second at least.
const NEWS: Duration = Duration::from_secs(30);

impl Storm<'_> {
    /// A few deaths of this sort.
    pub(crate) fn lives(&mut self) -> Result<(), String> {
        self.report.rounds += 1;
        let dir = self.dir.join(format!("lives-{}", self.name()));
        fs::create_dir(&dir).map_err(|e| e.to_string())?;
        let before = self.report.violations.len();
        match self.random.below(5) {
            0 => self.creation(&dir)?,
            1 => self.deletion(&dir)?,
            2 => self.recovery(&dir)?,
            3 => self.resizing(&dir)?,
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

    /// A process of any kind that dies at a step of what it does, or at random meanwhile; where.
    fn die(&mut self, deed: Deed, path: &Path) -> Result<String, String> {
        let point = self.random.one(deed.points());
        let aim = (self.random.below(4) != 0).then_some(Aim { point, pass: 1 });
        let kinds = deed.kinds(self.mounts);
        let kind = self.random.one(kinds);
        let killed = if kind == Kind::Mount {
            self.die_as_a_daemon(deed, path, aim)?
        } else {
            let mut command = self.programs.once(kind, deed, path);
            child::aimed(&mut command, aim);
            let mut child = command.spawn().map_err(|e| e.to_string())?;
            if aim.is_none() {
                thread::sleep(Duration::from_micros(self.random.below(deed.takes_us(kind))));
                let _ = child.kill();
            }
            let status = child::wait(&mut child)?;
            let killed = child::was_killed(status);
            if !killed && !status.success() {
                self.wrong(&format!("{deed:?} by {}", kind.name()), status);
            }
            killed
        };
        let point = aim.map(|aim| aim.point.name());
        if killed {
            self.report.killed(kind, deed.name(), point);
        } else {
            self.report.missed += 1;
        }
        Ok(format!("{} {}", kind.name(), point.unwrap_or("a random moment")))
    }

    /// A daemon that dies while somebody asks it for the deed through its mount.
    fn die_as_a_daemon(
        &mut self,
        deed: Deed,
        path: &Path,
        aim: Option<Aim>,
    ) -> Result<bool, String> {
        let mut mounted = self.mount(path.parent().unwrap_or(path), aim)?;
        let mut client = deed.through(&mounted.point).spawn().map_err(|e| e.to_string())?;
        if aim.is_none() {
            thread::sleep(Duration::from_micros(self.random.below(deed.takes_us(Kind::Mount))));
            let _ = mounted.daemon.kill();
        }
        let answered = child::wait(&mut client)?.success();
        if answered && aim.is_some() {
            // Done before it came there, or without.
            let died = mounted.daemon.try_wait().map_err(|e| e.to_string())?;
            return Ok(died.is_some_and(child::was_killed));
        }
        let status = child::wait(&mut mounted.daemon)?;
        if !child::was_killed(status) {
            self.wrong(&format!("{deed:?} through a mount"), status);
        }
        Ok(true)
    }

    fn creation(&mut self, dir: &Path) -> Result<(), String> {
        let path = dir.join("p.plasmite");
        let at = self.die(Deed::Create, &path)?;
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
        let append = |pool: &Pool| pool.append::<&str>(b"{}", &[], Durability::Fast);
        append(&pool).map_err(|e| e.to_string())?;
        let sleeper = pool.clone();
        let asleep = thread::spawn(move || sleeper.wait(Seq::new(1000), Some(NEWS)));
        let at = self.die(Deed::Delete, &path)?;
        let what = format!("delete, killed at {at}");
        if path.exists() {
            // Not deleted, so nothing has happened.
            match append(&pool) {
                Ok(receipt) if receipt.seq.get() == 2 => {}
                other => self.wrong(&what, format!("the pool is there, but {other:?}")),
            }
            Pool::delete(&path).map_err(|e| e.to_string())?;
        }
        let start = Instant::now();
        loop {
            match append(&pool) {
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
            let at = self.die(Deed::Recover, &path)?;
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

    /// Resizers that die beside a writer who goes on, whichever file the pool is in.
    fn resizing(&mut self, dir: &Path) -> Result<(), String> {
        let path = dir.join("p.plasmite");
        let sizes = [16 << 10, 64 << 10, 256 << 10];
        let (size, other) = (self.random.one(&sizes), self.random.one(&sizes));
        let pool = Pool::create(&path, size).map_err(|e| e.to_string())?;
        let max_len = self.random.below(600) as usize;
        for n in 1..=self.random.below(300) {
            put(&pool, n, max_len).map_err(|e| e.to_string())?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (stop, path) = (Arc::clone(&stop), path.clone());
            // Not asked by the thread: the pool may be in another file before it runs.
            let newest = pool.bounds().map_err(|e| e.to_string())?.newest.get();
            thread::spawn(move || write_on(pool, newest, &path, max_len, &stop))
        };
        let mut what = "resize, killed at".to_owned();
        for _ in 0..1 + self.random.below(3) {
            let at = self.die(Deed::Resize(other), &path)?;
            what = format!("{what} {at}");
        }
        stop.store(true, Ordering::Relaxed);
        match writer.join().map_err(|_| "the writing thread died")? {
            Err(e) => self.wrong(&what, format!("the writer beside it: {e}")),
            Ok(newest) => {
                self.report.acknowledged += newest;
                self.check_resized(&path, newest, &what);
            }
        }
        self.check_by_doctor(&path)?;
        // What the dead have left goes with the next one that is done.
        if let Err(e) = Pool::resize(&path, self.random.one(&sizes)) {
            self.wrong(&what, format!("the next resize: {e}"));
        }
        let names = fs::read_dir(dir).map_err(|e| e.to_string())?.count();
        if names != 1 {
            self.wrong(&what, format!("{names} files are left"));
        }
        Ok(())
    }

    /// The pool holds a run of messages that ends with the newest acknowledged, and goes on from there.
    fn check_resized(&mut self, path: &Path, newest: u64, what: &str) {
        self.report.checked += 1;
        let pool = match Pool::open(path) {
            Ok(pool) => pool,
            Err(e) => return self.wrong(what, e),
        };
        match pool.bounds() {
            Ok(bounds) if bounds.newest.get() == newest => {
                for seq in bounds.oldest.get()..=newest {
                    let message = pool.get(Seq::new(seq)).map(|m| document::check(m.data()));
                    if !matches!(message, Ok(Some((7, n))) if n == seq) {
                        self.wrong(what, format!("message {seq}: {message:?}"));
                    }
                }
                if newest > 0 && bounds.count() == 0 {
                    self.wrong(what, "no message is left");
                }
            }
            other => self.wrong(what, format!("{newest} were acknowledged; {other:?}")),
        }
        match put(&pool, newest + 1, 10) {
            Ok(seq) if seq == newest + 1 => {}
            other => self.wrong(what, format!("the next append: {other:?}")),
        }
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
                self.report.killed(Kind::Rust, "create, delete and append in turn", None);
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

/// Appends document `n`, which is to become message `n`.
fn put(pool: &Pool, n: u64, max_len: usize) -> plasmite_core::Result<u64> {
    let text = document::make(7, n, document::len(n, max_len, true));
    let durability = if n.is_multiple_of(50) { Durability::Flush } else { Durability::Fast };
    pool.append::<&str>(text.as_bytes(), &[], durability).map(|receipt| receipt.seq.get())
}

/// Appends until it is told to stop, in whichever file the pool is; the newest seq.
fn write_on(
    mut pool: Pool,
    mut newest: u64,
    path: &Path,
    max_len: usize,
    stop: &AtomicBool,
) -> Result<u64, String> {
    while !stop.load(Ordering::Relaxed) {
        match put(&pool, newest + 1, max_len) {
            Ok(seq) if seq == newest + 1 => newest = seq,
            Ok(seq) => return Err(format!("message {newest} is followed by {seq}")),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                pool = Pool::open(path).map_err(|e| e.to_string())?;
            }
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(newest)
}
