//! The pictures of `plasmite top` in the documents: what a real terminal shows of it, with real writers and readers.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anstyle_svg::Term;

use crate::run::{self, Step, root};

/// Pools, and how many messages a second they get at most.
const WRITERS: &[(&str, f64)] = &[
    ("deploys", 0.4),
    ("events", 90.0),
    ("jobs", 12.0),
    ("metrics", 400.0),
    ("web-access", 160.0),
];
/// How long they write before the picture is taken: until the sparklines are full.
const WARM_UP: Duration = Duration::from_secs(14);

/// Takes the pictures anew.
pub(crate) fn take() -> Result<(), String> {
    run::build().run()?;
    let scene = Scene::new()?;
    let done = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        for (name, most) in WRITERS {
            let (scene, done) = (&scene, &done);
            scope.spawn(move || scene.write(name, *most, done));
        }
        let taken = scene.take();
        done.store(true, Ordering::Relaxed);
        taken
    });
    scene.end();
    taken
}

/// A pool directory that is in use, and a terminal.
struct Scene {
    command: std::path::PathBuf,
    home: std::path::PathBuf,
}

impl Scene {
    fn new() -> Result<Self, String> {
        let home = std::env::temp_dir().join(format!("plasmite-picture-{}", std::process::id()));
        let pools = home.join(".plasmite/pools");
        fs::create_dir_all(&pools).map_err(|e| format!("{}: {e}", pools.display()))?;
        let scene = Self { command: root().join("target/debug/plasmite"), home };
        for (name, _) in WRITERS {
            scene.step("a pool", &["pool", "create", name, "--size", "256K"]).quiet().run()?;
        }
        scene.step("a pool", &["pool", "create", "archive", "--size", "64M"]).quiet().run()?;
        fs::write(pools.join("old.plasmite"), "no pool at all")
            .map_err(|e| format!("{}: {e}", pools.display()))?;
        Ok(scene)
    }

    fn step(&self, name: &'static str, args: &[&str]) -> Step {
        Step::new(name, &self.command, args).silent().env("HOME", &self.home)
    }

    fn start(&self, args: &[&str]) -> Option<(Child, ChildStdin)> {
        let mut command = Command::new(&self.command);
        command.args(args).env("HOME", &self.home);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let stdin = child.stdin.take()?;
        Some((child, stdin))
    }

    /// Writes at a pace that comes and goes, while others read.
    fn write(&self, name: &str, most: f64, done: &AtomicBool) {
        let readers: Vec<_> =
            (0..name.len() % 3).filter_map(|_| self.start(&["follow", name])).collect();
        let Some((mut feed, mut stdin)) = self.start(&["feed", name, "--tag", "demo"]) else {
            return;
        };
        let mut n = 0u64;
        let mut phase = name.len() as f64;
        while !done.load(Ordering::Relaxed) {
            let rate = most * (0.15 + 0.85 * phase.sin().abs());
            let pause = Duration::from_secs_f64(1.0 / rate).min(Duration::from_secs(2));
            phase += 0.35 * pause.as_secs_f64();
            n += 1;
            let status = if n.is_multiple_of(17) { 503 } else { 200 };
            let line = format!(
                "{{\"n\":{n},\"kind\":\"{name}\",\"status\":{status},\"ms\":{}}}\n",
                n * 7919 % 97
            );
            if stdin.write_all(line.as_bytes()).is_err() {
                break;
            }
            thread::sleep(pause);
        }
        drop(stdin);
        let _ = feed.wait();
        for (mut reader, _) in readers {
            let _ = reader.kill();
            let _ = reader.wait();
        }
    }

    fn tmux(&self, name: &'static str, args: &[&str]) -> Step {
        let socket = self.home.join("tmux");
        let step = Step::new(name, "tmux", &["-f", "/dev/null", "-S"]).silent().arg(socket);
        let step = args.iter().fold(step, Step::arg);
        step.env("LC_ALL", "C.UTF-8")
            .env("HOME", &self.home)
            .without_env("NO_COLOR")
            .without_env("TMUX")
    }

    fn take(&self) -> Result<(), String> {
        let view = format!("'{}' top --interval 500ms --sort name", self.command.display());
        let new = ["new-session", "-d", "-s", "t", "-x", "90", "-y", "18", &view];
        self.tmux("a terminal", &new).run()?;
        eprintln!("── writers write for {WARM_UP:?}");
        thread::sleep(WARM_UP);
        self.picture("docs/top.svg")?;
        // The pool web-access, and of its messages the failures.
        let keys = ["send-keys", "-t", "t", "End", "Enter", "/"];
        self.tmux("keys", &keys).run()?;
        self.tmux("a filter", &["send-keys", "-t", "t", "-l", "#demo .data.status >= 500"])
            .run()?;
        self.tmux("keys", &["send-keys", "-t", "t", "Enter"]).run()?;
        thread::sleep(Duration::from_secs(3));
        self.picture("docs/top-follow.svg")
    }

    fn picture(&self, path: &str) -> Result<(), String> {
        let screen = self.tmux("the screen", &["capture-pane", "-e", "-p", "-t", "t"]).output()?;
        // Whoever looks at the picture does not care where it was taken.
        let screen = screen.replace(&self.home.display().to_string(), "/home/ann");
        let svg = Term::new().render_svg(screen.trim_end());
        let path = root().join(path);
        fs::write(&path, svg).map_err(|e| format!("{}: {e}", path.display()))?;
        eprintln!("the picture is {}", path.display());
        Ok(())
    }

    fn end(&self) {
        let _ = self.tmux("the end", &["kill-server"]).run();
        remove(&self.home);
    }
}

fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir) {
        eprintln!("{} stays: {error}", dir.display());
    }
}
