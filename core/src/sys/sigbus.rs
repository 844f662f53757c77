//! A file that shrinks under a mapping raises SIGBUS in whoever touches the lost part. This guard puts zeros under the
//! mapping and marks it poisoned, so that the call ends with an error instead of the process (as Wayland's wl_shm does).
//!
//! What is not about one of our mappings goes on to the handler that was there before.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// A mapping under guard. Regions are never freed, only used again: the handler may walk the list at any time.
#[derive(Debug)]
pub(super) struct Region {
    start: AtomicUsize,
    bytes: AtomicUsize,
    poisoned: AtomicBool,
    taken: AtomicBool,
    writable: AtomicBool,
    next: AtomicPtr<Region>,
}

static REGIONS: AtomicPtr<Region> = AtomicPtr::new(ptr::null_mut());
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
static INSTALL: Once = Once::new();

impl Region {
    /// Guards a mapping from now on.
    pub(super) fn guard(start: usize, bytes: usize, writable: bool) -> &'static Self {
        INSTALL.call_once(install);
        let region = Self::reuse().unwrap_or_else(Self::add);
        region.poisoned.store(false, Ordering::Relaxed);
        region.writable.store(writable, Ordering::Relaxed);
        region.bytes.store(bytes, Ordering::Relaxed);
        // The handler knows the region by its start: everything else is stored before.
        region.start.store(start, Ordering::Release);
        region
    }

    /// Ends the guard. To be called before the mapping goes, so that its addresses are not taken for ours later.
    pub(super) fn release(&self) {
        self.start.store(0, Ordering::Release);
        self.taken.store(false, Ordering::Release);
    }

    /// True once a part of the mapping was lost: what was read since may be zeros, what was written went nowhere.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    fn reuse() -> Option<&'static Self> {
        list().find(|r| !r.taken.swap(true, Ordering::AcqRel))
    }

    fn add() -> &'static Self {
        let region: &'static Self = Box::leak(Box::new(Self {
            start: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
            taken: AtomicBool::new(true),
            writable: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let new = ptr::from_ref(region).cast_mut();
        let mut head = REGIONS.load(Ordering::Acquire);
        loop {
            region.next.store(head, Ordering::Relaxed);
            match REGIONS.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return region,
                Err(now) => head = now,
            }
        }
    }
}

fn list() -> impl Iterator<Item = &'static Region> {
    let mut at = REGIONS.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: regions are leaked, so every pointer in the list is valid for ever.
        let region = unsafe { at.as_ref() }?;
        at = region.next.load(Ordering::Acquire);
        Some(region)
    })
}

fn install() {
    // SAFETY: `action` is filled in before it is used; the handler is async-signal-safe (atomics and mmap only); the old
    // action is leaked, so that the handler may read it at any time.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        let previous: &mut libc::sigaction = Box::leak(Box::new(std::mem::zeroed()));
        libc::sigaction(libc::SIGBUS, ptr::null(), previous);
        PREVIOUS.store(previous, Ordering::Release);
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
    }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo for SIGBUS with SA_SIGINFO.
    let (address, code) = unsafe { ((*info).si_addr() as usize, (*info).si_code) };
    // Sent by a process (kill(2)), it has no address: what lies there is the sender.
    let is_fault = code > 0;
    for region in list().filter(|_| is_fault) {
        let start = region.start.load(Ordering::Acquire);
        let bytes = region.bytes.load(Ordering::Relaxed);
        if start != 0 && (start..start + bytes).contains(&address) {
            if put_zeros_under(region, start, bytes) {
                return;
            }
            break;
        }
    }
    pass_on(signal, info, context, is_fault);
}

fn put_zeros_under(region: &Region, start: usize, bytes: usize) -> bool {
    // Poisoned first: whoever sees a zero sees the mark.
    region.poisoned.store(true, Ordering::Release);
    let mut protection = libc::PROT_READ;
    if region.writable.load(Ordering::Relaxed) {
        protection |= libc::PROT_WRITE;
    }
    // SAFETY: the range is a live mapping of ours (it is released before it is unmapped) that is only used through raw
    // pointers and atomics, for which zeros are as good as any bytes.
    let result = unsafe {
        libc::mmap(
            start as *mut libc::c_void,
            bytes,
            protection,
            // Not reserved: a pool may be larger than the memory there is.
            libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    result != libc::MAP_FAILED
}

fn pass_on(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    is_fault: bool,
) {
    // SAFETY: `PREVIOUS` was stored before the handler was installed and is never freed; its handler is called in the form
    // its own flags ask for, as the kernel would have.
    unsafe {
        let previous = &*PREVIOUS.load(Ordering::Acquire);
        match previous.sa_sigaction {
            // A fault can't be ignored (signal(7)): the kernel would have ended the process.
            libc::SIG_IGN if !is_fault => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                // Back to the default: the instruction faults again, and ends the process as it would have without us.
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const default, ptr::null_mut());
                if !is_fault {
                    libc::raise(signal);
                }
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
