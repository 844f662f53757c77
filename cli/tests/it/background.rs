//! `mount --background`, the log, `unmount` of a busy mount, readiness.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::namespace::possible;
use crate::support::{Sandbox, WAIT_LIMIT};

#[test]
fn background_returns_when_the_mount_is_ready_and_holds_nothing_of_its_caller() {
    if !possible() {
        return;
    }
    let ran = Sandbox::new().in_namespace(
        "
        exec 9> lock && flock 9
        said=$(plasmite mount --background pools m 2>&1); echo \"rc $? said [$said]\"
        mkdir m/docs && echo '{\"a\":1}' > m/docs/x.json && cat m/docs/1.json
        daemon=$(pgrep -x plasmite)
        readlink /proc/$daemon/cwd /proc/$daemon/fd/0 /proc/$daemon/fd/1 /proc/$daemon/fd/2
        [ $(cut -d' ' -f6 /proc/$daemon/stat) = $daemon ] && echo 'its own session'
        ls -l /proc/$daemon/fd | grep -c lock
        exec 9>&-; flock --nonblock lock echo 'the lock is free'
        plasmite unmount m && soon gone && ls m",
    );
    assert_eq!(
        ran.out,
        "rc 0 said []\n{\"a\":1}\n/\n/dev/null\n/dev/null\n/dev/null\nits own session\n0\nthe lock is free\n",
        "{ran:?}"
    );
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn background_tells_a_failure_with_its_exit_code_and_leaves_no_process() {
    if !possible() {
        return;
    }
    let ran = Sandbox::new().in_namespace(
        "
        plasmite mount --background pools m
        for where in m pools pools/x file/x; do
            touch file
            plasmite mount --background pools $where 2> err; echo \"$? $(jq -r .error.kind err)\"
        done
        plasmite mount -b -r nowhere m2 2> err; echo \"$? $(jq -r .error.kind err)\"
        plasmite mount -b --log-file no/such/log pools m2 2> err; echo \"$? $(jq -r .error.kind err)\"
        pgrep -xc plasmite
        pkill -KILL -x plasmite; soon gone
        plasmite mount -b pools m && ls m && plasmite unmount m",
    );
    let expected = "5 Busy\n2 Usage\n2 Usage\n2 Usage\n3 NotFound\n3 NotFound\n1\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert!(ran.err.contains(" WARN  removing the mount of a daemon that died, at "), "{ran:?}");
}

#[test]
fn the_log_tells_of_mount_and_trouble_and_never_of_messages() {
    if !possible() {
        return;
    }
    let ran = Sandbox::new().in_namespace(
        "
        mkdir logs; cd logs
        plasmite mount -b --log-file quiet.log ../pools ../m; cd ..
        mkdir m/docs; echo '{\"secret\":1}' > m/docs/x.json; plasmite unmount m; soon gone
        wc -c < logs/quiet.log
        head -c 100000 /dev/zero > pools/bad.plasmite
        plasmite mount -b --log-level debug --log-file logs/debug.log pools m
        echo '{\"secret\":2}' > m/docs/x.json; cat m/docs/* > /dev/null; ls -la m > /dev/null
        pkill -TERM -x plasmite; soon gone
        grep -c secret logs/debug.log; grep -c 'WARN .*bad.plasmite' logs/debug.log
        grep -o 'INFO .*is mounted at.*/m$\\|INFO .*signal 15\\|INFO .*unmounted' logs/debug.log | cut -c1-20
        grep -c WRITE logs/debug.log",
    );
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines[..3], ["0", "0", "1"], "{ran:?}");
    assert!(lines[4].contains("unmounting: si"), "{ran:?}");
    assert_eq!(lines.len(), 7, "{ran:?}");
}

