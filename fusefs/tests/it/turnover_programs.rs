//! Every program that people read with, while a writer runs at full speed and the pool turns over many times.

use std::fs;
use std::io::{BufRead, BufReader};

use crate::fixture::{Done, Fixture, append, wait_for};
use crate::tools_reading::{FOLLOWERS, POLL};
use crate::turnover::{Writer, quoted, run, seqs};

/// Programs that read a `log` to an end that moves on as fast as they come: they are stopped after a while.
const READERS: &[&str] = &[
    "cat docs/log",
    "head -n -3 docs/log",
    "tail -n +3 docs/log",
    "tail -c +300 docs/log | tail -n +2",
    "less docs/log",
    "more < docs/log",
    "grep . docs/log",
    "grep -r seq docs/log",
    "rg -N . docs/log",
    "jq -c . docs/log",
    "sed -u '' docs/log",
    "mawk -W interactive 1 docs/log",
    "gawk '{ print; fflush() }' docs/log",
    "perl -ne print docs/log",
    "dd if=docs/log bs=333 status=none",
    "dd if=docs/log bs=1M iflag=nonblock status=none",
    "cut -c 1- docs/log",
    "tee $OUT/copy < docs/log",
    "gzip -c docs/log 2> /dev/null | gzip -dc 2> /dev/null",
    "cp docs/log /dev/stdout",
    "xargs -a docs/log -d '\\n' -n 1 printf '%s\\n'",
    "bash -c 'while read -r line; do echo \"$line\"; done < docs/log'",
    "dash -c 'while read -r line; do echo \"$line\"; done < docs/log'",
    "zsh -fc 'while read -r line; do echo -E $line; done < docs/log'",
    "curl -sS file://$PWD/docs/log",
    "python3 -uc 'for line in open(\"docs/log\"): print(line, end=\"\")'",
    "python3 -uc 'import os\nf = os.open(\"docs/log\", os.O_RDONLY | os.O_NONBLOCK)\nwhile b := os.read(f, 777): os.write(1, b)'",
    "node -e 'fs.createReadStream(\"docs/log\").pipe(process.stdout)'",
    "node -e 'require(\"readline\").createInterface({input: fs.createReadStream(\"docs/log\")}).on(\"line\", l => console.log(l))'",
];

/// Has a program that may not come to an end read so many lines, and until it was overtaken so often; then it is killed. What was
/// wrong with the lines.
fn follow(f: &Fixture, script: &str, wanted: u64, overtaken: u64) -> Option<String> {
    let mut running =
        f.spawn(&format!("export OUT=$ROOT; exec setsid bash -c {} 2> $ROOT/err", quoted(script)));
    // It stays open until the program is dead, which would tell of a broken pipe.
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let (mut last, mut read, mut jumps) = (0, 0, 0);
    let mut wrong = None;
    for line in lines.by_ref().map(Result::unwrap).filter(|line| !line.trim().is_empty()) {
        match seqs(&(line + "\n")) {
            Ok(seq) if seq[0] > last => {
                jumps += u64::from(last > 0 && seq[0] > last + 1);
                (last, read) = (seq[0], read + 1);
            }
            other => wrong = Some(format!("{script}: {other:?} after {last}")),
        }
        if wrong.is_some() || read >= wanted && jumps >= overtaken {
            break;
        }
    }
    // The whole pipeline.
    f.sh(&format!("kill -9 -{}", running.0.id()));
    running.ends_soon();
    drop(lines);
    let err = fs::read_to_string(f.root.path().join("err")).unwrap();
    let short = (read < wanted.min(1)).then(|| format!("{script}: it ended with nothing"));
    wrong.or(short).or_else(|| (!err.is_empty()).then(|| format!("{script}: {err}")))
}

