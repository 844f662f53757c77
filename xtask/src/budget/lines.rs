//! Cache lines of a pool's file that an operation uses.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use super::valgrind;

const LINE_BYTES: u64 = 64;
/// So many times it is done that its message lies in every way on the lines, and its slot at both ends of one.
const TIMES: &str = "16";

/// The most lines that one of the times took.
pub(super) fn count(benchmark: &Path, operation: &str, pool: &Path) -> Result<u64, String> {
    let mut trace = Trace::default();
    // The benchmark and the tool print to the same stdout.
    let tool = ["--tool=lackey", "--basic-counts=no", "--trace-mem=yes", "--log-fd=1"];
    valgrind(&tool)
        .arg(benchmark)
        .arg("count")
        .arg(operation)
        .arg(pool)
        .arg(TIMES)
        .each_line(|line| trace.take(line))?;
    let most = trace.most.filter(|most| *most > 0);
    most.ok_or_else(|| format!("{operation}: valgrind has told no access to the pool"))
}

/// What is of interest in a trace: `begin START END`, accesses as ` L 1ffe,8`, `end`.
#[derive(Default)]
struct Trace {
    /// Where the pool is, from `begin` to `end`.
    pool: Option<Range<u64>>,
    lines: BTreeSet<u64>,
    most: Option<u64>,
}

impl Trace {
    fn take(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), &self.pool) {
            (Some("begin"), _) => {
                let mut address = || u64::from_str_radix(words.next()?, 16).ok();
                self.pool = address().zip(address()).map(|(start, end)| start..end);
                self.lines.clear();
            }
            (Some("end"), _) => {
                self.pool = None;
                self.most = self.most.max(Some(self.lines.len() as u64));
            }
            (Some("L" | "S" | "M"), Some(pool)) => {
                let access = words.next().and_then(|access| access.split_once(','));
                let access = access.and_then(|(at, bytes)| {
                    Some((u64::from_str_radix(at, 16).ok()?, bytes.parse::<u64>().ok()?))
                });
                if let Some((at, bytes)) = access.filter(|(at, _)| pool.contains(at)) {
                    self.lines.extend(at / LINE_BYTES..(at + bytes).div_ceil(LINE_BYTES));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;

    #[test]
    fn lines_of_the_pool_are_counted_once_and_those_of_an_access_over_their_end_both() {
        let mut trace = Trace::default();
        let text = " L 1000,8\nbegin 1000 2000\nI  1100,4\n L 1000,8\n S 1038,8\n M 107c,8\n L 2000,8\nend\n \
                    S 1200,8\nbegin 1000 2000\n L 1000,8\nend";
        text.lines().for_each(|line| trace.take(line));
        assert_eq!(trace.most, Some(3));
    }
}
