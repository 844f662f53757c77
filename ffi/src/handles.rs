//! The opaque types: a box each, around something that any thread may use.

use plasmite_core::{Client, Pool};

use crate::guard;
use crate::stream::Stream;

/// `plsm_client_t`.
#[derive(Debug)]
pub struct ClientHandle(pub(crate) Client);

/// `plsm_pool_t`. Streams have their own share of what is inside, so that handles may be freed in any order.
#[derive(Debug)]
pub struct PoolHandle(pub(crate) Pool);

/// `plsm_stream_t`.
#[derive(Debug)]
pub struct StreamHandle(pub(crate) Stream);

const _: () = {
    const fn usable_from_any_thread<T: Send + Sync>() {}
    usable_from_any_thread::<ClientHandle>();
    usable_from_any_thread::<PoolHandle>();
    usable_from_any_thread::<StreamHandle>();
};

/// Puts a value on the heap for C to hold.
pub(crate) fn hand_out<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes back what [`hand_out`] gave, and drops it.
///
/// # Safety
/// NULL, or a pointer from [`hand_out`] that was not freed, and that no other call is using.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    guard::infallible(|| {
        if !handle.is_null() {
            // SAFETY: as promised by the caller.
            drop(unsafe { Box::from_raw(handle) });
        }
    });
}