#[test]
fn the_log_has_the_levels_that_were_asked_for_on_stderr_and_in_a_file() {
    if !possible() {
        return;
    }
    // An error (a file that is no pool is a warning), a warning, information, and each request.
    let ran = Sandbox::new().in_namespace(
        "
        mkdir pools; head -c 100000 /dev/zero > pools/bad.plasmite
        for level in off error warn info debug; do
            for where in err file; do
                file=; [ $where = file ] && file='--log-file file'
                rm -f err file
                plasmite mount --log-level $level $file pools m 2> err & soon test -d m/bad; cat m/bad/log 2> /dev/null
                pkill -TERM -x plasmite; soon gone; wait
                echo $level $where $(grep -oE '^[^ ]+Z (ERROR|WARN |INFO |DEBUG) ' $where | cut -d' ' -f2 | sort -u)
                grep -cE '^[^ ]+Z ' $([ $where = file ] && echo err || echo /dev/null)
            done
        done",
    );
    let levels = |level: &str, shown: &str| {
        let shown = if shown.is_empty() { String::new() } else { format!(" {shown}") };
        format!("{level} err{shown}\n0\n{level} file{shown}\n0\n")
    };
    let expected = levels("off", "")
        + &levels("error", "")
        + &levels("warn", "WARN")
        + &levels("info", "INFO WARN")
        + &levels("debug", "DEBUG INFO WARN");
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), expected.as_str()), "{ran:?}");
}

#[test]
fn unmount_says_who_is_in_the_way_and_how_to_unmount_all_the_same() {
    if !possible() {
        return;
    }
    let ran = Sandbox::new().in_namespace(
        "
        plasmite mount -b pools m; mkdir m/docs
        inside() { [ \"$(readlink /proc/$!/cwd)\" = $ROOT/m/docs ]; }
        (cd m/docs; exec sleep 100) & soon inside
        plasmite unmount m 2> err; echo \"$? $(jq -r '.error.message, .error.hint' err)\" | sed \"s/$!/PID/\"
        ls m; plasmite unmount --lazy m; echo $?; ls m; kill $!; soon gone",
    );
    let root = "in use by sleep (pid PID, ";
    assert!(ran.out.starts_with(&format!("5 {root}")), "{ran:?}");
    assert!(ran.out.contains("plasmite unmount --lazy"), "{ran:?}");
    assert!(ran.out.ends_with("\ndocs\n0\n"), "{ran:?}");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_service_manager_is_told_when_the_mount_is_ready_and_when_it_ends() {
    if !possible() {
        return;
    }
    let sandbox = Sandbox::with_docs();
    let socket = UnixDatagram::bind(sandbox.path("notify")).unwrap();
    socket.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let mountpoint = sandbox.path("m");
    let mut command = sandbox.command(&["mount", mountpoint.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", sandbox.path("notify"));
    let mut daemon = sandbox.start(command);
    let mut buffer = [0; 1000];
    let mut told = || {
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    let ready = told();
    // By then it answers.
    assert!(mountpoint.join("docs").is_dir());
    assert!(ready.starts_with("READY=1\nSTATUS="), "{ready}");
    assert!(ready.contains(&format!("is mounted at {}", mountpoint.display())), "{ready}");
    daemon.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(daemon.end().0, Some(0));

    // A failure is never ready.
    let mut command = sandbox.command(&["mount", "/proc/nope"]);
    command.env("NOTIFY_SOCKET", sandbox.path("notify"));
    assert_ne!(sandbox.finish(command, b"").code, Some(0));
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(socket.recv(&mut buffer).is_err());
}

#[test]
fn the_unit_files_are_what_systemd_takes() {
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/systemd");
    let dir = tempfile::tempdir().unwrap();
    for name in ["plasmite.service", "mnt-pools.mount"] {
        let text = std::fs::read_to_string(format!("{units}/{name}")).unwrap();
        // What is not installed here would be complained of.
        let text = text.replace("/usr/bin/plasmite", env!("CARGO_BIN_EXE_plasmite"));
        std::fs::write(dir.path().join(name), text).unwrap();
        let verify = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(dir.path().join(name))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verify.stderr);
        assert!(verify.status.success() && !said.contains(name), "{name}: {said}");
    }
}
