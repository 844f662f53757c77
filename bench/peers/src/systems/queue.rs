//! A POSIX message queue, as long as every user may make one.

use std::ffi::CString;
use std::path::Path;

use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::stat::Mode;

use crate::system::{Behind, Does, Receiver, Sender, System, all_kept};

const MAX_MESSAGES: i64 = 10;
const MAX_MESSAGE_BYTES: i64 = 8192;

pub(super) const POSIX: System = System {
    name: "POSIX queue",
    does: Does { keeps: false, batches: false, streams: true, fans_out: false },
    set_up: |dir, _wanted| set_up(dir),
    sender: |dir, _durability| Box::new(Sends(open(dir, MQ_OFlag::O_WRONLY).unwrap())),
    receiver: |dir| {
        let queue = open(dir, MQ_OFlag::O_RDONLY).unwrap();
        Box::new(Receives(queue, vec![0; MAX_MESSAGE_BYTES as usize]))
    },
    get: None,
    kept: all_kept,
};

fn name(dir: &Path) -> CString {
    let name = dir.to_string_lossy().replace(['/', '.'], "");
    CString::new(format!("/plasmite-peer-{name}")).unwrap()
}

fn open(dir: &Path, how: MQ_OFlag) -> nix::Result<MqdT> {
    let attributes = MqAttr::new(0, MAX_MESSAGES, MAX_MESSAGE_BYTES, 0);
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    mq_open(name(dir).as_c_str(), how | MQ_OFlag::O_CREAT, mode, Some(&attributes))
}

/// Removes the queue's name.
struct Named(CString);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = mq_unlink(self.0.as_c_str());
    }
}

fn set_up(dir: &Path) -> Result<Behind, String> {
    let queue = open(dir, MQ_OFlag::O_RDWR)
        .map_err(|e| format!("this kernel makes no POSIX message queue: {e}"))?;
    nix::mqueue::mq_close(queue).unwrap();
    Ok(Box::new(Named(name(dir))))
}

struct Sends(MqdT);

impl Sender for Sends {
    fn send(&mut self, message: &[u8]) {
        mq_send(&self.0, message, 0).unwrap();
    }

    fn send_all(&mut self, messages: &[&[u8]]) {
        messages.iter().for_each(|message| self.send(message));
    }
}

struct Receives(MqdT, Vec<u8>);

impl Receiver for Receives {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        let len = mq_receive(&self.0, &mut self.1, &mut 0).unwrap();
        take(&self.1[..len]);
    }
}
