//! The C ABI of Plasmite.
//!
//! `include/plasmite.h` is its manual: what may be NULL, who frees what, which errors come. Functions here keep the same three steps:
//! look at every pointer, do the work with the engine, hand the result over.

#![allow(unsafe_code)]
// What a caller has to keep is written once, in the header.
#![allow(clippy::missing_safety_doc)]

mod args;
mod buffers;
mod client;
mod envelope;
mod error;
mod guard;
mod handles;
mod pool;
mod readiness;
mod stream;
mod stream_open;
mod version;
mod watch;

pub use buffers::{Buf, plsm_buf_free};
pub use client::{
    plsm_client_free, plsm_client_new, plsm_pool_create, plsm_pool_delete, plsm_pool_list_json,
    plsm_pool_open, plsm_pool_open_or_create,
};
pub use error::{CError, plsm_error_free};
pub use handles::{ClientHandle, PoolHandle, StreamHandle};
pub use pool::{
    CReceipt, plsm_pool_append, plsm_pool_append_batch, plsm_pool_append_json, plsm_pool_free,
    plsm_pool_get_json, plsm_pool_info_json, plsm_pool_wait,
};
pub use stream::{
    plsm_stream_fd, plsm_stream_free, plsm_stream_next, plsm_stream_read, plsm_stream_set_spin,
};
pub use stream_open::{
    StreamOptions, plsm_stream_open, plsm_stream_open_ex, plsm_stream_open_tagged,
};
pub use version::{plsm_abi_version, plsm_version};
