//! Every program that people read files with: it can't tell a pool from a directory of files.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use plasmite_core::Seq;

use crate::fixture::{Done, Fixture, TYPE, append, done};

const MESSAGES: u64 = 200;

/// A program that reads, and the exit code that it has when all is well.
struct Tool {
    script: &'static str,
    code: i32,
}

const fn tool(script: &'static str) -> Tool {
    Tool { script, code: 0 }
}

/// A program that tells of differences or of nothing found by its exit code.
const fn tells(code: i32, script: &'static str) -> Tool {
    Tool { script, code }
}

/// Programs that read files by their names: messages, their data, links, `log`.
const BY_NAME: &[Tool] = &[
    tool("cat docs/log"),
    tool("cat docs/17 docs/17.json docs/first docs/latest docs/log"),
    tool("cat -An docs/17 docs/log"),
    tool("head docs/log"),
    tool("head -n 7 docs/log docs/17"),
    tool("head -n -7 docs/log"),
    tool("head -c 1000 docs/log"),
    tool("head -c -1000 docs/log"),
    tool("head -c 9 docs/17.json"),
    tool("tail docs/log"),
    tool("tail -n 150 docs/log"),
    tool("tail -n +190 docs/log"),
    tool("tail -n 1 docs/17 docs/log"),
    tool("tail -c 777 docs/log"),
    tool("tail -c +777 docs/log"),
    tool("less docs/log"),
    tool("more docs/log"),
    tool("grep '\"i\":1' docs/log"),
    tool("grep -n -m 3 -A 1 '\"i\":5' docs/log"),
    tool("grep -bo '\"i\":17' docs/log docs/17.json"),
    tells(1, "grep nowhere docs/log"),
    tool("rg '\"i\":1' docs/log"),
    tool("rg --mmap -n -A 1 '\"i\":5' docs/log docs/17"),
    tool("rg -c seq docs/log"),
    tool("jq . docs/17 docs/17.json"),
    tool("jq -c .data docs/log"),
    tool("jq -s 'map(.seq) | add' docs/log"),
    tool("wc docs/log docs/17 docs/17.json"),
    tool("wc -l < docs/log"),
    tool("wc -c < docs/log"),
    tool("tac docs/log docs/17"),
    tool("rev docs/log"),
    tool("nl docs/log"),
    tool("cut -c 3-20 docs/log"),
    tool("fold docs/log"),
    tool("paste docs/log docs/17"),
    tool("od -c docs/17"),
    tool("split -n l/3 docs/log $OUT/x && cat $OUT/x*"),
    tool("csplit -s -f $OUT/x docs/log 50 100 && head -n 1 $OUT/x*"),
    tool("sort docs/log"),
    tool("sort -r --parallel=2 -S 64k docs/log"),
    tool("shuf docs/log | sort"),
    tool("uniq -c docs/log"),
    tells(1, "diff docs/17 docs/18"),
    tool("cat docs/log > $OUT/log; diff docs/log $OUT/log"),
    tells(1, "cat docs/log > $OUT/log; echo >> $OUT/log; diff docs/log $OUT/log"),
    tells(1, "cmp docs/17 docs/18"),
    tool("cat docs/log > $OUT/log; cmp docs/log $OUT/log"),
    tool("md5sum docs/log docs/17 docs/17.json"),
    tool("sha256sum docs/log; cksum docs/log; b2sum docs/17; sum docs/log"),
    tool("md5sum docs/1? docs/log > $OUT/sums; md5sum -c $OUT/sums"),
    tool("cp docs/log docs/17 $OUT; cat $OUT/*"),
    tool("cp -p docs/17 docs/17.json $OUT; stat -c '%n %s %a %Y' $OUT/*| sed s:.*/::; cat $OUT/*"),
    tool("cp --sparse=always --reflink=auto docs/log $OUT; cat $OUT/log"),
    tool("cp -L docs/latest $OUT; cat $OUT/latest"),
    tool("install -m 600 docs/log $OUT/log; cat $OUT/log"),
    tool("rsync docs/log docs/17.json $OUT/ && cat $OUT/*"),
    tool("tar cf - docs/log docs/17 | tar xf - -C $OUT; cat $OUT/docs/*"),
    tool(
        "zip -q $OUT/z.zip docs/log docs/17.json; python3 -m zipfile -e $OUT/z.zip $OUT; cat $OUT/docs/*",
    ),
    tool("gzip -c docs/log | gzip -dc"),
    tool("gzip -c < docs/log | gzip -dc"),
    tool("base64 docs/log"),
    tool("dd if=docs/log bs=333 status=none"),
    tool("dd if=docs/log bs=1 skip=777 count=50 status=none"),
    tool("dd if=docs/log bs=4096 iflag=direct status=none"),
    tool("dd if=docs/log bs=1M iflag=nonblock,fullblock status=none"),
    tool("find docs/log docs/17 -type f -size +0 -readable -exec cat {} +"),
    tool("find docs/199 docs/log -newer docs/17 -exec tail -qn 1 {} \\;"),
    tool("stat -c '%n %s %F %a %u %g %h' docs/17 docs/17.json docs/log docs/latest"),
    tool("stat -c '%Y %y' docs/17 docs/17.json docs/100"),
    tool("stat -Lc '%s %F' docs/latest docs/first"),
    tool("test -f docs/log -a -s docs/log -a -r docs/17 -a -f docs/latest -a docs/199 -nt docs/1"),
    tool("readlink docs/first docs/latest; ls -l docs/17 | cut -d' ' -f1,5"),
    tool("file docs/log docs/17 docs/17.json docs/latest"),
    tool("getfattr docs/log && getfattr -m nothing -d docs/1 docs/17"),
    tool("du -b docs/17 docs/log"),
    tool("xargs -a docs/log -d '\\n' -n 1 printf '%s\\n'"),
    tool("seq 1 50 | xargs -I{} -n 1 cat docs/{}"),
    tool("printf 'docs/%s\\0' 5 6 7 | xargs -0 -P 3 cat | sort"),
    tool(
        "bash -c 'n=0; while read -r line; do echo \"$line\"; n=$((n+1)); done < docs/log; echo $n'",
    ),
    tool(
        "dash -c 'n=0; while read -r line; do echo \"$line\"; n=$((n+1)); done < docs/log; echo $n'",
    ),
    tool("zsh -fc 'n=0; while read -r line; do echo $line; n=$((n+1)); done < docs/log; echo $n'"),
    tool("bash -c 'mapfile -t a < docs/log; echo ${#a[@]} ${a[150]}; x=$(<docs/17); echo \"$x\"'"),
    tool(
        "bash -c 'while read -r a && read -r b <&3; do echo \"$a $b\"; done < docs/log 3< docs/log'",
    ),
    tool("{ read -r a; head -n 2; sed -u 3q; head -c 5; tail -n 3; } < docs/log"),
    tool("{ read -r a; cat > /dev/null; read -r b; echo \"$? $b\"; } < docs/log"),
    tool("mawk '{ n += length($0) } NR % 50 == 0 { print NR, n, $0 }' docs/log"),
    tool("gawk -F: '{ print FNR, FILENAME, $3 }' docs/log docs/17"),
    tool("gawk 'BEGIN { while ((getline line < \"docs/log\") > 0) n++; print n }'"),
    tool("sed -n '5p;$p' docs/log"),
    tool("perl -ne 'print \"$.:$_\" if eof or $. % 40 == 0' docs/17 docs/log"),
    tool(
        "perl -e 'open F, \"<docs/log\"; seek F, -500, 2; <F>; print tell F, \"\\n\"; print <F>; seek F, 0, 0; print scalar <F>'",
    ),
    tool("vim -u NONE -es -c 'set nonu' -c '%p' -c q! docs/log"),
    tool("curl -sS file://$PWD/docs/log file://$PWD/docs/17.json"),
    tool("python3 -c 'for line in open(\"docs/log\"): print(line, end=\"\")'"),
    tool("python3 -c 'import pathlib; print(pathlib.Path(\"docs/17.json\").read_text())'"),
    tool(
        "python3 -c 'f = open(\"docs/log\", \"rb\", 0); f.seek(-300, 2); print(f.read()); f.seek(7); print(f.read(9), f.tell())'",
    ),
    tool(
        "python3 -c 'import mmap; f = open(\"docs/17.json\", \"rb\"); print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:])'",
    ),
    tool(
        "python3 -c 'import mmap; f = open(\"docs/17\", \"rb\"); print(mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE)[:])'",
    ),
    tool(
        "python3 -c 'import mmap; f = open(\"docs/log\", \"rb\"); print(mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)[:])'",
    ),
    tool(
        "python3 -c 'import os; f = open(\"docs/log\", \"rb\"); o = os.open(os.environ[\"OUT\"] + \"/o\", os.O_CREAT | os.O_WRONLY); print(os.sendfile(o, f.fileno(), 0, 1 << 20))' && cat $OUT/o",
    ),
    tool(
        "python3 -c 'import os; f = open(\"docs/17\", \"rb\"); r, w = os.pipe(); print(os.splice(f.fileno(), w, 4096), os.read(r, 4096))'",
    ),
    tool(
        "python3 -c 'import shutil, os; shutil.copyfile(\"docs/log\", os.environ[\"OUT\"] + \"/o\")' && cat $OUT/o",
    ),
    tool(
        "python3 -c 'import os; f = os.open(\"docs/log\", os.O_RDONLY | os.O_NONBLOCK); print(os.pread(f, 50, 1000), os.preadv(f, [bytearray(9)], 10), os.read(f, 20), os.lseek(f, 0, 2), os.read(f, 1))'",
    ),
    tool(
        "python3 -c 'import select; f = open(\"docs/log\"); print(select.select([f], [], [], 0)[0] == [f]); p = select.poll(); p.register(f, select.POLLIN); print(p.poll(0) == [(f.fileno(), select.POLLIN)])'",
    ),
    tool("python3 -c 'import linecache; print(linecache.getline(\"docs/log\", 77))'"),
    tool("node -e 'process.stdout.write(fs.readFileSync(\"docs/log\"))'"),
    tool(
        "node -e 'fs.createReadStream(\"docs/log\", {start: 100, end: 999}).pipe(process.stdout)'",
    ),
    tool(
        "node -e 'const r = require(\"readline\").createInterface({input: fs.createReadStream(\"docs/log\")}); let n = 0; r.on(\"line\", l => n++); r.on(\"close\", () => console.log(n))'",
    ),
    tool(
        "node -e 'fs.promises.readFile(\"docs/17.json\", \"utf8\").then(t => console.log(JSON.parse(t)))'",
    ),
    tool("script -qec 'cat docs/17' /dev/null"),
];

