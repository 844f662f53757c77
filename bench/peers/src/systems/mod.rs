//! The systems.

mod file;
#[cfg(feature = "iceoryx2")]
mod iceoryx;
#[cfg(not(feature = "iceoryx2"))]
mod iceoryx {
    pub(super) use super::without_iceoryx::*;
}
mod pipe;
mod plasmite;
mod queue;
mod redis;
mod socket;
mod sqlite;
#[cfg(not(feature = "iceoryx2"))]
mod without_iceoryx;

use crate::system::System;

/// Plasmite first.
pub(crate) const SYSTEMS: &[System] = &[
    plasmite::POOL,
    plasmite::SPINNING,
    sqlite::TABLE,
    redis::STREAM,
    file::APPENDED,
    pipe::NAMED,
    socket::STREAM,
    queue::POSIX,
    iceoryx::EVENTS,
    iceoryx::SPINNING,
];

/// The system of this name.
pub(crate) fn named(name: &str) -> &'static System {
    SYSTEMS.iter().find(|system| system.name == name).unwrap()
}
