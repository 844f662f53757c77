//! Files as pools need them: complete under their name or not there, wholly reserved.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Opens without ever waiting, whatever the path is (a FIFO, a terminal).
pub(crate) fn open(path: &Path, writable: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(writable)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// A second open file description of an open file, also when it was renamed or unlinked.
pub(crate) fn reopen(file: &File, writable: bool) -> io::Result<File> {
    open(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), writable)
}

/// The mode of a new file, of which the umask takes its part: nothing that we create is writable for everybody.
const NEW_FILE: u32 = 0o664;
/// The same of a directory.
const NEW_DIRECTORY: u32 = 0o775;

/// Creates a directory and those above it, where they are missing.
pub(crate) fn create_directories(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(NEW_DIRECTORY).create(dir)
}

/// A file without a name in `dir`, which vanishes unless it is given one.
///
/// On file systems without O_TMPFILE it has a temporary one.
pub(crate) fn unnamed(dir: &Path) -> io::Result<Unnamed> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(NEW_FILE)
        .custom_flags(libc::O_TMPFILE)
        .open(dir);
    match opened {
        Ok(file) => Ok(Unnamed::Fd(file)),
        Err(e)
            if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) =>
        {
            let named = tempfile::Builder::new()
                .prefix(".plasmite-")
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(NEW_FILE))
                .tempfile_in(dir)?;
            Ok(Unnamed::Named(named))
        }
        Err(e) => Err(e),
    }
}

/// A file that has no lasting name yet.
pub(crate) enum Unnamed {
    /// Reached by its descriptor alone.
    Fd(File),
    /// Removed when dropped.
    Named(tempfile::NamedTempFile),
}

impl Unnamed {
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Fd(file) => file,
            Self::Named(named) => named.as_file(),
        }
    }

    /// Gives the file its name; AlreadyExists when something has it.
    pub(crate) fn link(self, path: &Path) -> io::Result<File> {
        match self {
            Self::Fd(file) => {
                // linkat(2): the way to name an O_TMPFILE file without CAP_DAC_READ_SEARCH.
                let source = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
                linkat(&source, path)?;
                Ok(file)
            }
            Self::Named(named) => named.persist_noclobber(path).map_err(|e| e.error),
        }
    }
}

fn linkat(source: &Path, path: &Path) -> io::Result<()> {
    let (source, path) = (c_path(source)?, c_path(path)?);
    // SAFETY: both are NUL-terminated strings that outlive the call.
    let result = unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            source.as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Renames, and fails with AlreadyExists rather than replace.
pub(crate) fn rename_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    let (c_from, c_to) = (c_path(from)?, c_path(to)?);
    // SAFETY: both are NUL-terminated strings that outlive the call.
    let result = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            c_from.as_ptr(),
            libc::AT_FDCWD,
            c_to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::EINVAL) {
        return Err(error);
    }
    // A file system without RENAME_NOREPLACE: a second link never replaces either.
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}

/// Reserves every byte of the file, so that no later write into a mapping of it can find the disk full.
pub(crate) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let len = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    // The kernel sends SIGXFSZ, which ends the process, to whoever goes beyond the limit.
    if bytes > file_size_limit() {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    loop {
        // SAFETY: the descriptor is open. posix_fallocate(3) writes zeros where the file system can't reserve.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Reserves what is missing of a file that was copied without its zeros, so that it is as good as one that was reserved.
pub(crate) fn fill_holes(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.blocks().saturating_mul(512) >= metadata.len() {
        return Ok(());
    }
    let len = libc::off_t::try_from(metadata.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open. Unlike posix_fallocate(3), fallocate(2) never writes where it can't reserve: another
    // process may be using the pool.
    while unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) } != 0 {
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // A file system that can't.
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => return Ok(()),
            _ => return Err(error),
        }
    }
    Ok(())
}

/// The parts of a range of the file in which something was written: all of it, where the file system can't tell (lseek(2)).
pub(crate) fn data(file: &File, range: Range<u64>) -> Vec<Range<u64>> {
    let seek = |at: u64, whence| {
        let at = libc::off_t::try_from(at).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open. Nothing uses the position that this changes.
        let found = unsafe { libc::lseek(file.as_raw_fd(), at, whence) };
        u64::try_from(found).map_err(|_| io::Error::last_os_error())
    };
    let mut parts = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let start = match seek(at, libc::SEEK_DATA) {
            Ok(start) => start.max(at),
            // Nothing but a hole up to the end.
            Err(e) if e.raw_os_error() == Some(libc::ENXIO) => break,
            Err(_) => at,
        };
        let end = seek(start, libc::SEEK_HOLE).ok().filter(|end| *end > start);
        at = end.unwrap_or(range.end).min(range.end);
        if start < at {
            parts.push(start..at);
        }
    }
    parts
}

