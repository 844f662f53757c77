//! Putting the tree into the file system, and taking it away.

use std::ffi::OsStr;
use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fuser::{BackgroundSession, Config, INodeNo, MountOption, Session};
use plasmite_core::{
    DEFAULT_POOL_SIZE_BYTES, Error, ErrorKind, POOL_SUFFIX, Result, check_pool_size,
};

use crate::adapter::{Adapter, END_STREAMS};
use crate::mountinfo::{self, FS_NAME, Mounted};
use crate::sync::small_thread;
use crate::sys::{self, NameWatch, Unmount};
use crate::tree::Tree;

const WORKERS: usize = 2;
const DEVICE: &str = "/dev/fuse";

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
}

impl MountOptions {
    /// The pools of `pool_dir` at `mountpoint`; `mkdir` creates pools of the default size.
    pub fn new(pool_dir: impl Into<PathBuf>, mountpoint: impl Into<PathBuf>) -> Self {
        Self {
            pool_dir: pool_dir.into(),
            mountpoint: mountpoint.into(),
            pool_size_bytes: DEFAULT_POOL_SIZE_BYTES,
        }
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
    /// Creates both directories when they are missing, clears a dead mount of an earlier daemon, and mounts. When it
    /// returns, the mount answers.
    ///
    /// # Errors
    /// Usage for a pool directory or mountpoint that can't be one, Busy when something is mounted there, Permission and NotFound
    /// when the system does not let us mount, with a hint what is missing.
    pub fn start(options: MountOptions) -> Result<Self> {
        sys::return_large_buffers();
        check_pool_size(options.pool_size_bytes)?;
        let pool_dir = prepare_pool_dir(&options.pool_dir)?;
        let mountpoint = prepare_mountpoint(&options.mountpoint, &pool_dir)?;
        let tree = Arc::new(Tree::new(pool_dir, options.pool_size_bytes));
        let (sender, ended) = channel();
        let adapter = Adapter::new(Arc::clone(&tree), sender);
        let session = Session::new(adapter, &mountpoint, &config())
            .and_then(Session::spawn)
            .map_err(|error| mount_error(&mountpoint, &error))?;
        watch_pools(&tree, &session);
        let unmounter = Unmounter { mountpoint, tree };
        let mount = Self { _session: ManuallyDrop::new(session), ended, unmounter };
        mount.check()?;
        Ok(mount)
    }

    fn check(&self) -> Result<()> {
        let mountpoint = &self.unmounter.mountpoint;
        std::fs::metadata(mountpoint)
            .map(drop)
            .map_err(|error| Error::io("look at the new mount", mountpoint, &error))
    }

    /// Waits until somebody unmounts the file system: `umount`, `fusermount3 -u`, [`unmount`] or an [`Unmounter`].
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

/// How often, and how long after each other, an unmount is tried while readers that were sent away still leave.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

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
        unmount_at(&self.mountpoint)
    }
}

/// Unmounts a mount of this crate, of a live or a dead daemon. Blocked readers end.
///
/// # Errors
/// NotFound when nothing of ours is mounted there, otherwise what the system says.
pub fn unmount(mountpoint: &Path) -> Result<()> {
    unmount_at(&real_path(mountpoint))
}

fn config() -> Config {
    let mut config = Config::default();
    config.mount_options =
        vec![MountOption::FSName(FS_NAME.to_owned()), MountOption::Subtype(FS_NAME.to_owned())];
    config.n_threads = Some(WORKERS);
    config
}

