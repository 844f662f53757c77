#!/usr/bin/env bash
# Every recipe of the cookbook and the README's session, each broken as it may break for who follows it: what is told, how it ends, and
# that nothing is lost. `broken.sh COOKBOOK`; a step has the name of its heading. Needs jq, python3 and the Python client.
# shellcheck source=words.sh
. "$(dirname "$0")/words.sh"
cookbook=$1

# file_of NAME: the file of that name in the cookbook.
file_of() { awk -v mark="<!-- file: $1 -->" '$0 == mark { on = 1 } on && /^```$/ { exit } on && text; on && /^```/ { text = 1 }' "$cookbook"; }
# messages POOL: how many there are.
messages() { plasmite pool info "$1" | jq .messages; }
# waits PID POOL: it follows the pool, and has looked at all that is there.
waits() { until_true sh -c "grep -q '/$2.plasmite' /proc/$1/maps && grep -Eq '^(202|98|449) ' /proc/$1/syscall"; }
# killed PID: a process that this script started, by SIGKILL.
killed() {
    kill -9 "$1"
    wait "$1" 2> killed || is $? 137
}
# daemon: who serves the mount at mnt.
daemon() {
    local process
    for process in /proc/[0-9]*; do
        if { tr '\0' '\n' < "$process/cmdline"; } 2> gone | grep -Fxq "$home/mnt"; then basename "$process"; fi
    done
}

step "A session"
plasmite mount --background pools mnt
mkdir mnt/docs
echo '{"kind":"note","text":"hi"}' > mnt/docs/x.json
refused 5 "already" plasmite mount --background pools mnt
refused 2 "inside" plasmite mount --background pools pools/mnt
ends 1 mkdir mnt/docs; grep -q "File exists" err
ends 1 cat mnt/docs/2; grep -q "No such file" err
ends 1 bash -c "echo '{}' > mnt/dosc/x.json"; grep -q "No such file" err
ends 1 cp "$cookbook" mnt/docs/; grep -q "Invalid argument" err
is "$(tail -n 1 mnt/docs/errors | jq -r '[.name, .program, .errno] | join(" ")')" "cookbook.md cp EINVAL"
printf '{"n":1}\n{"n":' > cut.json
ends 1 cp cut.json mnt/docs/in
jq -e '.reason | contains("unfinished")' <(tail -n 1 mnt/docs/errors) > out
is "$(jq -c .data mnt/docs/log | paste -sd' ')" '{"kind":"note","text":"hi"} {"n":1}'
cat mnt/docs/tail > tailed 2> tailed.err &
reader=$!
until_true test -s tailed
ends 1 rmdir mnt/docs; grep -q "busy" err
kill -9 "$(daemon)"
wait "$reader" 2> err || is $? 1
until_true sh -c "! ls mnt"
ends 1 cat mnt/docs/1; grep -q "not connected" err
plasmite --dir pools feed docs '{"n":2}' > out
plasmite mount --background pools mnt
is "$(jq -c .data mnt/docs/log | paste -sd' ')" '{"kind":"note","text":"hi"} {"n":1} {"n":2}'
plasmite unmount mnt
refused 3 "no pools are mounted" plasmite unmount mnt
refused 3 'did you mean \\"docs\\"' plasmite --dir pools follow doc
refused 3 "holds no pools yet" plasmite --dir ./pool follow docs
ends 124 plasmite --dir pools follow docs --tail 10 --tag nott --one --timeout 0s

step "A gate in CI"
plasmite pool create builds > out
refused 3 'did you mean \\"builds\\"' plasmite follow build --tail 100 --one --timeout 60s
refused 2 "not one of jq" plasmite follow builds --tail 100 --where '.data.job == "tests' --one --timeout 60s
# The job fails, before the gate looks; it is killed before it says anything; it says it wrongly.
plasmite feed builds '{"job":"tests","ok":false}' > out
plasmite follow builds --tail 100 --where '.data.job == "tests"' --one --timeout 60s > result.json
ends 1 jq -e .data.ok result.json
ends 137 sh -c 'kill -9 $$; plasmite feed builds "{\"job\":\"docs\"}"'
refused 2 "double quotes" plasmite feed builds '{job:docs}'
ends 124 plasmite follow builds --tail 100 --where '.data.job == "docs"' --one --timeout 100ms
plasmite follow builds --one --timeout 60s > out 2> err &
gate=$!
waits $gate builds
plasmite pool delete builds > said
code=0; wait $gate || code=$?
is $code 3
told "deleted while it was followed"

