//! What is mounted where, read from `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The file system's name in the mount table.
pub(crate) const FS_NAME: &str = "plasmite";

/// One line of the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Where.
    pub(crate) target: PathBuf,
    /// The device's minor number, which names a FUSE connection.
    pub(crate) minor: u32,
    /// The type, as `fuse.plasmite`.
    pub(crate) fs_type: String,
    /// The source: for ours, the pool directory.
    pub(crate) source: String,
    /// The user who mounted, for FUSE file systems.
    pub(crate) user: Option<u32>,
}

impl Mounted {
    /// True for mounts of this crate, in this process or another.
    pub(crate) fn is_ours(&self) -> bool {
        self.fs_type.strip_prefix("fuse.") == Some(FS_NAME)
    }
}

/// The topmost mount at exactly `target`.
pub(crate) fn at(target: &Path) -> Option<Mounted> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    parse(&table).filter(|m| m.target == target).last()
}

/// The mount that `path` is on; it need not exist.
pub(crate) fn covering(path: &Path) -> Option<Mounted> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    // Of several at one place the last is the topmost.
    parse(&table)
        .filter(|m| path.starts_with(&m.target))
        .max_by_key(|m| m.target.components().count())
}

fn parse(table: &[u8]) -> impl Iterator<Item = Mounted> + '_ {
    table.split(|b| *b == b'\n').filter_map(parse_line)
}

fn parse_line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|b| *b == b' ');
    let device = fields.nth(2)?;
    let target = fields.nth(1)?;
    let mut rest = fields.skip_while(|f| *f != b"-").skip(1);
    let minor = std::str::from_utf8(device).ok()?.split_once(':')?.1.parse().ok()?;
    Some(Mounted {
        target: PathBuf::from(OsString::from_vec(unescape(target))),
        minor,
        fs_type: text(rest.next()?),
        source: text(rest.next()?),
        user: rest.next().and_then(user_id),
    })
}

fn user_id(options: &[u8]) -> Option<u32> {
    let options = std::str::from_utf8(options).ok()?;
    options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.first_chunk::<3>().filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let table = b"22 1 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
            90 22 0:57 / /mnt/my\\040pools rw,nosuid,nodev - fuse.plasmite plasmite rw,user_id=7,group_id=0\n";
        let all: Vec<_> = parse(table).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].target, Path::new("/mnt/my pools"));
        assert_eq!(all[1].minor, 57);
        assert!(all[1].is_ours());
        assert_eq!((all[0].user, all[1].user), (None, Some(7)));
        assert!(!all[0].is_ours());
    }

    #[test]
    fn a_strange_table_is_no_panic() {
        assert_eq!(parse(b"\n1 2\nx y z\n\\\n- - - - - - -").count(), 0);
    }
}