/// Tells the kernel when the name of a pool goes away or comes to mean another pool, so that it may remember names.
/// Without the watch it asks each time.
fn watch_pools(tree: &Arc<Tree>, session: &BackgroundSession) {
    const ROUND: Duration = Duration::from_secs(2);
    let Ok(watch) = NameWatch::new(tree.pool_dir()) else { return };
    let (notifier, tree) = (session.notifier(), Arc::downgrade(tree));
    if let Some(tree) = tree.upgrade() {
        tree.set_watched(true);
    }
    let watcher = tree.clone();
    let started = small_thread("pool-names", move || {
        while let Some(names) = watch.next(ROUND) {
            let Some(tree) = tree.upgrade() else { return };
            for name in names.iter().filter_map(|file| file.to_str()?.strip_suffix(POOL_SUFFIX)) {
                // Only then: a directory that the kernel is told to forget has no path for those who are in it.
                if tree.is_stale(name) {
                    // The kernel may not know the name: nothing to forget.
                    let _ = notifier.inval_entry(INodeNo::ROOT, OsStr::new(name));
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

fn prepare_pool_dir(pool_dir: &Path) -> Result<PathBuf> {
    if pool_dir.exists() && !pool_dir.is_dir() {
        return Err(Error::usage("the pool directory is not a directory")
            .with_path(pool_dir)
            .with_hint("name a directory, or one that does not exist yet"));
    }
    std::fs::create_dir_all(pool_dir)
        .and_then(|()| pool_dir.canonicalize())
        .map_err(|error| Error::io("create the pool directory", pool_dir, &error))
}

/// Checks and prepares the mountpoint; its real path.
fn prepare_mountpoint(mountpoint: &Path, pool_dir: &Path) -> Result<PathBuf> {
    clear_dead_mount(mountpoint)?;
    if !mountpoint.exists() {
        std::fs::create_dir_all(mountpoint)
            .map_err(|error| Error::io("create the mountpoint", mountpoint, &error))?;
    }
    let real = mountpoint
        .canonicalize()
        .map_err(|error| Error::io("look at the mountpoint", mountpoint, &error))?;
    if let Some(other) = mountinfo::at(&real) {
        return Err(busy(&real, &other));
    }
    if real.starts_with(pool_dir) || pool_dir.starts_with(&real) {
        return Err(Error::usage("the mountpoint and the pool directory lie within each other")
            .with_path(&real)
            .with_hint("mount at a directory of its own"));
    }
    let mut entries = std::fs::read_dir(&real).map_err(|error| {
        if error.kind() == io::ErrorKind::NotADirectory {
            Error::usage("the mountpoint is not a directory").with_path(&real)
        } else {
            Error::io("look into the mountpoint", &real, &error)
        }
    })?;
    if entries.next().is_some() {
        return Err(Error::usage("the mountpoint is not empty")
            .with_path(&real)
            .with_hint("mount at an empty or new directory"));
    }
    Ok(real)
}

fn busy(mountpoint: &Path, other: &Mounted) -> Error {
    let what = if other.is_ours() { "pools are" } else { "another file system is" };
    Error::new(ErrorKind::Busy, format!("{what} mounted there already"))
        .with_path(mountpoint)
        .with_hint("unmount it first, or mount somewhere else")
}

/// Removes what a daemon that was killed left behind; anything else stays.
fn clear_dead_mount(mountpoint: &Path) -> Result<()> {
    let Err(error) = std::fs::metadata(mountpoint) else { return Ok(()) };
    if error.raw_os_error() != Some(libc::ENOTCONN) {
        return Ok(());
    }
    let real = real_path(mountpoint);
    match mountinfo::at(&real) {
        Some(mounted) if mounted.is_ours() => unmount_at(&real),
        _ => Err(Error::new(ErrorKind::Busy, "a dead mount of another program is there")
            .with_path(&real)
            .with_hint("remove it with `fusermount3 -u` or `umount -l`")),
    }
}

/// The real path of a mountpoint, which may be dead and must not be looked at then.
fn real_path(mountpoint: &Path) -> PathBuf {
    if let Ok(real) = mountpoint.canonicalize() {
        return real;
    }
    let absolute = std::path::absolute(mountpoint).unwrap_or_else(|_| mountpoint.to_owned());
    match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    }
}

fn unmount_at(target: &Path) -> Result<()> {
    let mounted = mountinfo::at(target).filter(Mounted::is_ours).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no pools are mounted there")
            .with_path(target)
            .with_hint("`mount -t fuse` shows what is mounted")
    })?;
    let busy = |result: &io::Result<()>| {
        result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY))
    };
    let mut result = sys::unmount(target, Unmount::Plain);
    if busy(&result) {
        end_streams(target);
        for _ in 0..TRIES {
            result = sys::unmount(target, Unmount::Plain);
            if !busy(&result) {
                break;
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }
    let result = match result {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            // Ends the connection, so that nobody waits for an answer for ever; then out of the tree.
            let _ = sys::unmount(target, Unmount::Force);
            match sys::unmount(target, Unmount::Lazy) {
                // The first call was enough.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
                other => other,
            }
        }
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            return unmount_as_user(target, &mounted);
        }
        other => other,
    };
    result.map_err(|error| Error::io("unmount", target, &error))
}

/// Without the right to unmount, the helper does it.
fn unmount_as_user(target: &Path, mounted: &Mounted) -> Result<()> {
    if fusermount(target, &["-u"])? {
        return Ok(());
    }
    end_streams(target);
    for _ in 0..TRIES {
        if fusermount(target, &["-u"])? {
            return Ok(());
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    // Somebody stays in it. The connection belongs to the user who mounted, where the system shows it.
    let abort = format!("/sys/fs/fuse/connections/{}/abort", mounted.minor);
    let _ = std::fs::write(abort, "1");
    if fusermount(target, &["-u", "-z"])? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Permission, "fusermount3 could not unmount")
        .with_path(target)
        .with_hint("only the user who mounted, or root, may unmount"))
}

/// Asks the daemon to give every blocked reader end of file. A daemon that does not answer is not waited for.
fn end_streams(target: &Path) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (done, answer) = channel();
    let target = target.to_owned();
    let asked = small_thread("pool-unmount", move || {
        let _ = sys::set_xattr(&target, END_STREAMS);
        let _ = done.send(());
    });
    if asked.is_ok() {
        let _ = answer.recv_timeout(PATIENCE);
    }
}

