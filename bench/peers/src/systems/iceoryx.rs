//! iceoryx2: messages are written into shared memory, read in place, and kept by nobody; an event wakes the subscriber.

use std::path::Path;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;

use crate::system::{Does, System, all_kept};
use crate::system::{Receiver as Receive, Sender as Send};

const MAX_MESSAGE_BYTES: usize = 4096;
/// So far a subscriber may lag before it misses messages.
const MAX_LAG: usize = 1024;

pub(super) const EVENTS: System = System {
    name: "iceoryx2",
    does: Does { keeps: false, batches: false, streams: false, fans_out: true },
    set_up: |_dir, _wanted| {
        set_log_level(LogLevel::Error);
        Ok(Box::new(()))
    },
    sender: |dir, _durability| Box::new(Publishes::new(dir, true)),
    receiver: |dir| Box::new(Waits::new(dir)),
    get: None,
    kept: all_kept,
};

pub(super) const SPINNING: System = System {
    name: "iceoryx2, spinning",
    does: Does { fans_out: false, ..EVENTS.does },
    sender: |dir, _durability| Box::new(Publishes::new(dir, false)),
    receiver: |dir| Box::new(Spins(Waits::new(dir))),
    ..EVENTS
};

fn node() -> Node<ipc::Service> {
    set_log_level(LogLevel::Error);
    NodeBuilder::new().create::<ipc::Service>().unwrap()
}

fn name(dir: &Path) -> ServiceName {
    format!("plasmite-peer/{}", dir.display()).as_str().try_into().unwrap()
}

type Messages = PortFactory<ipc::Service, [u8], ()>;

fn messages(node: &Node<ipc::Service>, dir: &Path) -> Messages {
    let service = node.service_builder(&name(dir)).publish_subscribe::<[u8]>();
    service.subscriber_max_buffer_size(MAX_LAG).open_or_create().unwrap()
}

struct Publishes {
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    _node: Node<ipc::Service>,
}

impl Publishes {
    fn new(dir: &Path, wakes: bool) -> Self {
        let node = node();
        let messages = messages(&node, dir);
        let events = node.service_builder(&name(dir)).event().open_or_create().unwrap();
        let publisher =
            messages.publisher_builder().initial_max_slice_len(MAX_MESSAGE_BYTES).create().unwrap();
        let notifier = wakes.then(|| events.notifier_builder().create().unwrap());
        Self { publisher, notifier, _node: node }
    }
}

impl Send for Publishes {
    fn send(&mut self, message: &[u8]) {
        let sample = self.publisher.loan_slice_uninit(message.len()).unwrap();
        sample.write_from_slice(message).send().unwrap();
        if let Some(notifier) = &self.notifier {
            notifier.notify().unwrap();
        }
    }

    fn send_all(&mut self, messages: &[&[u8]]) {
        messages.iter().for_each(|message| self.send(message));
    }
}

struct Waits {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Listener<ipc::Service>,
    _node: Node<ipc::Service>,
}

impl Waits {
    fn new(dir: &Path) -> Self {
        let node = node();
        let messages = messages(&node, dir);
        let events = node.service_builder(&name(dir)).event().open_or_create().unwrap();
        let subscriber = messages.subscriber_builder().create().unwrap();
        let listener = events.listener_builder().create().unwrap();
        Self { subscriber, listener, _node: node }
    }

    /// False: there is none.
    fn take(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        let mut found = false;
        while let Some(sample) = self.subscriber.receive().unwrap() {
            found = true;
            take(&sample);
        }
        found
    }
}

impl Receive for Waits {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        self.listener.blocking_wait(|_| {}).unwrap();
        self.take(take);
    }
}

struct Spins(Waits);

impl Receive for Spins {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        while !self.0.take(take) {
            std::hint::spin_loop();
        }
    }
}
