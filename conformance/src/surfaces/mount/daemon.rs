//! The mount's own process.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::outcome::Failure;
use crate::surfaces::{command, plasmite};
use crate::watchdog;

const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// A running `plasmite mount`; unmounts when it is dropped.
pub(super) struct Daemon {
    child: Child,
    mountpoint: PathBuf,
    // Removed after the mount that is in it.
    _place: TempDir,
}

impl Daemon {
    /// Mounts a pool directory at a place of its own.
    pub(super) fn start(pool_dir: &Path, size_bytes: u64) -> Result<Self, Failure> {
        let place = tempfile::Builder::new()
            .prefix("plasmite-conformance-")
            .tempdir()
            .map_err(|e| format!("cannot make a mountpoint: {e}"))?;
        let mountpoint = place.path().join("mnt");
        fs::create_dir(&mountpoint).map_err(|e| format!("cannot make a mountpoint: {e}"))?;
        watchdog::will_be_mounted(&mountpoint);
        let child = Command::new(plasmite()?)
            .args(["mount", "--pool-size", &size_bytes.to_string(), "--"])
            .args([pool_dir, &mountpoint])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot run plasmite mount: {e}"))?;
        let mut daemon = Self { child, mountpoint, _place: place };
        daemon.wait_until_mounted()?;
        Ok(daemon)
    }

    pub(super) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    fn wait_until_mounted(&mut self) -> Result<(), Failure> {
        let start = Instant::now();
        while !self.is_mounted() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(command::refusal(&self.stderr(), status.code()));
            }
            if start.elapsed() > PATIENCE {
                return Err(Failure::Broken("plasmite mount does not get ready".into()));
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        Ok(())
    }

    fn stderr(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // What can't be read is not there.
            let _ = stderr.read_to_end(&mut text);
        }
        text
    }

    fn is_mounted(&self) -> bool {
        let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
        let outside = self.mountpoint.parent().and_then(device);
        let inside = device(&self.mountpoint);
        inside.is_some() && inside != outside
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let unmount = plasmite()
            .map(|plasmite| Command::new(plasmite).arg("unmount").arg(&self.mountpoint).output());
        if !matches!(unmount, Ok(Ok(output)) if output.status.success()) {
            watchdog::detach(&self.mountpoint);
        }
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            thread::sleep(BETWEEN_LOOKS);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
