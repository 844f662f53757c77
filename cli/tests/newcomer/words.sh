# What the newcomer's scripts have in common; they source it. `plasmite` is the one on PATH, with its pools in a home of its own.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
home="$(mktemp -d)"
export HOME="$home"
cd "$home"
trap 'plasmite unmount --lazy "$home/mnt" > "$home/unmount" 2>&1 || true; cd /; rm -rf "$home"' EXIT

step() { printf '· %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
# is GOT WANTED: both are the same.
is() { [ "$1" = "$2" ] || fail "line ${BASH_LINENO[0]}: got «$1», not «$2»"; }
# ends CODE COMMAND…: it ends with that code; what it printed is in out and err.
ends() {
    local code=$1 status=0
    shift
    # What it says of a program that was killed is the shell's.
    { "$@" > out 2> err < /dev/null || status=$?; } 2> killed
    [ "$status" = "$code" ] || fail "line ${BASH_LINENO[0]}: $*: ended with $status: $(cat err)"
}
# told WORDS: the error that is last in err has these words, and a hint.
told() {
    tail -n 1 err | grep -q -- "$1" || fail "line ${BASH_LINENO[0]}: not told of $1: $(cat err)"
    tail -n 1 err | jq -e '.error | .hint != null and .kind != null' > said || fail "no hint: $(cat err)"
}
# refused CODE WORDS COMMAND…: it ends with that code, and its error has these words and a hint.
refused() {
    local code=$1 words=$2
    shift 2
    ends "$code" "$@"
    told "$words"
}
# until_true COMMAND…: within a minute.
until_true() {
    for _ in $(seq 600); do
        if "$@" > tried 2>&1; then return; fi
        sleep 0.1
    done
    fail "line ${BASH_LINENO[0]}: not within a minute: $*"
}
