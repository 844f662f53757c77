//! Playing a manifest through one surface.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::child::{Work, at_once};
use crate::manifest::{Action, Manifest, Spawn, Step, SurfaceName};
use crate::outcome::{Failure, Got};
use crate::root;
use crate::surfaces::{Address, Surface};
use crate::watchdog::Watchdog;

/// Plays a manifest.
///
/// # Errors
/// What is wrong with the manifest, or the first step that did not give what it should.
pub(crate) fn play(surface: SurfaceName, path: &Path) -> Result<(), String> {
    let manifest = Manifest::read(path)?;
    empty(&manifest.workdir)?;
    if manifest.changes_modes() {
        root::obey_file_modes()?;
    }
    let watchdog = Watchdog::start()?;
    let address = Address::of(surface, &manifest.workdir)
        .ok_or_else(|| format!("{surface} has a runner of its own"))?;
    let player = Player {
        name: surface,
        workdir: manifest.workdir.clone(),
        surface: address.open(),
        unopened: BTreeSet::new(),
    };
    let result = player.play(&manifest, &watchdog);
    watchdog.watch(None);
    result
}

fn empty(workdir: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("cannot empty {}: {e}", workdir.display());
    // An earlier run may have ended while nothing could be removed. The next call tells what is the matter.
    let _ = fs::set_permissions(workdir, fs::Permissions::from_mode(0o755));
    match fs::remove_dir_all(workdir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
    fs::create_dir_all(workdir).map_err(fail)
}

struct Player {
    name: SurfaceName,
    workdir: PathBuf,
    surface: Box<dyn Surface>,
    /// Readers that the surface could not open.
    unopened: BTreeSet<String>,
}

impl Player {
    fn play(mut self, manifest: &Manifest, watchdog: &Watchdog) -> Result<(), String> {
        if manifest.not_on.contains_key(&self.name) {
            return self.check_whole(manifest);
        }
        for step in &manifest.steps {
            watchdog.watch(Some(&step.label));
            self.step(step).map_err(|why| format!("{}: {why}", step.label))?;
        }
        // What surfaces take away in the end may hang too.
        watchdog.watch(Some("the end"));
        drop(self);
        Ok(())
    }

    /// A manifest that is declared as not for this surface must hold something that it can't express.
    fn check_whole(&self, manifest: &Manifest) -> Result<(), String> {
        if manifest.steps.iter().any(|step| self.cannot(&step.action).is_some()) {
            return Ok(());
        }
        Err(format!("{} is in not_on, but can express every step", self.name))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let declared = step.not_on.contains_key(&self.name);
        match self.cannot(&step.action) {
            Some(_) if declared => {
                if let Action::OpenTail { reader, .. } = &step.action {
                    self.unopened.insert(reader.clone());
                }
                return Ok(());
            }
            Some(why) => return Err(format!("{} can't express it: {why}", self.name)),
            None if declared => {
                return Err(format!("{} is in not_on, but can express it", self.name));
            }
            None => {}
        }
        let result = self.act(&step.action);
        let Some(differing) = step.differing(self.name) else {
            return step.expect().check(&result);
        };
        differing.expect.check(&result)?;
        match step.expect().check(&result) {
            Ok(()) => Err(format!("{} is in expect_on, but gives what all give", self.name)),
            Err(_) => Ok(()),
        }
    }

    fn cannot(&self, action: &Action) -> Option<&'static str> {
        match action {
            Action::Race { action, .. } => self.cannot(action),
            Action::Spawn(Spawn { alongside, .. }) => {
                let of = |step: &serde_json::Value| {
                    let step = Step::parse(0, step.clone()).ok()?;
                    self.surface.cannot(&step.action)
                };
                self.surface.cannot(action).or_else(|| alongside.iter().find_map(of))
            }
            Action::ReadTail { reader, .. } | Action::CloseTail { reader }
                if self.unopened.contains(reader) =>
            {
                Some("its reader could not be opened")
            }
            _ => self.surface.cannot(action),
        }
    }

    fn act(&mut self, action: &Action) -> Result<Got, Failure> {
        match action {
            Action::Spawn(Spawn { pool, writers, alongside }) => {
                self.surface.prepare(action)?;
                let writing = writers.iter().map(|writer| Work::write(pool, writer));
                let works: Vec<_> =
                    writing.chain(alongside.iter().cloned().map(Work::Play)).collect();
                let tally = at_once(self.surface.as_ref(), &works)?;
                match tally.failed.keys().next() {
                    Some(kind) => Err(Failure::Broken(format!("a writer failed: {kind:?}"))),
                    None => Ok(Got::Done),
                }
            }
            Action::Race { processes, step, action } => {
                self.surface.prepare(action)?;
                let works: Vec<_> = (0..*processes).map(|_| Work::Try(step.clone())).collect();
                at_once(self.surface.as_ref(), &works).map(Got::Race)
            }
            Action::CorruptHeader { pool, offset, bytes } => {
                self.surface.let_go();
                let file = fs::File::options().write(true).open(self.file(pool));
                file.and_then(|file| file.write_all_at(bytes, *offset)).map_err(broken)?;
                Ok(Got::Done)
            }
            Action::PutFile { pool, bytes } => {
                self.surface.let_go();
                fs::write(self.file(pool), bytes).map_err(broken)?;
                Ok(Got::Done)
            }
            Action::Chmod { pool, mode } => {
                let path =
                    pool.as_ref().map_or_else(|| self.workdir.clone(), |pool| self.file(pool));
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).map_err(broken)?;
                Ok(Got::Done)
            }
            _ => self.surface.play(action),
        }
    }

    fn file(&self, pool: &str) -> PathBuf {
        self.workdir.join(format!("{pool}.plasmite"))
    }
}

fn broken(error: std::io::Error) -> Failure {
    Failure::Broken(error.to_string())
}
