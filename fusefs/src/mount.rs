//! Putting the tree into the file system.

use std::mem::ManuallyDrop;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use plasmite_core::{DEFAULT_POOL_SIZE_BYTES, POOL_SUFFIX, Result, check_pool_size};

use crate::adapter::Adapter;
use crate::memory_of_names::MemoryOfNames;
use crate::mountinfo::FS_NAME;
use crate::place::{prepare_mountpoint, prepare_pool_dir};
use crate::refusal::mount_error;
use crate::sync::small_thread;
use crate::sys::{self, NameWatch};
use crate::tree::{Settings, Tree};
use crate::unmount::unmount_for_good;

const WORKERS: usize = 2;

/// What to mount where.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MountOptions {
    /// The directory of the pools.
    pub pool_dir: PathBuf,
    /// Where they are to be seen.
    pub mountpoint: PathBuf,
    /// The size of pools that `mkdir` creates.
    pub pool_size_bytes: u64,
    /// Nothing can be written, created or removed; pool files are opened for reading only.
    pub read_only: bool,
    /// Listings show the streams, links and controls of a pool too, not its messages alone.
    pub show_streams: bool,
    /// Users other than the one who mounts may come in, as far as owner and mode of each pool let them.
    pub allow_other: bool,
}

impl MountOptions {
    /// The pools of `pool_dir` at `mountpoint`, for reading and writing, for the user who mounts; `mkdir` creates pools of
    /// the default size.
    pub fn new(pool_dir: impl Into<PathBuf>, mountpoint: impl Into<PathBuf>) -> Self {
        Self {
            pool_dir: pool_dir.into(),
            mountpoint: mountpoint.into(),
            pool_size_bytes: DEFAULT_POOL_SIZE_BYTES,
            read_only: false,
            show_streams: false,
            allow_other: false,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            pool_size_bytes: self.pool_size_bytes,
            read_only: self.read_only,
            show_streams: self.show_streams,
            shared: self.allow_other,
        }
    }

    fn config(&self, pool_dir: &Path) -> Config {
        let mut config = Config::default();
        // The subtype as a plain option: the library keeps its own for the helper, and root needs none.
        config.mount_options = vec![
            MountOption::FSName(source(pool_dir)),
            MountOption::CUSTOM(format!("subtype={FS_NAME}")),
        ];
        if self.read_only {
            config.mount_options.push(MountOption::RO);
        }
        if self.allow_other {
            config.acl = SessionACL::All;
            config.mount_options.push(MountOption::DefaultPermissions);
        }
        config.n_threads = Some(WORKERS);
        config
    }
}

/// What the mount table shows as the source: the pool directory, so that `mount -a` sees that its line is mounted.
fn source(pool_dir: &Path) -> String {
    match pool_dir.to_str() {
        // These mean something in a list of options.
        Some(text) if !text.contains([',', '\\']) => text.to_owned(),
        _ => FS_NAME.to_owned(),
    }
}

/// A mounted file system, served by threads of this process.
///
/// Dropping it leaves the file system mounted for as long as the process lives; see [`Mount::unmounter`].
pub struct Mount {
    // Never dropped: dropping unmounts whatever is at the mountpoint then, which may be the mount of the next daemon.
    _session: ManuallyDrop<BackgroundSession>,
    ended: Receiver<()>,
    unmounter: Unmounter,
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount").field("mountpoint", &self.unmounter.mountpoint).finish()
    }
}

