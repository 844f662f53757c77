//! `--background`: a process of its own serves the mount, and the one that was called returns when it is ready.
//!
//! The child tells through a pipe on its stdout that the mount answers. Until then it has our stderr, for the error that it
//! may end with; after that it holds nothing of ours: not the terminal, a pipe, or the working directory.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use plasmite_core::{Error, ErrorKind};

use super::plan::Plan;
use crate::errors::{INTERNAL, Outcome, SUCCESS};

/// What the child says.
const READY: u8 = b'.';

/// Starts the child and waits until the mount is ready, or the child has failed: then it has said why.
pub(crate) fn start(plan: &Plan) -> Outcome {
    let program = std::env::current_exe().map_err(|e| cannot("find this program", &e))?;
    // What the shell or a test has open for itself is none of the daemon's business.
    plasmite_fusefs::keep_descriptors_from_children();
    let mut child = Command::new(program)
        .arg0("plasmite")
        .args(plan.arguments_detached())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| cannot("start the process that serves the mount", &e))?;
    let mut said = [0];
    let ready = child.stdout.take().is_some_and(|mut pipe| pipe.read_exact(&mut said).is_ok());
    if ready && said == [READY] {
        return Ok(SUCCESS);
    }
    let status = child.wait().map_err(|e| cannot("wait for the process that serves", &e))?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(INTERNAL)),
        None => Err(Error::new(
            ErrorKind::Io,
            format!("the process that serves the mount died: {status}"),
        )
        .with_hint("run the same without --background to see more")
        .into()),
    }
}

/// In the child: leaves the terminal, so that neither Ctrl-C nor its end reaches the mount.
pub(crate) fn leave_terminal() {
    // It can fail only where there is nothing to leave.
    let _ = rustix::process::setsid();
}

/// In the child: tells that the mount is ready, and lets go of everything that was inherited.
pub(crate) fn ready() -> Result<(), Error> {
    let fail = |e: &io::Error| cannot("leave the foreground", e);
    std::env::set_current_dir("/").map_err(|e| fail(&e))?;
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|e| fail(&e))?;
    rustix::stdio::dup2_stderr(&null).map_err(|e| fail(&e.into()))?;
    let mut stdout = io::stdout();
    // An error here: whoever called us has gone, by Ctrl-C perhaps, and wants no mount.
    stdout.write_all(&[READY]).and_then(|()| stdout.flush()).map_err(|e| fail(&e))?;
    rustix::stdio::dup2_stdout(&null).map_err(|e| fail(&e.into()))?;
    Ok(())
}

impl Plan {
    fn arguments_detached(&self) -> Vec<std::ffi::OsString> {
        let mut arguments = self.arguments();
        arguments.insert(1, "--detached".into());
        arguments
    }
}

fn cannot(what: &str, error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {what}: {error}"))
}