step "An event bus with tags"
refused 3 "pool create bus" plasmite feed bus --tag order '{"id":7}'
plasmite feed bus --create --tag order --tag eu '{"id":7,"total":40}' > out
refused 2 "empty" plasmite feed bus --tag '' '{"id":8}'
refused 2 "byte 15" plasmite feed bus --tag order '{"id":8,"total"}'
plasmite feed bus --tag order '{"id":8,"total":"much"}' > out
plasmite feed bus --tag order '{"id":9,"total":90}' > out
ends 124 plasmite follow bus --tail 100 --where '.data.total - 50 > 0' --data-only --timeout 0s
is "$(cat out)" '{"id":9,"total":90}'
jq -e '.notice.kind == "NotApplicable" and .notice.seq == 2' err > said
plasmite mount --background ~/.plasmite/pools mnt
ends 1 cp cut.json mnt/bus/tags/order/eu/
jq -e '.name == "cut.json"' <(tail -n 1 mnt/bus/errors) > out
kill -9 "$(daemon)"
until_true sh -c "! ls mnt"
ends 1 bash -c "echo '{}' > mnt/bus/tags/order/eu/new.json"; grep -q "not connected" err
plasmite feed bus --tag order --tag eu '{"id":10}' > out
plasmite mount --background ~/.plasmite/pools mnt
is "$(jq -c .data.id mnt/bus/tags/order/eu/log | paste -sd' ')" "7 10"
plasmite unmount mnt

step "Capture a stream and replay it"
printf '{"n":1}\noops\n{"n":2}\n' > stream
refused 2 "record 2" plasmite feed capture --create --file stream
is "$(messages capture)" 1
refused 3 "cannot open" plasmite feed other --create --file streem
refused 3 "other" plasmite pool info other
ends 1 plasmite feed capture --errors skip --file stream
told "record 2 was skipped"
is "$(messages capture)" 3
# The producer is killed within a message, and then who feeds.
printf '{"n":3}\n{"n":' > cut
refused 2 "unfinished" plasmite feed capture --file cut
is "$(messages capture)" 4
mkfifo stream.in
plasmite feed capture < stream.in > receipts &
feeder=$!
exec 3> stream.in
for n in 4 5 6; do echo "{\"n\":$n}" >&3; done
until_true sh -c '[ "$(wc -l < receipts)" = 3 ]'
killed $feeder
exec 3>&-
is "$(plasmite fetch capture 5.. --data-only | paste -sd' ')" '{"n":4} {"n":5} {"n":6}'
refused 2 "speed above 0" plasmite follow capture --replay 0
is "$(plasmite follow capture --replay 1000 --data-only --timeout 60s | head -n 1)" '{"n":1}'

step "A log that can't fill the disk"
refused 2 "the smallest pool has" plasmite pool create log --size 64
plasmite pool create log --size 64K > out
seq 10000 | jq -c '{line: .}' | plasmite feed log > out
head -c 100000 /dev/zero | tr '\0' x | jq -R '{line: .}' > long
refused 2 "limit=" plasmite feed log --file long
refused 2 "begin with" plasmite feed log --file <(echo 'started')
is "$(plasmite follow log --tail 1 --one --data-only)" '{"line":10000}'
unshare --user --map-root-user --mount bash -c '
    mkdir small; mount -t tmpfs -o size=100k tmpfs small
    plasmite pool create ./small/log --size 1M 2> err; echo $?; ls small
    plasmite pool create ./small/log --size 64K > made; head -c 1M /dev/zero > small/other 2> said
    seq 10000 | jq -c "{line: .}" | plasmite feed ./small/log | tail -n 1 | jq .seq' > full
