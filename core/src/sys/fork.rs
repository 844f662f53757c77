//! Which generation of forks this process is: 1, then a new number in every forked child that asks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::MmapRaw;

/// The last number given out; the page's own memory of it is gone in a child, this one is not.
static GENERATION: AtomicU32 = AtomicU32::new(1);
static MARK: OnceLock<Option<MmapRaw>> = OnceLock::new();

/// The number of this process among its forked ancestors. A load of two words; no system call but in the first call.
///
/// The mark lies in a private page that the kernel hands to a child filled with zeros (MADV_WIPEONFORK, madvise(2)).
pub fn generation() -> u32 {
    let Some(page) = MARK.get_or_init(new_mark) else {
        // A kernel before 4.14: the pid does as well, for the price of a system call.
        return std::process::id();
    };
    // SAFETY: the page is mapped for ever, aligned, and only used through this atomic.
    let mark = unsafe { AtomicU32::from_ptr(page.as_mut_ptr().cast()) };
    match mark.load(Ordering::Acquire) {
        0 => {
            // The first to ask in a new child. Of two threads that come here at once one number stays, for both.
            let new = GENERATION.fetch_add(1, Ordering::AcqRel) + 1;
            match mark.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => new,
                Err(others) => others,
            }
        }
        generation => generation,
    }
}

fn new_mark() -> Option<MmapRaw> {
    let page = MmapRaw::from(memmap2::MmapMut::map_anon(4096).ok()?);
    // SAFETY: the range is exactly the private anonymous mapping just made.
    let result =
        unsafe { libc::madvise(page.as_mut_ptr().cast(), page.len(), libc::MADV_WIPEONFORK) };
    if result != 0 {
        return None;
    }
    // SAFETY: as in `generation`.
    unsafe { AtomicU32::from_ptr(page.as_mut_ptr().cast()) }.store(1, Ordering::Release);
    Some(page)
}
