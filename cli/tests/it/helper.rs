//! `mount -t plasmite` and a line in fstab.

use std::fs;
use std::path::Path;

use crate::namespace::possible;
use crate::support::Sandbox;

/// Makes the command the helper of mount(8).
const HELPER: &str = "mount -t tmpfs none /usr/sbin && ln -s $BIN /usr/sbin/mount.plasmite\n";

#[test]
fn mount_of_type_plasmite_works_as_for_other_file_systems() {
    if !possible() {
        return;
    }
    let script = "
        mkdir -p pools mnt
        mount -t plasmite $ROOT/pools $ROOT/mnt -o rw,pool_size=128K; echo $?
        mkdir mnt/docs && stat -c %s pools/docs.plasmite
        findmnt -no SOURCE,FSTYPE mnt | sed \"s,$ROOT,,\"
        umount mnt; soon gone
        mount -t plasmite $ROOT/pools $ROOT/mnt -o ro,allow_other,noatime,x-made.up; echo $?
        findmnt -no OPTIONS mnt | tr , '\\n' | grep -cx 'ro\\|allow_other\\|default_permissions'
        bob ls mnt; touch mnt/docs/x 2>&1 | grep -o 'Read-only file system'
        umount mnt; soon gone
        mount -t plasmite $ROOT/pools $ROOT/mnt -o colour=red; echo $?
        mount -t plasmite $ROOT/nowhere $ROOT/mnt -o ro; echo $?
        mount -f -t plasmite $ROOT/pools $ROOT/mnt; echo $?; ls mnt; pgrep -xc plasmite
        true";
    let ran = Sandbox::new().in_namespace(&format!("{HELPER}{script}"));
    let expected = format!(
        "0\n{}\n/pools fuse.plasmite\n0\n3\ndocs\nRead-only file system\n1\n32\n0\n0\n",
        128 << 10
    );
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected.as_str()), "{ran:?}");
    assert!(ran.err.contains("unknown option colour=red"), "{ran:?}");
    assert!(ran.err.contains("there is no such pool directory"), "{ran:?}");
}

#[test]
fn a_line_in_fstab_is_mounted_once_and_only_once() {
    if !possible() {
        return;
    }
    let script = "
        mkdir -p pools mnt
        echo \"$ROOT/pools $ROOT/mnt plasmite rw,noauto,nofail,_netdev,user,x-systemd.automount,allow_other,pool_size=256K 0 0\" > fstab
        mount -T fstab $ROOT/mnt; echo $?
        mkdir mnt/docs && stat -c %s pools/docs.plasmite
        umount mnt; soon gone
        sed -i s/noauto,// fstab
        mount -a -T fstab; echo $?; mount -a -T fstab; echo $?
        pgrep -xc plasmite; ls mnt; umount mnt; soon gone";
    let ran = Sandbox::new().in_namespace(&format!("{HELPER}{script}"));
    let expected = format!("0\n{}\n0\n0\n1\ndocs\n", 256 << 10);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), expected.as_str(), ""));
}

/// Of docs/mount.md all but what is told to systemd: its units are tested in `systemd`.
#[test]
fn what_the_page_on_mounts_says_is_so() {
    if !possible() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/mount.md")).unwrap();
    let fences: Vec<&str> = page.split("```").skip(1).step_by(2).collect();
    let of = |language: &str| {
        let texts =
            fences.iter().filter_map(|fence| fence.strip_prefix(language)?.strip_prefix('\n'));
        texts.collect::<Vec<&str>>()
    };
    let (scripts, consoles, tables) = (of("sh"), of("console"), of("fstab"));
    let ([for_all, link, by_fstab, service], [background], [fstab]) =
        (&scripts[..], &consoles[..], &tables[..])
    else {
        panic!("{fences:?}");
    };
    let typed: Vec<&str> = background.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    let script = format!(
        "for dir in /usr/sbin /srv /mnt; do mount -t tmpfs none $dir; done
        mkdir bin home /srv/pools; ln -s $BIN bin/plasmite; unset -f plasmite
        export PATH=$ROOT/bin:$PATH HOME=$ROOT/home
        plasmite --dir /srv/pools pool create docs > made
        {for_all}
        bob ls /mnt/pools; plasmite unmount /mnt/pools; soon gone
        {}
        soon gone; rmdir /mnt/pools
        {link}
        cat >> /etc/fstab <<'FSTAB'\n{fstab}FSTAB
        {by_fstab}
        bob ls /mnt/pools; findmnt -no FSTYPE /mnt/pools; umount /mnt/pools; soon gone",
        typed.join("\n")
    );
    let ran = Sandbox::new().in_namespace(&script);
    let expected = "docs\ndocs\ndocs\nfuse.plasmite\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), expected, ""));
    for word in service.split_whitespace().filter(|word| word.starts_with("docs/")) {
        assert!(root.join(word).exists(), "{word}");
    }
}
