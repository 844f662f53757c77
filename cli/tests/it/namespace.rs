//! Scripts in mount and process namespaces of their own, where root may spoil the system as a test needs it, and everything
//! that was started ends with the script.

use std::process::Command;

use crate::support::{Ran, Sandbox};

/// What every script can use: the command, two ordinary users, and a device for them.
const PRELUDE: &str = "
set -u
cd $ROOT
chmod 755 .
plasmite() { \"$BIN\" \"$@\"; }
as() { id=$1; shift; setpriv --reuid=$id --regid=$id --clear-groups -- \"$@\"; }
alice() { as 54321 env HOME=$ROOT/alice \"$@\"; }
bob() { as 54322 env HOME=$ROOT/bob \"$@\"; }
cp -a /etc $ROOT/etc && mount --bind $ROOT/etc /etc
for user in alice:54321 bob:54322; do
    mkdir ${user%:*} && chown ${user#*:}:${user#*:} ${user%:*}
    echo ${user%:*}:x:${user#*:}:${user#*:}::$ROOT/${user%:*}:/bin/bash >> /etc/passwd
done
fuse_for_all() { mknod -m 666 $ROOT/fuse c 10 229 && mount --bind $ROOT/fuse /dev/fuse; }
soon() { for i in $(seq 1000); do if \"$@\"; then return; fi; sleep 0.01; done; echo \"waited in vain: $*\"; return 1; }
gone() { ! pgrep -x plasmite > /dev/null; }
";

/// True when namespaces and mounts can be had.
pub(crate) fn possible() -> bool {
    rustix::process::geteuid().is_root() && std::path::Path::new("/dev/fuse").exists()
}

impl Sandbox {
    /// Runs a bash script as root in namespaces of its own.
    pub(crate) fn in_namespace(&self, script: &str) -> Ran {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"]);
        command.arg(format!("{PRELUDE}{script}"));
        command
            .env("BIN", env!("CARGO_BIN_EXE_plasmite"))
            .env("ROOT", self.path("m").parent().unwrap());
        command.env_remove("NOTIFY_SOCKET").env_remove("FUSERMOUNT_PATH");
        self.finish(command, b"")
    }
}