/// SEMANTICS: An open log outlives its oldest messages
#[test]
fn every_program_reads_whole_lines_of_a_log_that_turns_over_faster_than_it_reads() {
    let f = Fixture::sized(64 << 10);
    let _writer = Writer::full_speed(&f);
    let mut wrong = Vec::new();
    for script in READERS {
        wait_for(script, || {
            let found = follow(&f, script, 500, 0);
            let overtaken = found.as_ref().is_some_and(|found| is_said(found, OVERTAKEN));
            wrong.extend(found.filter(|_| !overtaken));
            !overtaken
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Programs whose output is not lines of the log: they are right when they end as they should.
const SUMS: &[&str] = &[
    "tail -n 1 docs/log > /dev/null",
    "tail -c 300 docs/log > /dev/null",
    "head -c 99999 docs/log | md5sum",
    "head -n 99 docs/log | sort | uniq -c > /dev/null",
    "head -n 99 docs/log | tac > /dev/null",
    "wc docs/log",
    "tac docs/log > /dev/null",
    "sort docs/log > /dev/null",
    "md5sum docs/log",
    "cp -r docs/log $OUT/c",
    "tar cf $OUT/t docs/log || test $? = 1",
    "xargs -a docs/log -d '\\n' -n 99 true",
    "stat docs/log docs/info.json docs/tail",
    "file docs/log docs/info.json",
    "du -b docs/log",
    "find docs/log -newer docs/info.json -size +0",
    "getfattr -d docs/log",
    "test -s docs/log -a -f docs/log -a -r docs/log",
    "jq .messages docs/info.json",
    "zip -q $OUT/z.zip docs/log && python3 -m zipfile -t $OUT/z.zip",
    "rsync docs/log $OUT/log",
    // Of one file both know without reading that it does not differ.
    "head -n 99 docs/log > $OUT/l; diff docs/log $OUT/l > /dev/null; test $? = 1",
    "head -n 99 docs/log > $OUT/l; cmp -s docs/log $OUT/l; test $? = 1",
    "python3 -c 'import mmap; f = open(\"docs/log\", \"rb\"); mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)[-1]'",
    "python3 -c 'import os; f = open(\"docs/log\", \"rb\"); r, w = os.pipe(); os.splice(f.fileno(), w, 4096); os.lseek(f.fileno(), -99, 2); os.read(f.fileno(), 99)'",
    "python3 -c 'import select; f = open(\"docs/log\"); assert select.select([f], [], [], 0)[0]'",
    "vim -u NONE -es -c '$d' -c q! docs/log",
];

/// What a program that reads a growing file may say of that.
const GROWS: &[&str] = &["file changed as we read it", "zip warning"];

/// What one says that was overtaken, and so came to the end before the size that it saw.
const OVERTAKEN: &[&str] =
    &["read errors mapping", "rsync error", "file has shrunk too much", "File shrank by"];

fn is_said(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// SEMANTICS: An open log outlives its oldest messages
#[test]
fn every_program_that_sums_up_a_log_comes_to_its_end_while_it_turns_over() {
    let f = Fixture::sized(64 << 10);
    // Paced: the end is reached only by who is faster than what makes the file grow.
    let _writer = Writer::paced(&f);
    let mut wrong = Vec::new();
    for script in SUMS {
        wait_for(script, || {
            let done = run(&f, script);
            let overtaken = is_said(&done.err, OVERTAKEN);
            let known = |line| is_said(line, GROWS) || is_said(line, OVERTAKEN);
            let known = done.err.lines().all(known);
            if !known || done.code != Some(0) && !overtaken {
                wrong.push(format!("{script}: {done:?}"));
            }
            !overtaken
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Programs that print a message by its name, which may have gone in the meantime.
const OF_A_MESSAGE: &[&str] = &[
    "cat $M",
    "cat docs/latest",
    "head -n 1 $M",
    "tail -n 1 $M",
    "tail -c 9999 $M",
    "less $M",
    "grep . $M",
    "rg -N . $M",
    "jq -c . $M",
    "tac $M",
    "sort $M",
    "sed '' $M",
    "mawk 1 $M",
    "gawk 1 $M",
    "perl -ne print $M",
    "cut -c 1- $M",
    "dd if=$M status=none",
    "dd if=$M bs=4096 iflag=direct status=none",
    "cp $M $OUT/c && cat $OUT/c",
    "cp -p $M $OUT/c && cat $OUT/c",
    "cp -a $M $OUT/c && cat $OUT/c",
    "install -m 600 $M $OUT/c && cat $OUT/c",
    "rsync -a $M $OUT/c && cat $OUT/c",
    "tar cf $OUT/t $M && tar xOf $OUT/t",
    "zip -q $OUT/z.zip $M && unzip -p $OUT/z.zip",
    "gzip -c < $M | gzip -dc",
    "xargs -a $M -d '\\n' printf '%s\\n'",
    "echo $M | xargs cat",
    "find $M -newer $ROOT/pools -exec cat {} +",
    "curl -sS file://$PWD/$M",
    "bash -c 'read -r line < $M && echo \"$line\"'",
    "dash -c 'read -r line < $M && echo \"$line\"'",
    "zsh -fc 'read -r line < $M && echo -E $line'",
    "python3 -Sc 'print(open(\"'$M'\").read(), end=\"\")'",
    "python3 -Sc 'import mmap; f = open(\"'$M'\", \"rb\"); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); print(m[:].decode(), end=\"\")'",
    "python3 -Sc 'import os; f = open(\"'$M'\", \"rb\"); o = os.open(os.environ[\"OUT\"] + \"/o\", os.O_CREAT | os.O_WRONLY); os.sendfile(o, f.fileno(), 0, 9999)' && cat $OUT/o",
    "node -e 'process.stdout.write(fs.readFileSync(process.env.M))'",
    "node -e 'fs.createReadStream(process.env.M).pipe(process.stdout)'",
];

/// Programs that tell about a message.
const ABOUT_A_MESSAGE: &[&str] = &[
    "wc $M",
    "md5sum $M",
    "cat $M > $OUT/c && cmp $M $OUT/c >&2",
    "cat $M > $OUT/c && diff $M $OUT/c >&2",
    "stat $M",
    "getfattr -d $M",
    "getfattr --only-values -n user.plasmite.seq $M",
    "file $M",
    "du -b $M",
    "ls -la $M",
    "readlink -e docs/latest",
    "test -s $M",
];

/// What is said of a file that is gone, by the programs' own names for it.
const GONE: &[&str] = &[
    "No such file",
    "no such file",
    "ENOENT",
    "cannot open",
    "Couldn't open",
    "rsync error",
    "Cannot stat: Stale file handle",
    "Exiting with failure status",
    "name not matched",
    "zip error",
    "gzip: stdin: unexpected end of file",
    "Stale file handle",
];

/// SEMANTICS: Messages that go during a walk are deleted files
#[test]
fn every_program_gets_a_message_whole_or_is_told_that_it_is_gone() {
    // Its messages go after some tenths of a second: time enough for a program to find one, not to be sure of it.
    let f = Fixture::sized(16 << 20);
    append(&f.pool(), r#"{"i":1,"pad":"z"}"#);
    let mut wrong = Vec::new();
    let mut run_all = |turns_over: bool| {
        for script in OF_A_MESSAGE.iter().chain(ABOUT_A_MESSAGE) {
            // A name that is there when the program starts.
            let newest = f.pool().bounds().unwrap().newest;
            let done = run(&f, &format!("export M=docs/{newest}; {script}"));
            let whole = !OF_A_MESSAGE.contains(script)
                || seqs(&done.out).is_ok_and(|lines| lines.len() == 1);
            let right = match done.code {
                // `xargs` and `find` may end with 0 and say nothing of what is gone.
                Some(0) => whole || turns_over && done.out.is_empty(),
                _ => turns_over && is_gone(&done),
            };
            if !right {
                wrong.push(format!("{script}, turns over: {turns_over}: {done:?}"));
            }
        }
    };
    run_all(false);
    let _writer = Writer::full_speed(&f);
    for _ in 0..3 {
        run_all(true);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_gone(done: &Done) -> bool {
    // What these say of it is many lines.
    ["ENOENT", "FileNotFoundError"].iter().any(|word| done.err.contains(word))
        || done
            .err
            .lines()
            .all(|line| line.trim().is_empty() || GONE.iter().any(|words| line.contains(words)))
}

/// SEMANTICS: tail and follow never end
#[test]
fn every_program_that_follows_gets_whole_lines_in_order_while_the_pool_turns_over() {
    let f = Fixture::sized(64 << 10);
    fs::write(f.root.path().join("poll.py"), POLL).unwrap();
    let _writer = Writer::full_speed(&f);
    let wrong: Vec<_> = FOLLOWERS.iter().filter_map(|script| follow(&f, script, 2000, 3)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Programs that walk the directory, beyond those of which `turnover` waits for a message to go during the walk.
const WALKERS: &[&str] = &[
    "ls -la docs > /dev/null",
    "find docs -type f -newer docs/first -exec head -qn 1 {} +",
    "find docs -type f -print0 | xargs -0 -n 50 cat",
    "tail -qn 1 docs/*",
    "head -qn 1 docs/*",
    "sort -m docs/* 2> /dev/null; true",
    "stat docs/* > /dev/null",
    "getfattr -d docs/* > /dev/null",
    "file docs/* > /dev/null",
    "du -ab docs > /dev/null",
    "cp -r docs $OUT/c; diff -rq docs $OUT/c | grep differ >&2; true",
    "for m in docs/*; do read -r line < $m && echo \"$line\"; done",
    "python3 -c 'import os\nfor name in os.listdir(\"docs\"):\n try: print(open(\"docs/\" + name).read(), end=\"\")\n except FileNotFoundError: pass'",
    "node -e 'for (const n of fs.readdirSync(\"docs\")) try { process.stdout.write(fs.readFileSync(`docs/${n}`)) } catch (e) { if (e.code != \"ENOENT\") throw e }'",
];

/// SEMANTICS: Messages that go during a walk are deleted files
#[test]
fn every_program_that_walks_a_pool_that_turns_over_prints_whole_messages_and_tells_what_is_gone() {
    let f = Fixture::sized(64 << 10);
    let _writer = Writer::paced(&f);
    let mut wrong = Vec::new();
    for script in WALKERS {
        for _ in 0..3 {
            let done = run(&f, script);
            let whole = seqs(&done.out);
            if whole.is_err() || !is_gone(&done) {
                wrong.push(format!("{script}: {whole:?} {:?} {:?}", done.code, done.err));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