/// The largest file that this process may make (RLIMIT_FSIZE, getrlimit(2)).
fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable. RLIM_INFINITY is the largest number there is.
    match unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) } {
        0 => limit.rlim_cur,
        _ => u64::MAX,
    }
}

/// Gives `to` the owner, the mode and the extended attributes (access control lists among them) of `from`.
pub(crate) fn copy_access(from: &File, to: &File) -> io::Result<()> {
    let (was, is) = (from.metadata()?, to.metadata()?);
    if (was.uid(), was.gid()) != (is.uid(), is.gid()) {
        std::os::unix::fs::fchown(to, Some(was.uid()), Some(was.gid()))?;
    }
    to.set_permissions(was.permissions())?;
    for name in attribute_names(from)? {
        let set = attribute(from, &name).and_then(|value| set_attribute(to, &name, &value));
        // Others are for the system to give.
        let ours = name.to_bytes().starts_with(b"user.") || name.to_bytes().starts_with(b"system.");
        if ours {
            set?;
        }
    }
    Ok(())
}

/// Calls with a buffer of the size that the call itself asks for, until that is right.
fn sized(call: impl Fn(*mut u8, usize) -> libc::ssize_t) -> io::Result<Vec<u8>> {
    loop {
        let size = call(std::ptr::null_mut(), 0);
        let size = usize::try_from(size).map_err(|_| io::Error::last_os_error())?;
        let mut buffer = vec![0; size];
        if size == 0 {
            return Ok(buffer);
        }
        match usize::try_from(call(buffer.as_mut_ptr(), size)) {
            Ok(filled) => {
                buffer.truncate(filled);
                return Ok(buffer);
            }
            // It grew meanwhile.
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ERANGE) => {}
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
}

fn attribute_names(file: &File) -> io::Result<Vec<CString>> {
    // SAFETY: the descriptor is open, and the buffer is as long as is said.
    let list = sized(|at, size| unsafe { libc::flistxattr(file.as_raw_fd(), at.cast(), size) });
    let list = match list {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Vec::new(),
        list => list?,
    };
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| CString::new(name).map_err(io::Error::other)).collect()
}

fn attribute(file: &File, name: &CString) -> io::Result<Vec<u8>> {
    sized(|at, size| {
        // SAFETY: the descriptor is open, the name NUL-terminated, and the buffer as long as is said.
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), at.cast(), size) }
    })
}

fn set_attribute(file: &File, name: &CString, value: &[u8]) -> io::Result<()> {
    let (at, size) = (value.as_ptr().cast(), value.len());
    // SAFETY: the descriptor is open, the name NUL-terminated, and the value as long as is said.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), at, size, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the file's bytes, and its mapping's, survive power loss.
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    #[cfg(test)]
    if let Some(observer) = super::observed::observer() {
        return observer.sync(0);
    }
    file.sync_data()
}

/// Makes a directory's entries, `file` among them, survive power loss.
pub(crate) fn sync_dir(dir: &Path, file: &File) -> io::Result<()> {
    match File::open(dir) {
        Ok(dir) => dir.sync_all(),
        // A directory that may be written and not read: its whole file system will do.
        // SAFETY: the descriptor is open.
        Err(_) if unsafe { libc::syncfs(file.as_raw_fd()) } == 0 => Ok(()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Makes the name by which `file` was opened survive power loss, through symbolic links too.
pub(crate) fn sync_name(path: &Path, file: &File) -> io::Result<()> {
    #[cfg(test)]
    if super::observed::observer().is_some() {
        return Ok(());
    }
    // It may have been renamed since; then its whole file system will do.
    let real = std::fs::canonicalize(path).unwrap_or_default();
    sync_dir(real.parent().unwrap_or(Path::new("")), file)
}

/// True when the file has lost its last name.
pub(crate) fn is_unlinked(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() == 0)
}

/// Sixteen random bytes.
pub(crate) fn random_id() -> io::Result<[u8; 16]> {
    let mut id = [0u8; 16];
    // SAFETY: the buffer has the length that is passed. getrandom(2) fills up to 256 bytes whole.
    let got = unsafe { libc::getrandom(id.as_mut_ptr().cast(), id.len(), 0) };
    if got == 16 { Ok(id) } else { Err(io::Error::last_os_error()) }
}

/// Puts `new`'s description under `old`'s number, so that the old description is let go of here.
pub(crate) fn replace_descriptor(old: &File, new: &File) -> io::Result<()> {
    // SAFETY: both descriptors are open; `old` stays a valid, owned number.
    let result = unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
