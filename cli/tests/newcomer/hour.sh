#!/usr/bin/env bash
# A newcomer's hour, with data that looks like data: what one tries first, each thing broken once.
# Needs jq and python3; leaves nothing behind.
# shellcheck source=words.sh
. "$(dirname "$0")/words.sh"
data="$here/data.py"

python3 "$data" journal 4000 > journal.jsonl
python3 "$data" events 3000 > events.jsonl

step "pools"
plasmite pool create journal events --size 8M > made
is "$(jq -r .name made | paste -sd' ')" "journal events"
refused 4 "already" plasmite pool create journal
refused 2 "64Q" plasmite pool create other --size 64Q
refused 3 "events" plasmite pool info event
mkdir locked && chmod 500 locked
if [ "$(id -u)" != 0 ]; then refused 6 "locked" plasmite --dir locked pool create docs; fi

step "a journal comes in, record by record"
plasmite feed journal --file journal.jsonl --tag web-1 > receipts
is "$(wc -l < receipts)" 4000
is "$(tail -1 receipts | jq .seq)" 4000
plasmite follow journal --tail 4000 --data-only --timeout 100ms > back || is $? 124
jq -cS . back > a; jq -cS . journal.jsonl > b; cmp a b
{ head -2 journal.jsonl; echo '{"MESSAGE": "cut'; } > broken.jsonl
refused 2 "" plasmite feed journal --file broken.jsonl
is "$(plasmite pool info journal | jq .newest_seq)" 4002
refused 3 "cannot open" plasmite feed journal --file nowhere.jsonl

step "questions to the journal"
wanted=$(jq -s 'map(select(.PRIORITY == "3" and ._SYSTEMD_UNIT == "nginx.service")) | length' journal.jsonl)
found=$(plasmite follow journal --tail 5000 --where '.data.PRIORITY == "3"' --where '.data._SYSTEMD_UNIT == "nginx.service"' \
    --timeout 100ms | wc -l) || is $? 124
[ "$found" -ge "$wanted" ] || fail "$found of $wanted"
refused 2 "where" plasmite follow journal --where '.data.['
plasmite fetch journal 10..12 | jq -c .seq | paste -sd' ' > out
is "$(cat out)" "10 11 12"
refused 3 "99999" plasmite fetch journal 99999

step "a mount, and ordinary programs"
plasmite mount --background "$home/.plasmite/pools" mnt
split -l 1 -a 4 --additional-suffix .json <(head -200 events.jsonl) part-
cp part-*.json mnt/events/
rm part-*.json
tail -n +201 events.jsonl | jq -c . >> mnt/events/rest
is "$(jq -s length mnt/events/log)" 3000
is "$(jq -r .data.type mnt/events/log | sort | uniq -c | sort -rn | wc -l)" 6
grep -l PushEvent mnt/events/1? > out || true
is "$(jq -c .id mnt/events/3000.json)" '"34000002999"'
jq -cS .data mnt/events/log > a; jq -cS . events.jsonl > b; cmp a b
echo '{"half":' > bad.json
if cp bad.json mnt/events/ 2> err; then fail "half a document went in"; fi
grep -q bad.json mnt/events/errors
if mkdir mnt/events 2> err; then fail "mkdir of what is there"; fi
if rm mnt/events/1 2> err; then fail "a message was removed"; fi
mkdir full && touch full/file
refused 2 "empty" plasmite mount --background "$home/.plasmite/pools" full ||
    refused 5 "empty" plasmite mount --background "$home/.plasmite/pools" full

step "readers and writers at once, one of them killed"
cat mnt/events/follow > followed &
reader=$!
until_true test -e mnt/events/info.json
plasmite follow events --cursor-file place --data-only > seen &
follower=$!
until_true test -e place
mkfifo doomed.in
plasmite feed events < doomed.in > doomed &
writer=$!
exec 3> doomed.in
for n in $(seq 20); do echo "{\"from\":\"the one that dies\",\"n\":$n}" >&3; done
until_true test -s doomed
kill -9 $writer
exec 3>&-
wait $writer 2> err || is $? 137
acknowledged=$(wc -l < doomed)
for n in $(seq 50); do echo "{\"from\":\"the other\",\"n\":$n}"; done > mnt/events/more
last=$(plasmite pool info events | jq .newest_seq)
[ "$last" -ge $((3000 + acknowledged + 50)) ] || fail "$acknowledged were acknowledged, the last is $last"
until_true sh -c "tail -1 followed | jq -e '.seq >= $last'"
until_true sh -c "grep -c '\"n\":50' seen"
kill -INT $follower; wait $follower || is $? 130
kill $reader; wait $reader || true

step "doctor, another size, an archive"
is "$(plasmite doctor events | jq -r .status)" healthy
plasmite pool resize events --size 1M > out
plasmite export events --file events.archive > out
is "$(tail -1 events.archive | jq .seq)" "$last"
cp .plasmite/pools/journal.plasmite damaged.plasmite
printf 'garbage' | dd of=damaged.plasmite bs=1 seek=1000000 conv=notrunc 2> err
plasmite doctor ./damaged.plasmite > report 2> err || is $? 7
is "$(jq -r .status report)" damaged
plasmite doctor ./damaged.plasmite --salvage "$home/saved.plasmite" > report 2> err || is $? 7
saved=$(plasmite pool info ./saved.plasmite | jq .messages)
[ "$saved" -ge 4000 ] || fail "$saved of 4002 messages were saved"
head -c 100 /dev/urandom > tiny.plasmite
refused 7 "" plasmite pool info ./tiny.plasmite
plasmite unmount mnt
plasmite pool delete journal events > out
refused 3 "journal" plasmite fetch journal 1
echo "a newcomer's hour: every step went as it should"