/// Programs that walk the directory.
const WALKERS: &[Tool] = &[
    tool("cat docs/*"),
    tool("ls docs"),
    tool("ls -A docs | wc -l"),
    tool("ls -v1sh docs | tail -n +2 | awk '{ print $2 }'"),
    tool("ls -U docs | sort"),
    tool(
        "ls -ltr --time-style=full-iso docs | sed 1d | awk '{ print $1, $3, $4, $5, $6, $7, $9 }' | sort",
    ),
    tool("echo docs/*"),
    tool("grep -rh '\"i\":1' docs | sort"),
    tool("grep -c seq docs/1*"),
    tool("grep -rl '\"i\":17' docs | sort"),
    tool("grep -rLZ nowhere docs | tr '\\0' '\\n' | sort"),
    tells(1, "grep -r nowhere docs"),
    tool("rg --sort path '\"i\":1' docs"),
    tool("rg -c seq docs | sort"),
    tool("rg --files docs | sort"),
    tool("jq -s 'length, (map(.seq) | add)' docs/*"),
    tool("wc docs/*"),
    tool("tail -qn 1 docs/*"),
    tool("head -c 5 docs/*"),
    tool("md5sum docs/*"),
    tool("sort -u docs/*"),
    tool("cp -r docs $OUT/c && diff -r docs $OUT/c && ls $OUT/c"),
    tool("cp -a docs $OUT/c && cd $OUT && stat -c '%n %s %a %u %g %Y' c/* && cat c/*"),
    tool("cp -rp docs/. $OUT/c && diff -r docs $OUT/c && stat -c '%n %Y' $OUT/c/1* | sed s:.*/::"),
    tool("cp docs/* $OUT/ && cat $OUT/*"),
    tells(1, "cp -r docs $OUT/c && rm $OUT/c/9 && echo x > $OUT/c/8 && diff -r docs $OUT/c"),
    tool(
        "rsync -a docs/ $OUT/c/ && rsync -ai docs/ $OUT/c/ && rsync -acn --delete -i docs/ $OUT/c/ && cd $OUT && stat -c '%n %s %a %Y' c/* && cat c/*",
    ),
    tool(
        "tar cf $OUT/t docs && tar tvf $OUT/t | grep -v /$ | sort -k6 && tar xf $OUT/t -C $OUT && diff -r docs $OUT/docs",
    ),
    tool("tar czf - docs | tar xzf - -C $OUT && cat $OUT/docs/*"),
    tool("cp -r docs $OUT && tar cf - docs | tar df - -C $OUT | grep -vE 'Mod time|Mode'; true"),
    tool(
        "zip -qr $OUT/z.zip docs && python3 -m zipfile -t $OUT/z.zip && python3 -m zipfile -e $OUT/z.zip $OUT && cat $OUT/docs/*",
    ),
    tool("find docs | sort"),
    tool("find docs -type f -newer docs/100 -exec cat {} + | sort"),
    tool("find docs -type f ! -newer docs/100 -exec head -n 1 {} \\; | sort | uniq -c"),
    tool("find docs -name '1?' -size -2k -perm -400 -printf '%f %s %m %T@ %y\\n' | sort"),
    tool("find docs -type f -print0 | xargs -0 -n 20 -P 2 cat | sort"),
    tool("ls docs | sort -n | (cd docs; xargs -n 30 cat)"),
    tool("for m in docs/*; do read -r line < $m; echo \"$m $line\"; done"),
    tool("du -ab docs | grep / | sort"),
    tool("stat -c '%n %s %F %a %U %G %Y %h' docs/*"),
    tool("file docs/1*"),
    tool("gawk 'FNR == 1 { print FILENAME } ENDFILE { print FNR }' docs/*"),
    tool(
        "python3 -c 'import os\nfor d, _, names in os.walk(\"docs\"): print(sorted((n, os.path.getsize(d + \"/\" + n)) for n in names))'",
    ),
    tool(
        "python3 -c 'import os, shutil; shutil.copytree(\"docs\", os.environ[\"OUT\"] + \"/c\")' && cat $OUT/c/*",
    ),
    tool(
        "python3 -c 'import glob, json\nfor name in sorted(glob.glob(\"docs/*\")): print(json.load(open(name)))'",
    ),
    tool(
        "node -e 'for (const n of fs.readdirSync(\"docs\").sort()) console.log(n, fs.statSync(`docs/${n}`).size)'",
    ),
    tool(
        "node -e 'fs.cpSync(\"docs\", process.env.OUT + \"/c\", {recursive: true})' && cat $OUT/c/*",
    ),
];

