//! A mounted pool directory that goes away with the test, whatever happens.

use std::io::{Write as _, stderr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use plasmite_core::{Client, Durability, Pool};
use plasmite_fusefs::{Mount, MountOptions, Unmounter};

/// Longer than the slowest test takes on a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program that types on a terminal; its first lines say how.
pub(crate) const TYPE: &str = include_str!("type.py");

pub(crate) struct Fixture {
    pub(crate) root: tempfile::TempDir,
    options: MountOptions,
    unmounter: Unmounter,
    mount: Option<Mount>,
    _watchdog: Sender<()>,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "out: {}\nerr: {}", self.out, self.err);
        self.out
    }
}

impl Fixture {
    /// A mount with one pool, `docs`, of 1 MiB.
    pub(crate) fn new() -> Self {
        Self::sized(1 << 20)
    }

    /// A mount with one pool, `docs`, of this size.
    pub(crate) fn sized(size_bytes: u64) -> Self {
        Self::with(|options| options.pool_size_bytes = size_bytes)
    }

    /// A mount with one pool, `docs`, with these options; other users can get to it.
    pub(crate) fn with(set: impl FnOnce(&mut MountOptions)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.path(), open).unwrap();
        let pools = root.path().join("pools");
        let mut options = MountOptions::new(&pools, root.path().join("mnt"));
        set(&mut options);
        Client::new(&pools).create("docs", options.pool_size_bytes).unwrap();
        let mount = Mount::start(options.clone()).unwrap();
        let watchdog = watchdog(root.path().join("mnt"));
        let unmounter = mount.unmounter();
        Self { root, options, unmounter, mount: Some(mount), _watchdog: watchdog }
    }

    /// Unmounts, and mounts anew.
    pub(crate) fn remount(&mut self) {
        self.unmounter.unmount().unwrap();
        self.take_mount().wait().unwrap();
        let mount = Mount::start(self.options.clone()).unwrap();
        self.unmounter = mount.unmounter();
        self.mount = Some(mount);
    }

    pub(crate) fn mnt(&self) -> PathBuf {
        self.root.path().join("mnt")
    }

    pub(crate) fn docs(&self) -> PathBuf {
        self.mnt().join("docs")
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.root.path().join("pools"))
    }

    pub(crate) fn pool(&self) -> Pool {
        self.client().open("docs").unwrap()
    }

    pub(crate) fn unmounter(&self) -> Unmounter {
        self.unmounter.clone()
    }

    pub(crate) fn take_mount(&mut self) -> Mount {
        self.mount.take().unwrap()
    }

    /// Runs a bash script in the mountpoint.
    pub(crate) fn sh(&self, script: &str) -> Done {
        done(self.command(script))
    }

    /// Runs a bash script in the mountpoint as an ordinary user, who is in no other group than their own. Needs root.
    pub(crate) fn sh_as(&self, user: u32, script: &str) -> Done {
        let ids = [format!("--reuid={user}"), format!("--regid={user}")];
        let mut command = Command::new("setpriv");
        command.args(ids).args(["--clear-groups", "bash", "-c"]);
        command.arg(script).current_dir("/").stdin(Stdio::null());
        command.env("ROOT", self.root.path()).env("M", self.mnt());
        done(command)
    }

    /// Starts a bash script in the mountpoint; its output can be read.
    pub(crate) fn spawn(&self, script: &str) -> Running {
        Running(self.command(script).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).current_dir(self.mnt()).stdin(Stdio::null());
        command.env("ROOT", self.root.path());
        command
    }

    /// The data of every retained message, by the engine.
    pub(crate) fn data(&self) -> Vec<String> {
        let mut tail = self.pool().tail(Default::default()).unwrap();
        std::iter::from_fn(|| tail.try_next().unwrap()).map(|m| m.data().to_owned()).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.unmounter.unmount();
        if let Some(mount) = self.mount.take() {
            let _ = mount.wait();
        }
    }
}

pub(crate) fn done(mut command: Command) -> Done {
    let output = command.output().unwrap();
    Done {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// True for root, who alone can become other users.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A process that dies with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: i32) {
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.0.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits until the process has ended; how long that took.
    #[track_caller]
    pub(crate) fn ends_soon(&mut self) -> Duration {
        let start = Instant::now();
        wait_for("the process to end", || self.0.try_wait().unwrap().is_some());
        start.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
pub(crate) fn wait_for(what: &str, mut test: impl FnMut() -> bool) {
    let start = Instant::now();
    while !test() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn append(pool: &Pool, json: &str) {
    pool.append::<&str>(json.as_bytes(), &[], Durability::Fast).unwrap();
}

/// True when the process (its main thread) waits for the mount in a read: not in a lookup or open, after which it has yet to
/// begin.
pub(crate) fn is_blocked(pid: u32) -> bool {
    // read and pread64.
    const READS: [&str; 2] = if cfg!(target_arch = "x86_64") { ["0", "17"] } else { ["63", "67"] };
    let look = |what| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let place: String = look("wchan");
    let reads = look("syscall").split(' ').next().is_some_and(|call| READS.contains(&call));
    reads && (place.contains("request_wait") || place.contains("fuse"))
}

/// Ends a test that hangs: says which one, frees whoever waits on the mount, and aborts.
fn watchdog(mountpoint: PathBuf) -> Sender<()> {
    let (alive, watch) = channel::<()>();
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    std::thread::spawn(move || {
        if watch.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`: what a test prints is lost when the process aborts.
            let _ = writeln!(stderr(), "test {name} hangs at {}", mountpoint.display());
            let _ = plasmite_fusefs::unmount(&mountpoint);
            std::process::abort();
        }
    });
    alive
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}
