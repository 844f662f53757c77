//! A thread's last will: a futex at which the kernel wakes a sleeper when the thread dies, by `kill -9` too.
//!
//! The kernel does so for robust mutexes (Linux, Documentation/locking/robust-futex-ABI.rst). The C library tells it of a list for
//! each thread, whose `list_op_pending` names the lock that the thread is about to take or has just freed. When a thread ends and the
//! word of that lock is 0, the lock may be free and nobody told, so one sleeper is woken (handle_futex_death() in kernel/futex/core.c).
//! At a word that is always 0 that is every such end. (musl tells the kernel of a thread's list when the thread first locks a robust
//! mutex: one that never does has no last will.)

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

use super::fork;
use super::word::Half;

/// `struct robust_list_head` of linux/futex.h.
#[repr(C)]
struct Head {
    first: *mut libc::c_void,
    /// From an entry of the list to its futex.
    futex_offset: libc::c_long,
    list_op_pending: *mut libc::c_void,
}

// What needs no destructor is there until the thread has ended: asking for it never panics.
thread_local! {
    /// Where this thread's list is, by the generation of forks that was asked: null when it has none.
    static HEAD: Cell<(u32, *mut Head)> = const { Cell::new((0, ptr::null_mut())) };
}

/// Stands while this lives.
pub(crate) struct LastWill<'a> {
    /// Null: the test's observer has it.
    head: *mut Head,
    word: PhantomData<&'a Half>,
}

impl<'a> LastWill<'a> {
    /// From now on a sleeper at `word`, which has to be 0, is woken if this thread dies. Two stores; a thread's first call is a system
    /// call too.
    ///
    /// None when that can't be had: the C library has no list, or is about to use its own.
    #[cold]
    pub(crate) fn new(word: &'a Half) -> Option<Self> {
        #[cfg(test)]
        if let Some(observer) = super::observed::observer() {
            observer.last_will(Some(word.cell()));
            return Some(Self { head: ptr::null_mut(), word: PhantomData });
        }
        let head = head();
        if head.is_null() {
            return None;
        }
        // SAFETY: the C library's list of this very thread, which nobody else looks at while the thread lives.
        let (offset, pending) = unsafe { ((*head).futex_offset, (*head).list_op_pending) };
        let entry = word.as_ptr().cast::<libc::c_void>().wrapping_byte_offset(-(offset as isize));
        // The lowest bit means a mutex with priority inheritance. One that is pending is of a lock that a signal handler, in which we
        // would be, has interrupted.
        if entry.addr() & 1 != 0 || !pending.is_null() {
            return None;
        }
        set_pending(head, entry);
        Some(Self { head, word: PhantomData })
    }
}

impl Drop for LastWill<'_> {
    fn drop(&mut self) {
        #[cfg(test)]
        if let Some(observer) = super::observed::observer() {
            observer.last_will(None);
            return;
        }
        set_pending(self.head, ptr::null_mut());
    }
}

fn set_pending(head: *mut Head, entry: *mut libc::c_void) {
    // The kernel looks when this thread is gone: no other CPU is to see these stores in order, but the compiler must keep it.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: as in `LastWill::new`, which is where `head` is from; a `LastWill` can't leave its thread. The kernel takes an address
    // for no more than that: one that is not mapped any more, or not 0 there, has no effect.
    unsafe { (&raw mut (*head).list_op_pending).write_volatile(entry) };
    compiler_fence(Ordering::SeqCst);
}

fn head() -> *mut Head {
    let generation = fork::generation();
    let (of, head) = HEAD.get();
    if of == generation {
        return head;
    }
    let mut head: *mut Head = ptr::null_mut();
    let mut bytes: libc::size_t = 0;
    // SAFETY: it fills the two variables that it is given: get_robust_list(2) of this thread.
    let result =
        unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut bytes) };
    if result != 0 || bytes != size_of::<Head>() {
        head = ptr::null_mut();
    }
    HEAD.set((generation, head));
    head
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::sys::futex::{self, Ended};

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn who_sleeps_at_a_thread_s_last_will_is_woken_by_its_end() {
        let (word, other) = (Half::new(0), Half::new(7));
        for executed in [true, false] {
            let (word, other) = (&word, &other);
            thread::scope(|scope| {
                let limit = if executed { LONG } else { Duration::from_secs(1) };
                let sleeper = scope.spawn(move || futex::wait_or_death(other, 7, word, limit));
                // It comes to sleep on this one last.
                while futex::sleepers(word) != Some(1) && !sleeper.is_finished() {
                    thread::yield_now();
                }
                scope.spawn(|| {
                    let will = LastWill::new(word).unwrap();
                    assert!(LastWill::new(word).is_none(), "there is one already");
                    // As one that is killed in between.
                    if executed {
                        std::mem::forget(will);
                    }
                });
                let ended = sleeper.join().unwrap();
                match ended {
                    Some(ended) if executed => assert_eq!(ended, Ended::Death),
                    Some(ended) => assert_eq!(ended, Ended::TimeOut),
                    None => eprintln!("this kernel has no futex_waitv"),
                }
            });
        }
    }
}