/// A mount with messages, and beside it `twin/named` and `twin/listed`: the same as plain files, by name and as they are listed.
fn with_twin() -> Fixture {
    let f = Fixture::new();
    let pool = f.pool();
    let [named, listed] =
        ["named", "listed"].map(|name| f.root.path().join("twin").join(name).join("docs"));
    for dir in [&named, &listed] {
        fs::create_dir_all(dir).unwrap();
    }
    let mode = fs::metadata(f.root.path().join("pools/docs.plasmite")).unwrap().permissions();
    let mut log = String::new();
    for i in 1..=MESSAGES {
        append(&pool, &format!("{{\"i\":{i},\"\u{fc}\":\"{}\"}}", "z".repeat(i as usize % 50)));
        let message = pool.get(Seq::new(i)).unwrap();
        let line = message.to_json() + "\n";
        for (path, text) in [
            (listed.join(i.to_string()), &line),
            (named.join(i.to_string()), &line),
            (named.join(format!("{i}.json")), &(message.data().to_owned() + "\n")),
        ] {
            fs::write(&path, text).unwrap();
            let file = File::open(&path).unwrap();
            file.set_modified(message.time().into()).unwrap();
            file.set_permissions(Permissions::from_mode(mode.mode() & 0o444)).unwrap();
        }
        log += &line;
    }
    fs::write(named.join("log"), log).unwrap();
    let read_only = Permissions::from_mode(mode.mode() & 0o444);
    fs::set_permissions(named.join("log"), read_only).unwrap();
    std::os::unix::fs::symlink("1", named.join("first")).unwrap();
    std::os::unix::fs::symlink(MESSAGES.to_string(), named.join("latest")).unwrap();
    f
}