is "$(paste -sd' ' full)" "8 10000"
told "no room for a pool of 1048576 bytes"
refused 127 "nosuch" plasmite tap log -- nosuch
refused 3 'did you mean \\"log\\"' plasmite tap lgo -- touch ran
if [ -e ran ]; then fail "a command ran whose output had nowhere to go"; fi
ends 137 plasmite tap log -- sh -c 'echo compiling; kill -9 $$'
ends 124 plasmite follow log --tail 3 --data-only --timeout 0s
is "$(jq -r '.line // .signal // .kind' out | paste -sd' ')" "start compiling SIGKILL"
ends 3 plasmite tap log -- sh -c 'plasmite pool delete log > said; echo compiling; echo done'
told "passed on, but no longer recorded"
is "$(paste -sd' ' out)" "compiling done"

step "A chat"
refused 3 "create" plasmite duplex room --me ann
echo 'is the build green?' | plasmite duplex room --create --me ann
refused 2 "record 1" sh -c 'echo "it is now" | plasmite duplex room'
mkfifo typed
plasmite duplex room --me bob --tail 10 --echo < typed > seen 2> err &
bob=$!
exec 3> typed
echo 'it is now' >&3
until_true grep -q 'it is now' seen
is "$(messages room)" 2
plasmite pool delete room > out
code=0; wait $bob || code=$?
exec 3>&-
is $code 3
told "deleted"

step "Workers that share the work, each with its own place"
file_of worker.sh > worker.sh
grep -q cursor-file worker.sh
for n in 1 2 3 4; do echo "{\"file\":\"$n.png\"}"; done | plasmite feed jobs --create > out
# A worker dies in its first job, as it does in every one while the program that it needs is killed.
mkdir bin
printf '#!/bin/sh\nkill -9 $PPID\n' > bin/jq
chmod +x bin/jq
ends 137 env PATH="$home/bin:$PATH" bash worker.sh 0 2
rm bin/jq
ends 124 bash worker.sh 0 2
ends 124 bash worker.sh 1 2
is "$(jq -r .did done.jsonl | sort | paste -sd' ')" "1.png 2.png 3.png 4.png"
# It fails in a job: that one comes again, and none is passed over.
for n in 5 6 7 8; do echo "{\"file\":\"$n.png\"}"; done | plasmite feed jobs > out
printf '#!/bin/sh\nexit 5\n' > bin/jq
chmod +x bin/jq
ends 5 env PATH="$home/bin:$PATH" bash worker.sh 0 2
ends 124 bash worker.sh 0 2
ends 124 bash worker.sh 1 2
is "$(jq -r .did done.jsonl | sort | paste -sd' ')" "1.png 2.png 3.png 4.png 5.png 6.png 7.png 8.png"
cp worker-0.cursor good
head -c 20 good > worker-0.cursor
refused 2 "no cursor file" bash worker.sh 0 2
cmp -n 20 worker-0.cursor good
plasmite feed other --create '{}' > out
refused 2 "belongs to another pool" plasmite follow other --cursor-file good --timeout 0s
refused 3 "cannot open the cursor file" plasmite follow jobs --cursor-file nowhere/cursor --timeout 0s
plasmite follow jobs --cursor-file good --timeout 60s > out &
first=$!
waits $first jobs
refused 5 "another reader" plasmite follow jobs --cursor-file good --timeout 0s
kill -INT $first
wait $first || is $? 130
plasmite pool delete jobs > out
cp good worker-0.cursor
refused 3 "there is no such pool" bash worker.sh 0 2
plasmite feed jobs --create '{"file":"new.png"}' > out
ends 0 plasmite follow jobs --cursor-file good --one --data-only
is "$(cat out)" '{"file":"new.png"}'
jq -e '.notice.kind == "Recreated"' err > said

