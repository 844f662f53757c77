//! In the place of iceoryx2 where it can't be built.

use crate::system::{Does, System, all_kept};

pub(super) const EVENTS: System = System {
    name: "iceoryx2",
    does: Does { keeps: false, batches: false, streams: false, fans_out: true },
    set_up: |_dir, _wanted| {
        Err("building iceoryx2 needs libclang (Debian: libclang-dev)".to_owned())
    },
    sender: |_dir, _durability| unreachable!(),
    receiver: |_dir| unreachable!(),
    get: None,
    kept: all_kept,
};

pub(super) const SPINNING: System =
    System { name: "iceoryx2, spinning", does: Does { fans_out: false, ..EVENTS.does }, ..EVENTS };
