//! A shell that documents' examples are typed into.

use std::io::{BufRead as _, BufReader, PipeReader, Write as _, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a command may take, on the slowest machine: longer, and it hangs.
const LIMIT: Duration = Duration::from_secs(120);
/// Comes before the exit code at the end of what a command printed.
const END: &str = "\u{1}end ";

/// Where cargo has put the command and the library that are tried, unless it is those that are installed.
pub(crate) fn built() -> Option<&'static Path> {
    let bin = Path::new(env!("CARGO_BIN_EXE_plasmite")).parent();
    bin.filter(|_| std::env::var_os("PLASMITE_INSTALLED").is_none())
}

pub(crate) struct Shell {
    child: Child,
    lines: Receiver<String>,
}

impl Shell {
    /// A shell that stands in this folder, which is its home too.
    pub(crate) fn start(folder: &Path) -> Self {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings/python/src");
        let (reader, writer) = pipe().unwrap();
        let mut command = Command::new("setsid");
        if let Some(bin) = built() {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let paths = [bin.to_owned()].into_iter().chain(std::env::split_paths(&path));
            let paths = std::env::join_paths(paths.collect::<Vec<PathBuf>>()).unwrap();
            command.env("PATH", paths).env("PLASMITE_LIB_DIR", bin);
        }
        let child = command
            .args(["bash", "--noprofile", "--norc"])
            .current_dir(folder)
            .env("HOME", folder)
            .env("PYTHONPATH", python)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        let mut shell = Self { child, lines: read_lines(reader) };
        // As it lists on a terminal.
        shell.type_in("ls() { command ls -C \"$@\"; }");
        shell
    }

    /// Types a command; returns its exit code and what it printed.
    pub(crate) fn run(&mut self, command: &str) -> (i32, String) {
        // Not of the pipe through which the commands come.
        self.type_in(&format!("{{\n{command}\n}} </dev/null; printf '\\n{END}%s\\n' \"$?\""));
        let mut printed = String::new();
        loop {
            let line = self.next_line(command, &printed);
            if let Some(status) = line.strip_prefix(END) {
                // The line break before the mark.
                printed.pop();
                return (status.parse().unwrap(), printed);
            }
            printed.push_str(&without_line_number(&line));
            printed.push('\n');
        }
    }

    /// Types a command that does not end by itself; returns the first lines that it prints.
    pub(crate) fn leave_running(&mut self, command: &str, lines: usize) -> String {
        self.type_in(command);
        let mut printed = String::new();
        for _ in 0..lines {
            printed.push_str(&self.next_line(command, &printed));
            printed.push('\n');
        }
        printed
    }

    fn type_in(&mut self, text: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{text}").unwrap();
    }

    fn next_line(&self, command: &str, printed: &str) -> String {
        self.lines
            .recv_timeout(LIMIT)
            .unwrap_or_else(|e| panic!("{e} after {command}, which printed:\n{printed}"))
    }

    /// Ends the shell and what it has started.
    pub(crate) fn end(&mut self) {
        // `setsid` made it the leader of a group, and has become the shell itself.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let group = Pid::from_raw(pid).unwrap();
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.end();
    }
}

fn read_lines(reader: PipeReader) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// A shell at a terminal does not say which line of its input an error is of.
fn without_line_number(line: &str) -> String {
    let (Some(rest), shell) = (line.strip_prefix("bash: line "), "bash: ") else {
        return line.to_owned();
    };
    rest.split_once(": ").map_or_else(|| line.to_owned(), |(_, error)| format!("{shell}{error}"))
}
