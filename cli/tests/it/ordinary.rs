//! Mounts of ordinary users, and every reason why a mount is refused.

use crate::namespace::possible;
use crate::support::{Ran, Sandbox};

fn run(script: &str) -> Option<Ran> {
    possible().then(|| Sandbox::new().in_namespace(script))
}

/// Runs a script that ends with a mount that fails: the error's kind, message and hint.
#[track_caller]
fn refusal(script: &str) -> Option<String> {
    let ran = run(&format!("{script} 2> err; jq -r '.error | .kind, .message, .path, .hint' err"))?;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    Some(ran.out)
}

#[track_caller]
fn refused(script: &str, expected: &[&str]) {
    let Some(told) = refusal(script) else { return };
    for part in expected {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn an_ordinary_user_mounts_works_and_unmounts() {
    let Some(ran) = run("
        fuse_for_all; cd alice; umask 027
        alice $BIN mount -b m; echo $?
        alice mkdir m/docs; alice sh -c \"echo '{}' > m/docs/x.json\"; alice cat m/docs/1.json
        stat -c '%U %a' .plasmite/pools/docs.plasmite
        alice sh -c 'timeout 0.3 cat m/docs/follow'; echo $?
        bob $BIN unmount $ROOT/alice/m 2>&1 | jq -r .error.kind
        cat m/docs/1 2>&1 | grep -o 'Permission denied'; bob ls m 2>&1 | grep -o 'Permission denied'
        alice sh -c 'exec cat m/docs/follow' & reader=$!
        # In read(2), which has one of these numbers, of the mount: what was started here only waits for cat.
        soon sh -c 'cd /proc/$(pgrep -x cat) && grep -qE \"^(0|63) \" syscall && grep -q request_wait wchan'
        alice $BIN unmount m; echo $?; wait $reader; echo $?; soon gone
        alice $BIN mount m > /dev/null 2> /dev/null & soon alice test -d m/docs
        kill $(pgrep -x plasmite); soon gone; alice ls m
        alice $BIN mount -b m; pkill -KILL -x plasmite; soon gone
        alice ls m 2>&1 | grep -o 'not connected'
        alice $BIN mount -b m; alice ls m; pkill -KILL -x plasmite; soon gone
        alice $BIN unmount m; echo $?; alice ls m")
    else {
        return;
    };
    let expected = "0\n{}\nalice 640\n124\nPermission\nPermission denied\nPermission denied\n0\n0\nnot connected\ndocs\n0\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected), "{ran:?}");
}

/// SEMANTICS: Owner, group and mode are the pool file's
#[test]
fn an_unreadable_pool_is_not_read_even_when_the_mount_has_it_open() {
    let Some(ran) = run("
        fuse_for_all; cd alice
        cat > script <<'X'
        umask 022
        $BIN mount -b p m; mkdir m/docs
        echo '{\"a\":1}' > m/docs/x.json
        cat m/docs/1.json; cat m/docs/log > log
        chmod 0 m/docs
        for f in 1 1.json log tail follow info.json latest x.json; do
            if cat m/docs/$f 2> err; then echo read $f; fi
            grep -q 'Permission denied' err || { echo $f; cat err; }
        done
        ls m/docs 2> err && echo listed
        chmod 400 m/docs; cat m/docs/1.json
        for name in y.json x.json in .draft; do
            { echo '{}' >> m/docs/$name; } 2> err && echo written $name
            grep -q 'Permission denied' err || { echo $name; cat err; }
        done
        chmod 600 m/docs; echo '{\"b\":2}' > m/docs/y.json; cat m/docs/2.json
        $BIN unmount m
X
        alice bash script; soon gone")
    else {
        return;
    };
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "{\"a\":1}\n{\"a\":1}\n{\"b\":2}\n"),
        "{ran:?}"
    );
}

#[test]
fn allow_other_of_an_ordinary_user_works_where_the_system_allows_it() {
    let allowed = "fuse_for_all; echo user_allow_other > /etc/fuse.conf; cd alice; ";
    let Some(ran) = run(&format!(
        "{allowed}
        alice $BIN mount -b --allow-other p m; chmod 777 p
        alice sh -c 'umask 22; mkdir m/docs; echo {{}} > m/docs/x.json'
        bob cat m/docs/1.json; bob mkdir m/his 2>&1 | grep -o 'not permitted'; ls p
        alice chmod 700 m/docs; bob cat m/docs/1.json 2>&1 | grep -o 'Permission denied'
        alice $BIN unmount m; soon gone"
    )) else {
        return;
    };
    let expected = "{}\nnot permitted\ndocs.plasmite\nPermission denied\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected), "{ran:?}");

    refused(
        "fuse_for_all; echo > /etc/fuse.conf; cd alice; alice $BIN mount --allow-other p m",
        &["Permission\n", "--allow-other", "user_allow_other", "/etc/fuse.conf"],
    );
}

#[test]
fn without_the_device_it_is_named() {
    refused(
        "mount -t tmpfs none $ROOT/alice && mknod -m 666 alice/null c 1 3 && mount --bind alice /dev; plasmite mount p m",
        &["NotFound\n", "/dev/fuse\n", "modprobe fuse", "--device /dev/fuse"],
    );
    refused(
        "touch not; mount --bind not /dev/fuse; plasmite mount p m",
        &["Io\n", "/dev/fuse", "mknod /dev/fuse c 10 229"],
    );
}

#[test]
fn a_device_for_root_alone_is_named_to_others() {
    refused(
        "mknod -m 600 fuse c 10 229; mount --bind fuse /dev/fuse; cd alice; alice $BIN mount p m",
        &["Permission\n", "/dev/fuse\n", "chmod 666 /dev/fuse"],
    );
}

#[test]
fn without_fusermount3_the_package_is_named() {
    refused(
        "fuse_for_all; cd alice; alice env FUSERMOUNT_PATH=/nonexistent $BIN mount p m",
        &["Io\n", "fusermount3 is not installed", "package fuse3"],
    );
    refused(
        "fuse_for_all; cp $(command -v fusermount3) plain; mount --bind plain $(readlink -f $(command -v fusermount3)); cd alice
         alice $BIN mount p m",
        &["Permission\n", "not permitted", "set-user-id"],
    );
}

#[test]
fn a_user_without_a_name_is_told_what_fusermount3_wants() {
    refused(
        "fuse_for_all; sed -i /^alice/d /etc/passwd; cd alice; alice $BIN mount p m",
        &["Permission\n", "no name for your user number", "/etc/passwd"],
    );
}

#[test]
fn a_mountpoint_of_others_is_refused() {
    refused(
        "fuse_for_all; mkdir m; cd alice; alice $BIN mount p $ROOT/m",
        &["Permission\n", "the mountpoint is not yours", "/m\n", "of their own"],
    );
    refused(
        "fuse_for_all; cd alice; alice $BIN mount p $ROOT/new",
        &["Permission\n", "create the mountpoint", "/new\n", "elsewhere"],
    );
    refused(
        "fuse_for_all; mkdir -m 700 secret; cd alice; alice $BIN mount $ROOT/secret m",
        &["Permission\n", "look into the pool directory", "/secret\n", "owner and mode"],
    );
}

#[test]
fn a_mountpoint_that_is_taken_and_a_mount_within_a_mount_are_refused() {
    for (script, expected) in [
        (
            "mkdir m; mount -t tmpfs none m; plasmite mount p m",
            &["Busy\n", "mounted there already", "/m\n", "`umount` it first"][..],
        ),
        (
            "plasmite mount -b p m; plasmite mount q m",
            &["Busy\n", "mounted there already", "/m\n", "`plasmite unmount` it first"],
        ),
        (
            "plasmite mount -b p m; mkdir m/docs; plasmite mount q m/docs",
            &["Usage\n", "lies inside a mount of pools", "/m/docs\n"],
        ),
        ("plasmite mount -b p m; plasmite mount m n", &["Usage\n", "lies inside a mount of pools"]),
        ("mkdir m; touch m/file; plasmite mount p m", &["Usage\n", "not empty", "/m\n"]),
        ("mkdir p; plasmite mount p p/m", &["Usage\n", "lies inside the pool directory"]),
    ] {
        refused(script, expected);
    }
}
