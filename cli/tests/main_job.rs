//! The main job, as people do it: a mounted directory, real documents, ordinary tools, several processes, a death, and a
//! count of every message at the end.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const BIN: &str = env!("CARGO_BIN_EXE_plasmite");
/// Documents for each of the four writers.
const EACH: usize = 1000;

/// Kills what it holds when it goes, so that a failing test leaves nothing running.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Session {
    dir: tempfile::TempDir,
}

impl Session {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn mount(&self) -> Killed {
        let child = Command::new(BIN)
            .arg("mount")
            .args([self.path("pools"), self.path("mnt")])
            .args(["--pool-size", "64M"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut daemon = Killed(child);
        // It says what to try once it is ready.
        let mut stderr = BufReader::new(daemon.0.stderr.take().unwrap());
        let mut line = String::new();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the mount ended at once");
        thread::spawn(move || stderr.lines().for_each(drop));
        daemon
    }

    fn unmount(&self, mut daemon: Killed) {
        let status = Command::new(BIN).arg("unmount").arg(self.path("mnt")).status().unwrap();
        assert!(status.success());
        assert!(daemon.0.wait().unwrap().success(), "the daemon ends well when it is unmounted");
    }

    /// A shell in the session's directory, its stdout into a file.
    fn shell(&self, script: &str, out: &str) -> Killed {
        let child = Command::new("bash")
            .args(["-c", script])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.path(out)).unwrap())
            .spawn()
            .unwrap();
        Killed(child)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ =
            Command::new("umount").arg("-l").arg(self.path("mnt")).stderr(Stdio::null()).status();
    }
}

/// Real documents where they are at hand, made ones elsewhere; each says which writer it is for, and its number there.
fn documents() -> Vec<Vec<Value>> {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/documents.jsonl");
    let all: Vec<Value> = match fs::read_to_string(&real) {
        Ok(text) => text.lines().map(|l| serde_json::from_str(l).unwrap()).collect(),
        Err(_) => {
            eprintln!("{} is not here: made documents are used", real.display());
            (0..4 * EACH).map(made).collect()
        }
    };
    // Spread over the whole collection, whatever its size.
    let step = (all.len() / (4 * EACH)).max(1);
    let pick = |w: usize, n: usize| all[(w * EACH + n) * step % all.len()].clone();
    (0..4)
        .map(|w| {
            (0..EACH).map(|n| serde_json::json!({"w": w, "n": n, "doc": pick(w, n)})).collect()
        })
        .collect()
}

fn made(n: usize) -> Value {
    let words = "naïve café\n\"quoted\" ✓ \\ ".repeat(n % 40);
    serde_json::json!({"id": n, "text": words, "list": [n, n * n, null, true], "deep": {"a": {"b": n}}})
}

/// Waits until `done`; the watchdog of [`main_job`] is for the rest.
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen");
        thread::sleep(Duration::from_millis(20));
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn watchdog() -> mpsc::Sender<()> {
    let (alive, gone) = mpsc::channel();
    thread::spawn(move || {
        if gone.recv_timeout(Duration::from_secs(240)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("watchdog: the main job hangs");
            std::process::abort();
        }
    });
    alive
}

#[test]
fn main_job() {
    let _alive = watchdog();
    let session = Session { dir: tempfile::tempdir().unwrap() };
    let documents = documents();
    fs::create_dir(session.path("w0")).unwrap();
    for (n, document) in documents[0].iter().enumerate() {
        fs::write(session.path(&format!("w0/{n:05}.json")), format!("{document:#}\n")).unwrap();
    }
    for (w, documents) in documents.iter().enumerate().skip(1) {
        let text: String = documents
            .iter()
            // jq gets pretty-printed input.
            .map(|d| if w == 2 { format!("{d:#}\n") } else { format!("{d}\n") })
            .collect();
        fs::write(session.path(&format!("w{w}.json")), text).unwrap();
    }

    let daemon = session.mount();
    assert!(Command::new("mkdir").arg(session.path("mnt/docs")).status().unwrap().success());
    let readers = [
        session.shell("exec cat mnt/docs/tail", "tail1"),
        session.shell("exec cat mnt/docs/tail", "tail2"),
        session.shell(&format!("exec '{BIN}' --dir pools follow docs --tail 1"), "follow"),
    ];
    // The first message shows that the readers read.
    assert!(
        session.shell("echo '{\"start\":1}' > mnt/docs/x.json", "null").0.wait().unwrap().success()
    );
    for name in ["tail1", "tail2", "follow"] {
        wait_until("the first message's delivery", || lines(&session.path(name)).len() == 1);
    }

    let mut writers = vec![
        session.shell("for f in w0/*; do cp $f mnt/docs/ || exit 1; done", "w0.out"),
        session.shell("cat w1.json >> mnt/docs/in", "w1.out"),
        session.shell("jq -c . w2.json >> mnt/docs/in2", "w2.out"),
    ];
    // The one that will be killed says what it knows to be written.
    let mut victim = session.shell(
        "n=0; while IFS= read -r line; do printf '%s\\n' \"$line\" > mnt/docs/y.json || exit 1; echo $((++n)); done < w3.json",
        "w3.out",
    );
    wait_until("a third of the victim's work", || lines(&session.path("w3.out")).len() >= EACH / 3);
    victim.0.kill().unwrap();
    victim.0.wait().unwrap();
    for writer in &mut writers {
        assert!(writer.0.wait().unwrap().success());
    }
    let acknowledged = lines(&session.path("w3.out")).len();
    assert!(
        session.shell("echo '{\"end\":1}' > mnt/docs/x.json", "null").0.wait().unwrap().success()
    );
    for name in ["tail1", "tail2", "follow"] {
        wait_until("the last message's delivery", || {
            fs::read_to_string(session.path(name)).unwrap().ends_with("\"data\":{\"end\":1}}\n")
        });
    }
    drop(readers);

    let seen = lines(&session.path("tail1"));
    assert_eq!(seen, lines(&session.path("tail2")));
    assert_eq!(seen, lines(&session.path("follow")));
    let log = |session: &Session| lines(&session.path("mnt/docs/log"));
    assert_eq!(seen, log(&session));

    session.unmount(daemon);
    let daemon = session.mount();
    assert_eq!(seen, log(&session), "what was there is there after a new mount");
    account(&seen, &documents, acknowledged);
    session.unmount(daemon);
}

/// Every message: its seq, its writer's order, its content.
fn account(seen: &[String], documents: &[Vec<Value>], acknowledged: usize) {
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, line) in seen.iter().enumerate() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert_eq!(message["seq"], i + 1);
        let data = &message["data"];
        let Some(w) = data["w"].as_u64() else { continue };
        let n = next.entry(w as usize).or_default();
        assert_eq!(data, &documents[w as usize][*n], "writer {w}, document {n}");
        // Numbers and all, the text is the text that was written; jq writes its own.
        let text = documents[w as usize][*n].to_string();
        assert!(w == 2 || line.ends_with(&format!("\"data\":{text}}}")), "{line}");
        *n += 1;
    }
    for w in 0..3 {
        assert_eq!(next[&w], EACH, "writer {w}");
    }
    let survived = next[&3];
    assert!(
        (acknowledged..=acknowledged + 1).contains(&survived),
        "{survived} messages of the killed writer, which knew of {acknowledged}"
    );
    assert_eq!(seen.len(), 3 * EACH + survived + 2);
}