impl Mount {
    /// Creates both directories when they are missing (the pool directory not for a read-only mount), clears a dead mount of an
    /// earlier daemon, and mounts. When it returns, the mount answers.
    ///
    /// # Errors
    /// Usage for a pool directory or mountpoint that can't be one, Busy when something is mounted there, Permission and NotFound
    /// when the system does not let us mount, with a hint what is missing.
    pub fn start(options: MountOptions) -> Result<Self> {
        sys::return_large_buffers();
        check_pool_size(options.pool_size_bytes)?;
        let pool_dir = prepare_pool_dir(&options.pool_dir, options.read_only)?;
        let mountpoint = prepare_mountpoint(&options.mountpoint, &pool_dir)?;
        let config = options.config(&pool_dir);
        let tree = Arc::new(Tree::new(pool_dir, options.settings()));
        tree.attend_interrupts();
        let (sender, ended) = channel();
        let adapter = Adapter::new(Arc::clone(&tree), sender);
        let session = Session::new(adapter, &mountpoint, &config)
            .and_then(|session| {
                let device = session.as_fd().try_clone_to_owned()?;
                Ok((session.spawn()?, device))
            })
            .map_err(|error| mount_error(&mountpoint, &error));
        let (session, device) = session?;
        watch_pools(&tree, MemoryOfNames::new(session.notifier(), device.into()));
        let unmounter = Unmounter { mountpoint, tree };
        // The kernel has been answered its first question, or there would be no session. Not to be tried from here: who waits for
        // an answer of its own cannot be killed, and keeps all of the process, the connection among it.
        Ok(Self { _session: ManuallyDrop::new(session), ended, unmounter })
    }

    /// Waits until somebody unmounts the file system: `umount`, `fusermount3 -u`, [`unmount`](crate::unmount()) or an
    /// [`Unmounter`].
    ///
    /// # Errors
    /// None today.
    pub fn wait(self) -> Result<()> {
        // Nothing is ever sent: the sender goes away with the last worker.
        let _ = self.ended.recv();
        self.unmounter.tree.close_waiters();
        Ok(())
    }

    /// A handle for another thread, as one that handles signals.
    pub fn unmounter(&self) -> Unmounter {
        self.unmounter.clone()
    }
}

/// Unmounts a [`Mount`] of this process from any thread.
#[derive(Clone)]
pub struct Unmounter {
    mountpoint: PathBuf,
    tree: Arc<Tree>,
}

impl std::fmt::Debug for Unmounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unmounter").field("mountpoint", &self.mountpoint).finish()
    }
}

impl Unmounter {
    /// Unmounts. Blocked readers get end of file; files that are still open afterwards fail with ECONNABORTED, so
    /// this does not wait for anybody.
    ///
    /// # Errors
    /// NotFound when nothing of ours is mounted there any more, otherwise what the system says.
    pub fn unmount(&self) -> Result<()> {
        self.tree.close_waiters();
        unmount_for_good(&self.mountpoint, || {
            self.tree.end_waits();
            self.tree.open_files()
        })
    }
}

/// Tells the kernel when the name of a pool goes away or comes to mean another pool, so that it may remember names.
/// Without the watch it asks each time.
fn watch_pools(tree: &Arc<Tree>, mut names: MemoryOfNames) {
    const ROUND: Duration = Duration::from_secs(2);
    let watch = match NameWatch::new(tree.pool_dir()) {
        Ok(watch) => watch,
        Err(error) => {
            log::warn!(
                "cannot watch {} ({error}): names are looked up each time; fs.inotify.max_user_instances may be too low",
                tree.pool_dir().display()
            );
            return;
        }
    };
    let tree = Arc::downgrade(tree);
    if let Some(tree) = tree.upgrade() {
        tree.set_watched(true);
    }
    let watcher = tree.clone();
    let started = small_thread("pool-names", move || {
        while let Some(files) = watch.next(ROUND) {
            let Some(tree) = tree.upgrade() else { return };
            for name in files.iter().filter_map(|file| file.to_str()?.strip_suffix(POOL_SUFFIX)) {
                // Only then: a directory that the kernel is told to forget has no path for those who are in it.
                if tree.is_stale(name) {
                    names.drop_pool(name, tree.root());
                }
            }
        }
        if let Some(tree) = tree.upgrade() {
            tree.set_watched(false);
        }
    });
    if let (Err(_), Some(tree)) = (started, watcher.upgrade()) {
        tree.set_watched(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_the_pool_directory_unless_it_would_be_read_as_options() {
        assert_eq!(source(Path::new("/srv/my pools")), "/srv/my pools");
        assert_eq!(source(Path::new("/srv/a,b")), FS_NAME);
        assert_eq!(source(Path::new("/srv/a\\b")), FS_NAME);
    }
}
