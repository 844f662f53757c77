//! The unit files under a real systemd: process 1 of namespaces of its own, which knows no other units than those of the test.

use std::path::Path;

use crate::namespace::possible;
use crate::support::{Ran, Sandbox};

const SYSTEMD: &str = "/lib/systemd/systemd";

/// Starts it in a control group of its own, and has it run `probe`, which tells what it sees in `said`.
const START: &str = "
mkdir groups units
mount -t cgroup2 none groups || exit 77
group=groups/${ROOT##*/}
mkdir $group
for name in sysinit basic shutdown umount local-fs local-fs-pre remote-fs remote-fs-pre network multi-user; do
    echo '[Unit]' > units/$name.target
done
cp $DOCS/* units
sed -i s,/usr/bin/plasmite,$BIN, units/plasmite.service
cat > units/probe.service <<UNIT
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
StandardOutput=append:$ROOT/said
StandardError=append:$ROOT/said
ExecStart=/bin/bash $ROOT/probe
ExecStopPost=/bin/systemctl exit --force
UNIT
cat > boot <<'BOOT'
for dir in /run /srv /mnt /usr/sbin; do mount -t tmpfs none $dir; done
ln -s $BIN /usr/sbin/mount.plasmite
mount -t cgroup2 none /sys/fs/cgroup
mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
plasmite --dir /srv/pools pool create docs > /dev/null
exec env -i container=test PATH=$PATH SYSTEMD_UNIT_PATH=$ROOT/units SYSTEMD_LOG_TARGET=null \
    $SYSTEMD --system --unit=probe.service --show-status=no
BOOT
ln -s $BIN plasmite; export PATH=$ROOT:$PATH
in_group() {
    echo $BASHPID > $group/cgroup.procs
    exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --net --mount-proc bash boot
}
(in_group)
removed() { find $group -depth -type d -exec rmdir {} + 2> /dev/null; [ ! -e $group ]; }
soon removed
cat said
";

/// What a script says that runs under systemd.
fn under_systemd(probe: &str) -> Option<Ran> {
    if !possible() || !Path::new(SYSTEMD).exists() {
        return None;
    }
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/systemd");
    let ran = Sandbox::new().in_namespace(&format!(
        "export DOCS={docs} SYSTEMD={SYSTEMD}
        cat > probe <<'PROBE'
        cd {{}}
        soon() {{ for i in $(seq 6000); do if \"$@\"; then return; fi; sleep 0.01; done; echo \"waited in vain: $*\"; }}
        {probe}
PROBE
        sed -i \"s,cd {{}},cd $ROOT,\" probe
        {START}"
    ));
    // Without control groups it can't be had.
    (ran.code != Some(77)).then_some(ran)
}

#[test]
fn the_service_is_ready_when_systemd_says_so_restarts_and_stops() {
    let Some(ran) = under_systemd(
        "
        cat > units/after.service <<'UNIT'
[Unit]
Requires=plasmite.service
After=plasmite.service
[Service]
Type=oneshot
StandardOutput=append:/run/after
ExecStart=/bin/ls /mnt/pools
UNIT
        systemctl start after; echo $? $(cat /run/after)
        shows() { systemctl show -P $1 plasmite; }
        shows SubState; shows StatusText
        systemctl kill --signal=KILL plasmite
        restarted() { [ $(shows NRestarts) = 1 ] && [ $(shows SubState) = running ]; }
        soon restarted; ls /mnt/pools
        cat /mnt/pools/docs/follow & reader=$!
        waits() { grep -q request_wait /proc/$reader/wchan && grep -qE '^(0|63) ' /proc/$reader/syscall; }
        soon waits
        systemctl stop plasmite; echo $?; wait $reader; echo $?
        shows ActiveState; shows Result; ls /mnt/pools
        mount -t tmpfs none /mnt/pools
        systemctl start plasmite 2> /dev/null; echo $?
        systemctl stop plasmite; systemctl reset-failed plasmite 2> /dev/null; umount /mnt/pools
        systemctl start plasmite; echo $? $(ls /mnt/pools); systemctl stop plasmite",
    ) else {
        return;
    };
    let expected = "0 docs\nrunning\n/srv/pools is mounted at /mnt/pools\ndocs\n0\n0\ninactive\nsuccess\n1\n0 docs\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected), "{ran:?}");
}

#[test]
fn the_mount_unit_and_a_line_in_fstab_are_mounted_and_unmounted_by_systemd() {
    let Some(ran) = under_systemd(
        "
        type() { findmnt -no FSTYPE /mnt/pools; }
        gone() { ! pgrep -x plasmite > /dev/null; }
        systemctl start mnt-pools.mount; echo $? $(type) $(ls /mnt/pools)
        systemctl stop mnt-pools.mount; echo $? $(type); soon gone
        rm units/mnt-pools.mount
        echo '/srv/pools /mnt/pools plasmite allow_other,nofail,x-systemd.mount-timeout=60s 0 0' > /etc/fstab
        mkdir generated
        /lib/systemd/system-generators/systemd-fstab-generator generated generated generated
        cp -r generated/. units; systemctl daemon-reload
        systemctl start remote-fs.target local-fs.target; echo $? $(type) $(ls /mnt/pools)
        systemctl show -P ActiveState mnt-pools.mount
        systemctl stop mnt-pools.mount; echo $? $(type); soon gone
        rmdir /mnt/pools; echo > /mnt/pools
        systemctl start mnt-pools.mount 2> /dev/null; echo $?; systemctl show -P ActiveState mnt-pools.mount",
    ) else {
        return;
    };
    let expected = "0 fuse.plasmite docs\n0\n0 fuse.plasmite docs\nactive\n0\n1\nfailed\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected), "{ran:?}");
}