/// Runs a script in a directory, with an empty directory `$OUT` for what it writes.
fn run(root: &Path, dir: &Path, script: &str) -> Done {
    let out = tempfile::tempdir_in(root).unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(dir).stdin(Stdio::null());
    command.env("OUT", out.path()).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    let mut done = done(command);
    let place = |text: &str| text.replace(&*out.path().to_string_lossy(), "OUT");
    (done.out, done.err) = (place(&done.out), place(&done.err));
    done
}

/// What is not as with plain files; empty when all is right.
fn complaint(root: &Path, tool: &Tool, twin: &str) -> Option<String> {
    let [ours, theirs] =
        [root.join("mnt"), root.join("twin").join(twin)].map(|dir| run(root, &dir, tool.script));
    let right =
        [&ours, &theirs].iter().all(|done| done.code == Some(tool.code) && done.err.is_empty())
            && ours.out == theirs.out;
    (!right).then(|| format!("{}\n  ours: {ours:?}\n  theirs: {theirs:?}", tool.script))
}

#[track_caller]
fn all_right(tools: &[Tool], twin: &str) {
    let f = with_twin();
    let root = f.root.path();
    let wrong = side_by_side(tools, |tool| complaint(root, tool, twin));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(f.data().len() as u64, MESSAGES);
}

