//! A real terminal, which tmux provides.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Sandbox;

/// How long the screen may take to show something: other tests may have the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(50);

/// What the shell does then. 147 and 148 are codes of a job that was stopped; it goes on with the next line that is typed.
const AFTER: &str = r#"
while [ $code = 147 ] || [ $code = 148 ]; do echo stopped; stty -a; read -r; clear; fg; code=$?; done
echo "ended $code"; stty -a; exec cat"#;

/// A terminal of 80 by 24 in which a shell runs the command, and then says how it ended.
pub(crate) struct Screen<'a> {
    sandbox: &'a Sandbox,
    server: String,
}

impl<'a> Screen<'a> {
    /// Starts `plasmite` with these arguments, after `setup` in the same shell.
    pub(crate) fn start(sandbox: &'a Sandbox, setup: &str, args: &str) -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let server = format!("plasmite-test-{}-{number}", std::process::id());
        let screen = Self { sandbox, server };
        let script = format!(
            "echo before; {setup}\n'{}' --dir '{}' {args}; code=$?\n{AFTER}",
            env!("CARGO_BIN_EXE_plasmite"),
            sandbox.path("pools").display()
        );
        let file = sandbox.path("script");
        fs::write(&file, script).unwrap();
        let new = ["-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", "80", "-y", "24"];
        let mut tmux = screen.tmux(&new);
        tmux.arg(format!("bash -i '{}'", file.display()));
        assert!(tmux.status().unwrap().success(), "tmux starts");
        screen
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.arg("-L").arg(&self.server).args(args);
        tmux.env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").env_remove("TMUX");
        tmux.current_dir(self.sandbox.path("")).stdin(Stdio::null());
        tmux
    }

    pub(crate) fn keys(&self, keys: &[&str]) {
        assert!(self.tmux(&["send-keys", "-t", "t"]).args(keys).status().unwrap().success());
    }

    pub(crate) fn type_text(&self, text: &str) {
        self.keys(&["-l", text]);
    }

    pub(crate) fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        let args = ["resize-window", "-t", "t", "-x", &width, "-y", &height];
        assert!(self.tmux(&args).status().unwrap().success());
    }

    pub(crate) fn captured(&self, how: &[&str]) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-t", "t"]).args(how).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The screen once it is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.captured(&[]);
            if wanted(&screen) {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "the screen stays\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> String {
        self.until(|screen| screen.contains(text))
    }

    /// Ended with this code, and the terminal is as it was.
    #[track_caller]
    pub(crate) fn ended(&self, code: u8) {
        let screen = self.shows("extproc");
        assert!(screen.contains(&format!("ended {code}\n")), "{screen}");
        assert!(screen.contains("before"), "not the page that was there:\n{screen}");
        assert_is_cooked(&screen);
        let cursor = self.tmux(&["display-message", "-p", "-t", "t", "#{cursor_flag}"]).output();
        assert_eq!(cursor.unwrap().stdout, b"1\n", "the cursor is hidden");
    }

    /// The process of the command.
    pub(crate) fn pid(&self) -> u32 {
        let shell = self.tmux(&["display-message", "-p", "-t", "t", "#{pane_pid}"]).output();
        let shell = String::from_utf8(shell.unwrap().stdout).unwrap();
        children(shell.trim().parse().unwrap())[0]
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).stderr(Stdio::null()).status();
    }
}

/// What `stty -a` says on the screen is of a terminal that is not raw.
#[track_caller]
pub(crate) fn assert_is_cooked(screen: &str) {
    for flag in ["icanon", "echo", "isig", "opost"] {
        assert!(screen.split_whitespace().any(|word| word == flag), "{flag} is off:\n{screen}");
    }
}

pub(crate) fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

pub(crate) fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[track_caller]
pub(crate) fn ends(pid: u32) {
    let start = Instant::now();
    while lives(pid) {
        assert!(start.elapsed() < PATIENCE, "process {pid} goes on");
        thread::sleep(Duration::from_millis(10));
    }
}
