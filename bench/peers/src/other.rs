//! Other processes of this program, which take part in a row.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::documents::dense;
use crate::system::{Durability, Receiver, Sender, System};
use crate::systems::named;

/// Wake-ups that are not looked at: the first ones meet cold caches, whoever they are for.
pub(crate) const WARM_UPS: u64 = 50;
/// The message after which nothing comes.
pub(crate) const END: &[u8] = b"{\"end\":true}";

/// On a clock that all processes share.
pub(crate) fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// A process of this program that receives, or sends together with others.
pub(crate) struct Other {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Other {
    /// Starts it, and waits until it receives.
    pub(crate) fn start(role: &str, system: &System, dir: &Path, count: u64) -> Self {
        let mut other = Self::spawn(role, system, dir, count);
        other.wait_ready();
        other
    }

    /// Starts it.
    pub(crate) fn spawn(role: &str, system: &System, dir: &Path, count: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", role, system.name])
            .arg(dir)
            .arg(count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits until it receives, or is about to send.
    pub(crate) fn wait_ready(&mut self) {
        assert_eq!(self.line(), "ready");
    }

    /// Has it send.
    pub(crate) fn go(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"\n").unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn end(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

/// What a child process does.
pub(crate) fn child(role: &str, system: &str, dir: &Path, count: u64) {
    let system = named(system);
    match role {
        "receive" => receive((system.receiver)(dir).as_mut()),
        "be-woken" => be_woken((system.receiver)(dir).as_mut(), count),
        "send" => send((system.sender)(dir, Durability::Fast).as_mut(), count),
        "send-flushed" => send((system.sender)(dir, Durability::Flush).as_mut(), count),
        other => panic!("no role {other}"),
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Says how many messages came before the last one.
fn receive(receiver: &mut dyn Receiver) {
    say("ready");
    let (mut received, mut ended) = (0u64, false);
    while !ended {
        receiver.receive(&mut |message| match message {
            END => ended = true,
            _ => received += 1,
        });
    }
    say(&received.to_string());
}

/// Says how long each message took.
fn be_woken(receiver: &mut dyn Receiver, count: u64) {
    say("ready");
    let mut times = Vec::new();
    while (times.len() as u64) < WARM_UPS + count {
        receiver.receive(&mut |message| {
            let now = monotonic_ns();
            times.push(now - sent_at(message));
        });
    }
    let times: Vec<_> = times[WARM_UPS as usize..].iter().map(u64::to_string).collect();
    say(&times.join(" "));
}

/// Sends messages of 1 KiB for so many milliseconds, once it is told to, and says how many those were, and when it was done.
fn send(sender: &mut dyn Sender, millis: u64) {
    let message = dense(1024);
    let mut send_for = |millis| {
        let (start, mut sent) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(millis) {
            sender.send(message.as_bytes());
            sent += 1;
        }
        sent
    };
    // As it is once it has sent for a while.
    send_for(millis / 2);
    say("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let sent = send_for(millis);
    say(&format!("{sent} {}", monotonic_ns()));
}

/// The time in a message `{"t":TIME}`.
fn sent_at(message: &[u8]) -> u64 {
    let digits = message.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |time, digit| time * 10 + u64::from(digit - b'0'))
}
