//! Operations marked for a tool that prints each access to memory, so that it can be told which lines of a pool one of them uses.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Does the operation so often, each time between two lines on stdout: `begin`, with the addresses at which this process has the pool,
/// and `end`. The tool prints there too.
pub(super) fn mark(pool: &Path, count: u64, mut operation: impl FnMut(u64)) {
    let begin = format!("begin {}", addresses(pool));
    for n in 0..count {
        println!("{begin}");
        operation(n);
        println!("end");
    }
}

/// Where the mapping of the file starts and ends, in hexadecimal.
fn addresses(file: &Path) -> String {
    // Not by its name, which the kernel did not know yet when a new pool was mapped.
    let inode = std::fs::metadata(file).unwrap().ino().to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut mappings = maps.lines().filter(|line| line.split_whitespace().nth(4) == Some(&inode));
    let mapping = mappings.next().unwrap();
    assert_eq!(mappings.next(), None);
    mapping.split_once(' ').unwrap().0.replace('-', " ")
}