fn fusermount(target: &Path, options: &[&str]) -> Result<bool> {
    // A service's PATH may not name the usual places.
    for helper in ["fusermount3", "/usr/bin/fusermount3", "/bin/fusermount3"] {
        match Command::new(helper).args(options).arg("--").arg(target).output() {
            Ok(output) => return Ok(output.status.success()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("run fusermount3", target, &error)),
        }
    }
    Err(no_helper(target))
}

fn no_helper(mountpoint: &Path) -> Error {
    Error::new(ErrorKind::Io, "fusermount3 is not installed")
        .with_path(mountpoint)
        .with_hint("install the package fuse3, or mount as root")
}

/// Why mounting failed, with what to do about it.
fn mount_error(mountpoint: &Path, error: &io::Error) -> Error {
    let device = Path::new(DEVICE);
    if !device.exists() {
        return Error::new(ErrorKind::NotFound, "this system has no FUSE device")
            .with_path(device)
            .with_hint("load it with `modprobe fuse`; a container needs `--device /dev/fuse`");
    }
    if let Err(denied) = std::fs::File::options().read(true).write(true).open(device) {
        return Error::io("open the FUSE device", device, &denied)
            .with_hint("it must be readable and writable for you, as with `chmod 666 /dev/fuse`");
    }
    if sys::euid() != 0 && error.kind() == io::ErrorKind::NotFound {
        return no_helper(mountpoint);
    }
    let failed = Error::io("mount", mountpoint, error);
    // The helper's own words come without an errno.
    let text = error.to_string();
    if failed.kind() == ErrorKind::Permission || text.contains("not permitted") {
        let message = format!("cannot mount: {}", text.trim());
        return Error::new(ErrorKind::Permission, message).with_path(mountpoint).with_hint("mounting needs root, or fusermount3 and a mountpoint of your own; a container needs `--cap-add SYS_ADMIN`");
    }
    failed
}