/// What `look` finds wrong with any of the tools.
fn side_by_side<T: Sync>(tools: &[T], look: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    const SIDE_BY_SIDE: usize = 4;
    let next = AtomicUsize::new(0);
    let work = || -> Vec<String> {
        let take = || tools.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(take).filter_map(&look).collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// SEMANTICS: Programs read as they read files
#[test]
fn every_program_that_reads_a_file_gets_what_it_gets_of_a_plain_one() {
    all_right(BY_NAME, "named");
}

/// SEMANTICS: Programs read as they read files
#[test]
fn every_program_that_walks_a_pool_gets_what_it_gets_of_a_plain_directory() {
    all_right(WALKERS, "listed");
}

/// Programs that follow a stream, and pass each line on at once.
pub(crate) const FOLLOWERS: &[&str] = &[
    "cat docs/tail",
    "tail -s 0.02 -n +1 -f docs/log",
    "tail -s 0.02 -n +1 -F docs/log",
    "tail -s 0.02 -c +1 -f docs/log",
    "grep --line-buffered . docs/tail",
    "rg --line-buffered -N . docs/tail",
    "jq --unbuffered -c . docs/tail",
    "sed -u '' docs/tail",
    "mawk -W interactive 1 docs/tail",
    "gawk '{ print; fflush() }' docs/tail",
    "perl -pe 'BEGIN { $| = 1 }' docs/tail",
    "tee $OUT/copy < docs/tail",
    "dd if=docs/tail bs=64k status=none",
    "cp docs/tail /dev/stdout",
    "xargs -a docs/tail -d '\\n' -n 1 printf '%s\\n'",
    "stdbuf -oL cut -c 1- docs/tail",
    "bash -c 'while read -r line; do echo \"$line\"; done < docs/tail'",
    "dash -c 'while read -r line; do echo \"$line\"; done < docs/tail'",
    "zsh -fc 'while read -r line; do echo -E $line; done < docs/tail'",
    "python3 -uc 'for line in open(\"docs/tail\"): print(line, end=\"\")'",
    "python3 -uc 'import sys, json\nfor line in sys.stdin: json.loads(line); print(line, end=\"\")' < docs/tail",
    "node -e 'fs.createReadStream(\"docs/tail\").pipe(process.stdout)'",
    "node -e 'require(\"readline\").createInterface({input: fs.createReadStream(\"docs/tail\")}).on(\"line\", l => console.log(l))'",
    "node -e 'const b = Buffer.alloc(4096), f = fs.openSync(\"docs/tail\"); for (;;) fs.writeSync(1, b.subarray(0, fs.readSync(f, b)))'",
    "curl -sSN file://$PWD/docs/tail",
    "python3 $ROOT/poll.py select",
    "python3 $ROOT/poll.py poll",
    "python3 $ROOT/poll.py epoll",
    "python3 $ROOT/poll.py edges",
    "python3 $ROOT/poll.py asyncio",
];

/// Copies `docs/tail` to stdout without ever blocking in a read.
pub(crate) const POLL: &str = r#"
import asyncio, os, select, sys
fd = os.open('docs/tail', os.O_RDONLY | os.O_NONBLOCK)
def copy():
    try:
        while True: os.write(1, os.read(fd, 4096))
    except BlockingIOError: pass
def wait_select(): select.select([fd], [], [])
poll = select.poll(); poll.register(fd, select.POLLIN)
edges = select.EPOLLET if sys.argv[1] == 'edges' else 0
epoll = select.epoll(); epoll.register(fd, select.EPOLLIN | edges)
async def main():
    asyncio.get_running_loop().add_reader(fd, copy)
    await asyncio.Event().wait()
if sys.argv[1] == 'asyncio': asyncio.run(main())
wait = {'select': wait_select, 'poll': poll.poll, 'epoll': epoll.poll, 'edges': epoll.poll}[sys.argv[1]]
while True:
    copy(); wait()
"#;

/// SEMANTICS: Programs read as they read files
#[test]
fn every_program_that_follows_passes_each_line_on_at_once_and_ends_with_a_signal() {
    let wrong = side_by_side(FOLLOWERS, |script| {
        let f = Fixture::new();
        fs::write(f.root.path().join("poll.py"), POLL).unwrap();
        let pool = f.pool();
        append(&pool, "{\"i\":1}");
        append(&pool, "{\"i\":2}");
        let mut running =
            f.spawn(&format!("export OUT=$ROOT; exec timeout 200 {script} 2> $ROOT/err"));
        let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
        for i in 1..=20 {
            if i > 2 {
                append(&pool, &format!("{{\"i\":{i}}}"));
            }
            let expected = pool.get(Seq::new(i)).unwrap().to_json();
            let got = lines.next().map(Result::unwrap);
            if got.as_ref() != Some(&expected) {
                return Some(format!("{script}: {got:?} instead of {expected}"));
            }
        }
        let err = fs::read_to_string(f.root.path().join("err")).unwrap();
        running.signal(15);
        running.ends_soon();
        (!err.is_empty()).then(|| format!("{script}: {err}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Writes `line` where others can see it, when the pager shows what it waits for.
const APPEND: &str = "!echo '{\"late\":1}' >> docs/in";

const WAIT: &str = "!sleep 1";

/// SEMANTICS: Programs read as they read files
#[test]
fn a_pager_on_a_terminal_shows_the_end_follows_and_is_left_by_its_keys() {
    let f = with_twin();
    fs::write(f.root.path().join("type.py"), TYPE).unwrap();
    for (program, keys) in [
        ("less +F docs/log", vec!["Waiting for data", APPEND, "\"late\":1", "\x03", "END", "q"]),
        (
            "less docs/log",
            vec!["\"i\":5,", "G", "END", APPEND, "", "F", "\"late\":1", "\x03", "END", "q"],
        ),
        (
            "less docs/log",
            vec!["\"seq\":1,", "/\"i\":150\n", "\"seq\":150,", "?\"i\":9,\n", "\"seq\":9,", "q"],
        ),
        ("less docs/17", vec!["\"i\":17,", "q"]),
        // An endless file: it waits until it is interrupted, as for a pipe.
        ("less docs/tail", vec!["\"i\":5,", " ", "\"i\":30,", "q"]),
        (
            "less docs/tail",
            vec!["\"i\":5,", "G", "", WAIT, "", "\x03", "", WAIT, "", "\x03", "", "q"],
        ),
        ("more docs/log", vec!["More", " ", "More", "q"]),
        ("view -u NONE docs/log", vec!["\"i\":1,", "G", "\"i\":2", ":q\n"]),
    ] {
        let mut command = Command::new("python3");
        command.arg(f.root.path().join("type.py")).arg(program).args(&keys);
        let done = done(command_in(command, &f.mnt()));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{program} {keys:?}");
    }
}

fn command_in(mut command: Command, dir: &Path) -> Command {
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// SEMANTICS: Messages have extended attributes
#[test]
fn getfattr_tells_what_it_tells_of_a_plain_file_that_has_the_same_attributes() {
    let f = with_twin();
    let message = f.pool().get(Seq::new(17)).unwrap();
    for (name, value) in
        [("seq", "17".to_owned()), ("time", message.time().to_string()), ("tags", "[]".to_owned())]
    {
        let mut command = Command::new("setfattr");
        command.args(["-n", &format!("user.plasmite.{name}"), "-v", &value, "17"]);
        if done(command_in(command, &f.root.path().join("twin/named/docs"))).code != Some(0) {
            eprintln!("skipped: the file system of temporary files has no extended attributes");
            return;
        }
    }
    for script in [
        "getfattr docs/17 | sort",
        "getfattr -d docs/17 | sort",
        "getfattr -d -m user.plasmite docs/17 | sort",
        "getfattr -de hex docs/17 | sort",
        "getfattr --only-values -n user.plasmite.seq docs/17",
        "cd docs && getfattr -h -n user.plasmite.time 17",
    ] {
        assert_eq!(complaint(f.root.path(), &tool(script), "named"), None);
    }
    assert_eq!(
        complaint(f.root.path(), &tells(1, "getfattr -n user.none docs/17 2> /dev/null"), "named"),
        None
    );
}