step "A copy for the archive"
seq 2000 | jq -c '{id: .}' | plasmite feed orders --create --tag order > out
refused 3 'did you mean \\"orders\\"' plasmite export order --file orders.jsonl
refused 3 "3000" plasmite export orders 3000.. --file orders.jsonl
unshare --user --map-root-user --mount bash -c '
    mount -t tmpfs -o size=1m tmpfs small
    head -c 960K /dev/zero > small/other
    plasmite export orders --file small/orders.jsonl 2> err; echo $?
    plasmite export orders --file small/orders.jsonl --resume 2>> err; echo $?
    rm small/other
    plasmite export orders --file small/orders.jsonl --resume > resumed; echo $?
    cmp small/orders.jsonl <(plasmite export orders); echo $?' > full
is "$(paste -sd' ' full)" "8 8 0 0"
told "No space left"
plasmite export orders --file orders.jsonl > out
refused 4 "resume" plasmite export orders --file orders.jsonl
# As a run leaves it that is killed in a line.
truncate --size=-30 orders.jsonl
cp orders.jsonl cut.jsonl
plasmite export orders --file orders.jsonl --resume > out
cmp orders.jsonl <(plasmite export orders)
refused 2 "record 2000" plasmite import copy --create --file cut.jsonl
is "$(messages copy)" 1999
refused 5 "where to go on" plasmite import orders --resume --file <(plasmite export copy | head -n 9)
plasmite import copy --resume --file orders.jsonl > out
cmp orders.jsonl <(plasmite export copy)
refused 2 "no exported message" plasmite import copy --file <(echo '{"id":1}')
refused 2 "its last line is no message" plasmite export orders --file worker.sh --resume

step "Watch a pool from asyncio"
cat > watch.py << 'PYTHON'
import asyncio, os, signal, sys
from plasmite import Client, CorruptError, NotFoundError

async def main(harm):
    with Client("./sensors") as client, client.pool("attic") as attic:
        for bad in ([21.5], {"celsius": float("nan")}, {"celsius": object()}):
            try:
                attic.append(bad)
            except (TypeError, ValueError):
                continue
            sys.exit(f"{bad} went in")
        attic.append({"celsius": 21.5})
        async for message in attic.atail():
            print(message.data["celsius"], flush=True)
            harm(client)

async def watched(harm):
    await asyncio.wait_for(main(harm), 60)

for harm, error in (
    (lambda client: client.delete_pool("attic"), NotFoundError),
    (lambda client: os.truncate("sensors/attic.plasmite", 0), CorruptError),
    (lambda client: os.kill(os.getpid(), signal.SIGINT), KeyboardInterrupt),
):
    try:
        asyncio.run(watched(harm))
    except error as told:
        print(type(told).__name__, told)
    os.path.exists("sensors/attic.plasmite") and os.unlink("sensors/attic.plasmite")
PYTHON
ends 0 python3 -W error watch.py
is "$(cut -d' ' -f1 out | paste -sd' ')" "21.5 NotFoundError 21.5 CorruptError 21.5 KeyboardInterrupt"

step "A pool in a container"
inside() { unshare --user --map-root-user --pid --fork --mount --mount-proc "$@"; }
refused 3 'did you mean \\"bus\\"' inside plasmite feed buss '{"from":"a namespace"}'
refused 6 "Read-only" inside sh -c "mount --bind -o ro $home/.plasmite/pools $home/.plasmite/pools
    mount -o remount,bind,ro $home/.plasmite/pools; plasmite feed bus '{}'"
before=$(messages bus)
mkfifo inside.in
inside --kill-child sh -c 'plasmite feed bus' < inside.in > receipts &
container=$!
exec 3> inside.in
for n in 1 2 3; do echo "{\"from\":\"a namespace\",\"n\":$n}" >&3; done
until_true sh -c '[ "$(wc -l < receipts)" = 3 ]'
killed $container
exec 3>&-
plasmite feed bus '{"from":"outside"}' > out
is "$(messages bus)" $((before + 4))
is "$(plasmite doctor bus | jq -r .status)" healthy
echo "broken: everything was told, and nothing is lost"
