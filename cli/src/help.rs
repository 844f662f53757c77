//! The longer texts of `--help`: what a verb is for, by example.
//!
//! Paragraphs are one line each: the help is wrapped to the width of the terminal.

pub(crate) const SHORT: &str = "Persistent JSON message pools that are just files";

pub(crate) const ABOUT: &str = "\
Persistent JSON message pools that are just files.

A pool is one file of fixed size. Any process on this machine may append JSON messages to it and \
any may read them; the oldest messages make room for new ones. No server runs.";

pub(crate) const TOP: &str = "\
A first workflow:
  plasmite pool create docs              # 1 MiB in ~/.plasmite/pools
  plasmite follow docs                   # in another terminal: what arrives
  plasmite feed docs '{\"hello\":\"world\"}' # append a message
  plasmite fetch docs 1                  # read it again by its number

Messages and facts go to stdout: short text on a terminal, JSON lines in a pipe. Everything else \
goes to stderr; in a pipe an error is one JSON object {\"error\":{\"kind\",\"message\",\"hint\",…}}.

Exit codes: 0 done (also when the reader of stdout has gone), 1 internal error, or records skipped, \
2 usage, 3 not found, 4 exists already, 5 busy, 6 permission, 7 corrupt, 8 I/O, 9 overtaken, 124 timeout, 130 Ctrl-C.";

pub(crate) const POOL: &str = "\
Examples:
  plasmite pool create docs events --size 64M
  plasmite pool list
  plasmite pool info docs
  plasmite pool resize docs --size 8M
  plasmite pool delete events";

pub(crate) const POOL_CREATE: &str = "\
A pool's file has the given size until it is resized; 1M when none is given. Directories above it are created.

Examples:
  plasmite pool create docs
  plasmite pool create docs events --size 64M
  plasmite pool create ./here/docs.plasmite     # a path: anything with a /";

pub(crate) const POOL_LIST: &str = "\
Examples:
  plasmite pool list
  plasmite pool list --dir /srv/pools
  plasmite pool list | jq -r .name";

pub(crate) const POOL_INFO: &str = "\
Examples:
  plasmite pool info docs
  plasmite pool info docs --json | jq .messages";

pub(crate) const POOL_RESIZE: &str = "\
The newest messages stay, as many as fit, with their numbers, times and tags; so do the pool's owner, \
permissions and extended attributes. It is all done in a new file, which takes the old one's place when it is \
complete and on the disk: the directory needs room for both. If it is interrupted, the pool is the old one or the \
new one.

Programs may have the pool open. Writers wait for the end of it; what is open then gets not found, as after a \
deletion, and goes on when it opens the pool again.

Examples:
  plasmite pool resize docs --size 64M
  plasmite pool resize docs --size 64M | jq .dropped   # how many messages had no room";

pub(crate) const POOL_DELETE: &str = "\
Programs that have the pool open find out: their next call ends with not found.

Examples:
  plasmite pool delete docs
  plasmite pool delete docs events";

pub(crate) const DOCTOR: &str = "\
Looks at every byte that counts: the header, the index, each message's checksum, its link to the message before \
it, times, tags, UTF-8 and JSON. It reads as every reader does, so pools may be in use meanwhile, and what writers \
are doing, what they evict, and what one that died left is no damage. Nothing is changed.

For each pool it tells its status, healthy or damaged, and what it found: the part of the pool, the message's number and \
the byte of the file where they are known. A remark (of permissions, of a disk that fails) is no damage. Exit code 7 \
when any pool is damaged.

--salvage copies every intact message into a new pool, in their order with their times and tags, also when the \
header is gone and messages have to be found by their checksums. A pool has no gaps in its numbers: where messages are \
lost, the older ones move up, and the newest one and all back to the first gap keep their numbers. POOL is only read.

Examples:
  plasmite doctor                            # all pools
  plasmite doctor docs
  plasmite doctor docs --json | jq .findings
  plasmite doctor docs --salvage docs2";

pub(crate) const FEED: &str = "\
Reads JSON Lines, JSON objects one after another, pretty-printed JSON and JSON text sequences. Each \
message is committed as soon as it has arrived, then its receipt is printed:
  {\"seq\":17,\"time\":\"…\",\"meta\":{\"tags\":[…]}}
When the reader of the receipts goes away, feeding ends as a pipeline does: with 0, and a note of what \
was fed. With > /dev/null everything is fed.

Examples:
  plasmite feed docs '{\"kind\":\"note\",\"text\":\"hi\"}' --tag note
  plasmite feed docs --create < notes.jsonl
  plasmite feed docs --file notes.json --errors skip > receipts.jsonl
  journalctl -f -o json | plasmite feed logs --create --create-size 64M
  plasmite feed docs '{\"paid\":true}' --durability flush";

pub(crate) const FETCH: &str = "\
Of a range, what is there is printed; when an end that you name is not there (overwritten, or not \
yet appended), that is told and the exit code is 3. N.. after message N-1 may be nothing.

Examples:
  plasmite fetch docs 17
  plasmite fetch docs latest
  plasmite fetch docs 10..20
  plasmite fetch docs 18..                  # 18 and what came since
  plasmite fetch docs 17 --data-only | jq .text";

pub(crate) const FOLLOW: &str = "\
Begins with the next message to arrive, or earlier with --tail and --since (with both: the later \
beginning), and goes on until Ctrl-C (exit code 130). A reader that is overtaken by the writers says \
so on stderr and goes on with the oldest message still there.

With --cursor-file a run goes on where the last one with that file stopped. It is saved after messages went to \
stdout: who is killed in between gets them again, and skips none. Each reader needs a file of its own.

--where takes the jq language on the envelope (.seq, .time, .meta.tags, .data). A missing key is null; \
a message to which the expression can't be applied is left out.

Examples:
  plasmite follow docs                           # what arrives from now on
  plasmite follow docs --tail 10                 # the last ten first
  plasmite follow docs --since 10m --tag note    # ten minutes back, only notes
  plasmite follow docs --where '.data.n > 3'     # only what jq says
  plasmite follow docs --one --timeout 5s        # one message, five seconds at most
  plasmite follow docs --since 1h --replay 60    # the last hour in a minute
  plasmite follow docs --cursor-file mail.cursor --since 1d  # next time, what came since
  plasmite follow docs --data-only | jq .text";

pub(crate) const DUPLEX: &str = "\
What is appended by others is shown at once, what is typed is appended. Ends with the input (Ctrl-D), after \
what was there by then was shown.

Examples:
  plasmite duplex room --create --me ann --tail 10    # a chat, with the last ten lines first
  plasmite duplex docs                                # JSON objects, one a line or more
  plasmite duplex docs --tag ops --where '.data.level == \"error\"'";

pub(crate) const TAP: &str = "\
What the command writes goes to stdout and stderr as without tap, byte for byte and at once. Each line \
becomes a message:
  {\"kind\":\"line\",\"stream\":\"stdout\",\"line\":\"…\"}
with \"base64\" beside the line when its bytes are no UTF-8, \"continued\" when a long line goes on in the next \
message, \"unterminated\" when the stream ended without a newline. Two messages tagged lifecycle say what was \
started and how it ended:
  {\"kind\":\"start\",\"command\":[…],\"pid\":…,\"cwd\":\"…\"}
  {\"kind\":\"exit\",\"code\":0,\"signal\":null,\"seconds\":…}
Signals sent to tap are sent on. Its exit code is the command's (128 and the number of a signal that ended \
it), 127 when there is no such command, 126 when it can't be run. When the pool stops taking messages, that \
is told once and the command goes on.

Examples:
  plasmite tap build --create -- make -j8
  plasmite tap jobs --tag nightly -- ./backup.sh /srv
  plasmite follow build --tail 50 --where '.data.stream == \"stderr\"'";

pub(crate) const COMPLETION: &str = "\
The script asks this command at each press of Tab, so names of pools are those that are there then, also \
after --dir.

Examples:
  source <(plasmite completion bash)             # in ~/.bashrc
  source <(plasmite completion zsh)              # in ~/.zshrc, after compinit
  plasmite completion fish | source              # in ~/.config/fish/config.fish";

pub(crate) const EXPORT: &str = "\
Writes what the pool holds when it begins; messages that arrive meanwhile are for the next run. What is \
written to a file is on the disk when the command ends. A run that was killed, or one that is to add what \
came since, goes on with --resume.

Examples:
  plasmite export docs > docs.jsonl
  plasmite export docs --file docs.jsonl
  plasmite export docs --file docs.jsonl --resume
  plasmite export docs 100..200 --tag note | gzip > notes.jsonl.gz";

pub(crate) const IMPORT: &str = "\
Data, tags and order are kept. Times are kept unless they are before the newest message of the pool, or \
still to come. Numbers are the pool's: they begin at 1 in a new pool, so what an export from 501 on calls \
501 is 1 there. What is not as it was is told.

--resume goes by the times: it needs a pool to which only this input was imported.

Examples:
  plasmite import copy --create --create-size 64M --file docs.jsonl
  plasmite import copy --file docs.jsonl --resume
  plasmite export docs | plasmite import copy --create";

pub(crate) const TOP_VERB: &str = "\
On a terminal: a view of all pools that goes on until q, Esc or Ctrl-C. Rates are of the last interval, bytes \
those of the messages as JSON lines. Writers are open handles that have appended; readers are threads \
asleep until a message comes (a mount is one), and only known of pools that you may write to. What is not known \
is a dash.

Keys: arrows choose a pool, Enter follows it, and there / takes a filter: tags behind a #, then an expression \
of the jq language, as in '#note .data.n > 3'. The first letter of a column sorts by it, once more the other way \
round. Space holds everything as it is.

In a pipe: one table after one interval; --json gives one object for each pool.

Examples:
  plasmite top
  plasmite top --sort fill --interval 5s
  plasmite top --json | jq 'select(.messages_per_second > 100) | .name'";

pub(crate) const MOUNT: &str = "\
Creates the pool directory and the mountpoint when they are not there, and serves until Ctrl-C, \
SIGTERM, SIGHUP or `plasmite unmount`; all of them unmount and exit with 0. Pools outlive the mount. \
What a daemon that died has left at the mountpoint is cleared away.

A pool's directory has the owner, group and mode of the pool's file, and chmod and chown of it change \
them: r of the file is r-x of the directory, w lets append. Without --allow-other the mount is for the user \
who mounts alone (not even for root). Ordinary users need fusermount3 (package fuse3), and for --allow-other \
the line user_allow_other in /etc/fuse.conf.

Under the name mount.plasmite (a link in /sbin) the command is a helper of mount(8), for lines in \
/etc/fstab; docs/mount.md has examples for fstab and systemd.

Examples:
  plasmite mount ~/pools                     # the pools of ~/.plasmite/pools
  plasmite mount /srv/pools ~/pools          # those of /srv/pools
  plasmite mount --background /srv/pools ~/pools && ls ~/pools
  plasmite mount -b --allow-other --log-file /var/log/pools.log /srv/pools /mnt/pools
  plasmite mount --read-only /srv/pools ~/look
Then, in another terminal:
  mkdir ~/pools/docs                         # create a pool
  echo '{\"hello\":\"world\"}' > ~/pools/docs/first.json
  cat ~/pools/docs/1                         # a message
  cat ~/pools/docs/tail                      # all of them, then what arrives";

pub(crate) const UNMOUNT: &str = "\
Programs that wait for messages get end of file. When others have files or directories of the mount \
open, it says which and exits with 5. Clears away what a daemon that died has left.

Examples:
  plasmite unmount ~/pools
  plasmite unmount --lazy ~/pools            # at once; who is in it may finish";
