#!/bin/bash
# in-overlay.sh SOURCES SCRIPT FILE...: runs SCRIPT with the FILEs as root of an overlay of this system, and says what it left
# there. The sources are where they are outside, to be read only.
#
# To be run in a mount and a pid namespace of its own (unshare --mount --pid --fork): what is written goes to a memory file
# system that ends with it, and the system below is only read.
set -euo pipefail

sources=$1 script=$2; shift 2
mount --make-rprivate /
top=$(mktemp -d)
mount -t tmpfs -o mode=755 plasmite-test "$top"
trap 'umount --lazy "$top"; rmdir "$top"' EXIT
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$top/root"
mount -t proc proc "$top/root/proc"
mount --rbind /dev "$top/root/dev"
# Not /run: to services it must look like a system without systemd.
mount -t tmpfs -o mode=755 run "$top/root/run"
mount -t tmpfs -o mode=1777 tmp "$top/root/tmp"
# Which may be of a file system of their own.
mkdir -p "$top/root$sources"
mount --bind "$sources" "$top/root$sources"
mount -o remount,bind,ro "$top/root$sources"
cp "$script" "$top/root/tmp/try.sh"
arguments=()
for file; do
    cp "$file" "$top/root/tmp/"
    arguments+=("/tmp/${file##*/}")
done
# Not chroot: in one, nobody can make a user namespace.
env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
    unshare --mount sh -c 'cd "$1" && shift && pivot_root . . && umount --lazy . && cd / && exec bash /tmp/try.sh "$@"' \
    sh "$top/root" "${arguments[@]}"
# What dpkg, ldconfig and the index of manual pages keep for themselves is theirs.
left=$(cd "$top/upper" && find . ! -type d \
    ! -path './var/lib/dpkg/*' ! -path './var/log/dpkg.log' ! -path './var/cache/man/*' \
    ! -path './etc/ld.so.cache' ! -path './var/cache/ldconfig/*')
if [ -n "$left" ]; then
    echo "left behind by the package:"; echo "$left"
    exit 1
fi
