#!/bin/bash
# try.sh PACKAGE FOLLOW.C DOCS: installs the package, uses all of it, runs DOCS, the test of the documents' examples, against it, and
# purges it. Not for a system that matters: see in-overlay.sh.
set -euo pipefail

package=$1 example=$2 docs=$3
version=$(dpkg-deb --field "$package" Version)
cd /tmp
trap 'echo "try.sh: line $LINENO: $BASH_COMMAND" >&2' ERR
say() { echo "   $*"; }

dpkg --install "$package" > install.log 2>&1 || { cat install.log; exit 1; }
say "the command, with its pools in the home directory"
plasmite --version | grep -F "plasmite ${version%-*}"
plasmite feed docs '{"text":"hi"}' --create --tag note | grep -F '"seq":1'
plasmite follow docs --tail 1 --one --data-only | grep -Fx '{"text":"hi"}'
plasmite top --json --interval 50ms | grep -F '"name":"docs"'

say "a mount by mount(8), through the helper"
mkdir pools mnt
mount -t plasmite /tmp/pools /tmp/mnt
mkdir mnt/events
echo '{"n":1}' > mnt/events/x.json
grep -Fx '{"n":1}' mnt/events/1.json
umount /tmp/mnt
[ -s pools/events.plasmite ]

# follows PROGRAM JSON: it appends the message, and prints it.
follows() {
    "$1" pools events "$2" > printed &
    local program=$!
    until grep -F "$2" printed; do
        kill -0 "$program"
        sleep 0.05
    done
    kill "$program"
    wait "$program" 2> ended || true
}
say "a C program, with the shared library and the static one"
[ "$(pkg-config --modversion plasmite)" = "${version%-*}" ]
# shellcheck disable=SC2046
cc -Wall -Werror "$example" $(pkg-config --cflags --libs plasmite) -o follow
ldd follow | grep -F libplasmite.so.1
follows ./follow '{"from":"C"}'
# shellcheck disable=SC2046
cc "$example" $(pkg-config --cflags --libs --static plasmite) -static -o follow-static
follows ./follow-static '{"from":"static"}'

say "manual pages"
for page in plasmite plasmite-feed plasmite-mount mount.plasmite; do
    MANPAGER=cat man --warnings "$page" > page.txt 2> page.err
    [ ! -s page.err ]
    grep -q plasmite page.txt
done

say "completion in bash, of verbs and of pools; in zsh and fish"
complete_in_bash() {
    bash -c '
        source /usr/share/bash-completion/completions/plasmite
        function=$(complete -p plasmite | sed "s/.*-F \([^ ]*\).*/\1/")
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9 COMP_KEY=9
        COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        "$function" plasmite "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}
complete_in_bash plasmite fe | grep -w feed
complete_in_bash plasmite follow d | grep -w docs
HOME=/tmp zsh -c 'autoload -Uz compinit && compinit -D && print -r -- $_comps[plasmite]' | grep plasmite
HOME=/tmp fish -c 'complete -C "plasmite fe"' | grep -w feed

say "the service"
systemd-analyze verify plasmite.service
[ ! -e /etc/systemd/system/multi-user.target.wants/plasmite.service ]
# Somebody enables it, and a purge takes that away too.
systemctl --root=/ enable plasmite.service 2> /dev/null
[ -L /etc/systemd/system/multi-user.target.wants/plasmite.service ]

say "an upgrade under a reader"
plasmite follow docs --one --data-only > followed &
reader=$!
dpkg --install "$package" >> install.log 2>&1
until plasmite top --json --interval 50ms | grep -F '"name":"docs"' | grep -qF '"readers":1'; do :; done
plasmite feed docs '{"text":"after"}' > receipt
wait "$reader"
grep -Fx '{"text":"after"}' followed

say "a newcomer: README, every verb, every recipe and each of them broken, and an hour"
rm -rf ~/.plasmite
PLASMITE_INSTALLED=1 "$docs" > docs.log 2>&1 || { cat docs.log; exit 1; }
plasmite feed docs '{}' --create > receipt

say "removal leaves the pools, and a purge nothing of ours"
dpkg --remove plasmite >> install.log 2>&1
[ ! -e /usr/bin/plasmite ]
[ ! -e /usr/sbin/mount.plasmite ]
[ -s ~/.plasmite/pools/docs.plasmite ]
dpkg --purge plasmite >> install.log 2>&1
if dpkg --status plasmite > status 2>&1; then cat status; exit 1; fi
rm -r ~/.plasmite
