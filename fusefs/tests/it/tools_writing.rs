//! Every program that people write files with: what it says and what it leaves, for each sort of input.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fixture::{Fixture, TYPE, read};

/// What is in the source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Valid,
    Invalid,
    Half,
    Two,
    Empty,
    Huge,
}

use Input::{Empty, Half, Huge, Invalid, Two, Valid};

const INPUTS: [Input; 6] = [Valid, Invalid, Half, Two, Empty, Huge];

impl Input {
    fn text(self) -> String {
        match self {
            Valid => "{ \"a\": [1, 2],\n  \"b\": \"\u{fc}\" }\n".into(),
            Invalid => "{\"a\": nonsense}\n".into(),
            Half => "{\"a\":1,\n".into(),
            Two => "{\"a\":1}\n{\"b\":2}\n".into(),
            Empty => String::new(),
            Huge => format!("{{\"a\":\"{}\"}}\n", "x".repeat(100_000)),
        }
    }

    /// What a `.json` file with it becomes, and a file of another name.
    fn messages(self, stream: bool) -> &'static [&'static str] {
        match self {
            Valid => &["{\"a\":[1,2],\"b\":\"\u{fc}\"}"],
            Two if stream => &["{\"a\":1}", "{\"b\":2}"],
            _ => &[],
        }
    }

    /// What the system says of it, if it is refused.
    fn refusal(self, stream: bool) -> Option<&'static str> {
        match self {
            Valid | Empty => None,
            Two if stream => None,
            Huge => Some("File too large"),
            _ => Some("Invalid argument"),
        }
    }
}

/// A program, and how it puts `$SRC` into `$T`.
#[derive(Clone, Copy)]
struct Tool {
    name: &'static str,
    script: &'static str,
    /// What it says of a refusal in words of its own, when it does not say what the system says.
    words: Option<&'static str>,
    /// It does not look at its close, or closes when nobody can know that the document is not going on. `docs/errors` has it.
    silent: &'static [Input],
    /// Inputs that it does not pass on as they are.
    except: &'static [Input],
    /// What it appends by the way, before.
    first: &'static [&'static str],
    /// The exit codes with which it tells of a refusal.
    codes: &'static [i32],
}

impl Tool {
    const fn words(self, words: &'static str) -> Self {
        Self { words: Some(words), ..self }
    }

    const fn silent(self, silent: &'static [Input]) -> Self {
        Self { silent, ..self }
    }

    const fn except(self, except: &'static [Input]) -> Self {
        Self { except, ..self }
    }

    const fn first(self, first: &'static [&'static str]) -> Self {
        Self { first, ..self }
    }

    const fn codes(self, codes: &'static [i32]) -> Self {
        Self { codes, ..self }
    }
}

const fn tool(name: &'static str, script: &'static str) -> Tool {
    Tool { name, script, words: None, silent: &[], except: &[], first: &[], codes: &[1] }
}

/// A shell's builtin: it does not look at its close.
const fn shell(name: &'static str, script: &'static str) -> Tool {
    tool(name, script).silent(&[Half])
}

/// The same of dash, which calls each error by one name.
const fn dash(name: &'static str, script: &'static str) -> Tool {
    shell(name, script).words("I/O error")
}

/// A builtin of zsh: it does not look at the errors of full buffers either.
const fn zsh(name: &'static str, script: &'static str) -> Tool {
    tool(name, script).silent(&[Half, Huge])
}

/// A program with a screen, and what is typed when.
const fn typed(name: &'static str, script: &'static str) -> Tool {
    tool(name, script)
}

const TOOLS: &[Tool] = &[
    shell("bash echo", "bash -c 'echo \"$(cat $SRC)\" > $T'"),
    dash("dash echo", "dash -c 'echo \"$(cat $SRC)\" > $T'"),
    shell("zsh echo", "zsh -fc 'echo \"$(cat $SRC)\" > $T'"),
    shell("bash echo >>", "bash -c 'echo \"$(cat $SRC)\" >> $T'"),
    dash("dash echo >>", "dash -c 'echo \"$(cat $SRC)\" >> $T'"),
    shell("zsh echo >>", "zsh -fc 'echo \"$(cat $SRC)\" >> $T'"),
    shell("bash printf >>", "bash -c 'printf %s \"$(cat $SRC)\" >> $T'"),
    dash("dash printf >", "dash -c 'printf %s \"$(cat $SRC)\" > $T'"),
    zsh("zsh printf >", "zsh -fc 'printf %s \"$(cat $SRC)\" > $T'"),
    shell("bash printf", "bash -c 'printf %s \"$(cat $SRC)\" > $T'"),
    dash("dash printf", "dash -c 'printf %s \"$(cat $SRC)\" >> $T'"),
    zsh("zsh printf", "zsh -fc 'printf %s \"$(cat $SRC)\" >> $T'"),
    shell(
        "bash {}",
        "bash -c '{ printf %s \"$(head -c 3 $SRC)\"; printf %s \"$(tail -c +4 $SRC)\"; } > $T'",
    ),
    dash("dash {}",
        "dash -c '{ printf %s \"$(head -c 3 $SRC)\"; printf %s \"$(tail -c +4 $SRC)\"; } > $T'",
    ),
    zsh("zsh {}",
        "zsh -fc '{ printf %s \"$(head -c 3 $SRC)\"; printf %s \"$(tail -c +4 $SRC)\"; } > $T'",
    ),
    shell("bash exec", "bash -c 'exec 3> $T; printf %s \"$(cat $SRC)\" >&3'"),
    dash("dash exec", "dash -c 'exec 3> $T; printf %s \"$(cat $SRC)\" >&3'"),
    tool("bash here-document", "bash -c 'cat > $T <<EOF\n$(cat $SRC)\nEOF'"),
    shell("dash here-document", "dash -c 'cat > $T <<EOF\n$(cat $SRC)\nEOF'"),
    tool("zsh here-document", "zsh -fc 'cat > $T <<EOF\n$(cat $SRC)\nEOF'"),
    // Of the children some only have the descriptor.
    shell("bash {} of programs", "bash -c '{ /bin/true; cat $SRC || exit; /bin/true; } > $T'"),
    shell("dash {} of programs", "dash -c '{ /bin/true; cat $SRC || exit; /bin/true; } > $T'"),
    shell("zsh {} of programs", "zsh -fc '{ /bin/true; cat $SRC || exit; /bin/true; } > $T'"),
    tool("bash subshell", "bash -c '(head -c 3 $SRC; tail -c +4 $SRC) > $T'"),
    tool("dash subshell", "dash -c '(head -c 3 $SRC; tail -c +4 $SRC) > $T'"),
    tool("zsh subshell", "zsh -fc '(head -c 3 $SRC; tail -c +4 $SRC) > $T'"),
    shell("dash cat", "dash -c 'cat $SRC > $T'"),
    tool("cat", "cat $SRC > $T"),
    tool("cat >>", "cat $SRC >> $T"),
    tool("/bin/echo", "/bin/echo \"$(cat $SRC)\" > $T"),
    tool("tee", "tee $T < $SRC > /dev/null"),
    tool("tee -a", "tee -a $T < $SRC > /dev/null"),
    tool("cp", "cp $SRC $T"),
    tool("cp twice", "echo '{\"x\":0}' > $ROOT/x && cp $ROOT/x $T && cp $SRC $T").first(&["{\"x\":0}"]),
    tool("cp -p", "cp -p $SRC $T"),
    tool("cp -a", "cp -a $SRC $T"),
    tool("cp --sparse", "cp --sparse=always --reflink=auto $SRC $T"),
    tool("mv", "cp $SRC $ROOT/moved && mv $ROOT/moved $T"),
    tool("mv within", "cat $SRC > $T.tmp && mv $T.tmp $T"),
    tool("mv -f of a dot file", "cat $SRC > docs/.draft && mv -f docs/.draft $T"),
    tool("install", "install $SRC $T"),
    tool("install -m", "install -m 600 $SRC $T"),
    tool("rsync", "rsync $SRC $T").codes(&[11, 23]),
    tool("rsync -a", "rsync -a $SRC $T").codes(&[11, 23]),
    tool("rsync --inplace", "rsync --inplace $SRC $T").codes(&[11]),
    tool("dd", "dd if=$SRC of=$T status=none"),
    tool("dd bs=1", "head -c 3000 $SRC | dd of=$T bs=1 status=none").except(&[Huge]),
    tool("dd bs=7", "dd if=$SRC of=$T bs=7 status=none"),
    tool("dd bs=4097", "dd if=$SRC of=$T bs=4097 status=none"),
    tool("dd conv=fsync", "dd if=$SRC of=$T conv=fsync status=none"),
    tool("dd conv=fdatasync", "dd if=$SRC of=$T conv=fdatasync status=none"),
    tool("dd oflag=sync", "dd if=$SRC of=$T oflag=sync status=none"),
    tool("dd oflag=append", "dd if=$SRC of=$T oflag=append conv=notrunc status=none"),
    tool("sed w", "sed -n w$T $SRC").codes(&[4]),
    tool("awk", "mawk '{ print > ENVIRON[\"T\"] }' $SRC").codes(&[2]),
    tool(
        "perl",
        "perl -e 'open(F, \">$ENV{T}\") or die; open(S, \"<$ENV{SRC}\"); print F <S>; close(F) or die \"$!\"'",
    ).codes(&[22, 27]),
    tool("jq", "jq -c . $SRC > $T").codes(&[2]).except(&[Invalid, Half]),
    tool("curl", "curl -sS -o $T file://$SRC").codes(&[23]).words("curl: (23) Fail"),
    tool(
        "tar",
        "mkdir $ROOT/tar && cp $SRC $ROOT/tar/${T#docs/} && tar cf - -C $ROOT/tar . | tar xf - -C docs",
    ).codes(&[2]),
    tool("sponge", "sponge $T < $SRC"),
    // It makes the name up from a prefix, a letter and a suffix.
    tool("split", "split -l 99 -a 1 --additional-suffix=${T#docs/t} $SRC docs/t"),
    tool("split -b", "split -b 1M -a 1 --additional-suffix=${T#docs/t} - docs/t < $SRC"),
    tool(
        "python open",
        "python3 -c 'import os; f = open(os.environ[\"T\"], \"w\"); f.write(open(os.environ[\"SRC\"]).read()); f.close()'",
    ),
    tool(
        "python json.dump",
        "python3 -c 'import json, os\nwith open(os.environ[\"T\"], \"w\") as f: json.dump(json.load(open(os.environ[\"SRC\"])), f, ensure_ascii=False)'",
    )
    .except(&[Invalid, Half, Two, Empty]),
    tool(
        "python with",
        "python3 -c 'import os\nwith open(os.environ[\"T\"], \"wb\") as f: f.write(open(os.environ[\"SRC\"], \"rb\").read())'",
    ),
    tool(
        "python pathlib",
        "python3 -c 'import os, pathlib; pathlib.Path(os.environ[\"T\"]).write_text(open(os.environ[\"SRC\"]).read())'",
    ),
    tool(
        "python shutil",
        "python3 -c 'import os, shutil; shutil.copy2(os.environ[\"SRC\"], os.environ[\"T\"])'",
    ),
    tool(
        "python fsync",
        "python3 -c 'import os\nwith open(os.environ[\"T\"], \"w\") as f: f.write(open(os.environ[\"SRC\"]).read()); f.flush(); os.fsync(f.fileno())'",
    ),
    tool(
        "python atomic",
        "python3 -c 'import os, tempfile\nfd, name = tempfile.mkstemp(dir=\"docs\", prefix=\".\"); os.write(fd, open(os.environ[\"SRC\"], \"rb\").read()); os.fsync(fd); os.close(fd); os.replace(name, os.environ[\"T\"])'",
    ),
    tool(
        "node writeFileSync",
        "node -e 'fs.writeFileSync(process.env.T, fs.readFileSync(process.env.SRC))'",
    ),
    tool(
        "node appendFileSync",
        "node -e 'fs.appendFileSync(process.env.T, fs.readFileSync(process.env.SRC))'",
    ),
    tool("node copyFileSync", "node -e 'fs.copyFileSync(process.env.SRC, process.env.T)'"),
    tool(
        "node stream",
        "node -e 'fs.createReadStream(process.env.SRC).pipe(fs.createWriteStream(process.env.T))'",
    ),
    tool(
        "node promises",
        "node -e 'fs.promises.writeFile(process.env.T, fs.readFileSync(process.env.SRC))'",
    ),
    tool("sed -i", "echo '{\"x\":0}' > $T && sed -i -e \"r $SRC\" -e d $T").codes(&[4]).first(&["{\"x\":0}"]),
    tool("sed -n -i", "echo '{\"x\":0}' > $T && sed -n -i -e \"r $SRC\" $T").codes(&[4]).first(&["{\"x\":0}"]),
    // It writes under a name of its own choice: a stream.
    tool(
        "perl -i",
        "echo '{\"x\":0}' > $T && perl -i -e 'while (<>) { open(S, \"<$ENV{SRC}\"); print <S> }' $T",
    ).codes(&[22, 27])
    .first(&["{\"x\":0}"])
    .except(&[Two]),
    tool("vim -es", "vim -u NONE -N -es -c \"0r $SRC\" -c wq -c cq $T || { echo vim >&2; false; }").words("vim"),
    typed(
        "vim",
        "python3 $ROOT/type.py \"vim -u NONE -N $T\" 'New' \":0r $SRC
:\\$d
:wq
\" '(E[0-9]+: .*|Fsync.*)' ':cq
'",
    )
    .words("E"),
    typed(
        "nano",
        "python3 $ROOT/type.py \"nano -I $T\" 'GNU nano' '\x12' 'insert' \"$SRC
\" 'Read [0-9]+ line' '\x18' 'Save modified' y 'Name to Write' '
' 'Error writing.*' '\x18' 'Save modified' n",
    )
    .words("Error writing"),
];

/// What goes wrong, of one program with one input; empty when all is right.
fn complaint(f: &Fixture, tool: &Tool, input: Input, stream: bool) -> Vec<String> {
    let name = format!("t{}", if stream { "" } else { ".json" });
    std::fs::write(f.root.path().join("src"), input.text()).unwrap();
    std::fs::write(f.root.path().join("type.py"), TYPE).unwrap();
    let (before, told_before) = (f.data().len(), errors(f));
    let script = format!("export SRC=$ROOT/src T=docs/{name}; {}", tool.script);
    let done = f.sh(&script);
    let mut wrong = Vec::new();
    let mut check = |right: bool, what: &str| {
        if !right {
            wrong.push(format!("{} {input:?} {name}: {what}: {done:?}", tool.name));
        }
    };
    let refusal = input.refusal(stream);
    match refusal {
        Some(_) if tool.silent.contains(&input) => {
            check(done.code == Some(0), "it looks after all")
        }
        Some(_) if !done.code.is_some_and(|code| tool.codes.contains(&code)) => {
            check(false, "another exit code")
        }
        Some(text) => {
            let code = if input == Huge { "EFBIG" } else { "EINVAL" };
            let words = tool.words.map_or_else(|| vec![text, code, "Bad message"], |w| vec![w]);
            let err = done.err.to_lowercase();
            check(words.iter().any(|w| err.contains(&w.to_lowercase())), "other words");
        }
        None => check(done.code == Some(0) && done.err.is_empty(), "failed"),
    }
    let messages = [tool.first, input.messages(stream)].concat();
    let data = f.data();
    check(
        data[before.min(data.len())..] == messages,
        &format!("messages {:?}", &data[before.min(data.len())..]),
    );
    let told = errors(f) - told_before;
    check((told > 0) == refusal.is_some(), &format!("{told} lines in errors"));
    let listed: Vec<_> =
        std::fs::read_dir(f.docs()).unwrap().map(|e| e.unwrap().file_name()).collect();
    check(listed.len() == data.len(), &format!("left behind: {listed:?}"));
    wrong
}

fn errors(f: &Fixture) -> usize {
    read(f.docs().join("errors")).lines().count()
}

/// SEMANTICS: Programs append as they write files
#[test]
fn every_program_appends_what_is_right_and_says_what_is_wrong() {
    const SIDE_BY_SIDE: usize = 6;
    let next = AtomicUsize::new(0);
    let run = || -> Vec<String> {
        let take = || TOOLS.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(take).flat_map(complaints).collect()
    };
    let wrong: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What goes wrong with one program.
fn complaints(tool: &Tool) -> Vec<String> {
    let mut wrong = Vec::new();
    for stream in [false, true] {
        for input in INPUTS.into_iter().filter(|input| !tool.except.contains(input)) {
            wrong.extend(complaint(&Fixture::sized(64 << 10), tool, input, stream));
        }
    }
    wrong
}

/// SEMANTICS: A written name goes on as a regular file
#[test]
fn cp_onto_one_name_appends_each_time() {
    let f = Fixture::new();
    f.sh("echo '{\"n\":1}' > $ROOT/a; echo '{\"n\":2 }' > $ROOT/b; cp $ROOT/a docs/x.json; cp $ROOT/b docs/x.json; cp -p $ROOT/a docs/x.json; rsync $ROOT/b docs/x.json; install $ROOT/a docs/x.json; cat docs/x.json").ok();
    assert_eq!(f.data(), [1, 2, 1, 2, 1].map(|n| format!("{{\"n\":{n}}}")));
    assert_eq!(f.sh("ls -A docs").ok(), "1\n2\n3\n4\n5\n");
}

#[test]
fn split_and_seq_and_many_files_at_once_append_all() {
    let f = Fixture::new();
    f.sh("seq 20 | jq -c '{n:.}' > $ROOT/lines; split -l 3 $ROOT/lines docs/part-").ok();
    assert_eq!(f.data().len(), 20);
    f.sh("mkdir $ROOT/many; for i in $(seq 30); do echo \"{\\\"i\\\":$i}\" > $ROOT/many/m$i.json; done; cp $ROOT/many/* docs/; cp -r $ROOT/many/. docs/; tar cf - -C $ROOT/many . | tar xf - -C docs; mkdir other; rsync -a $ROOT/many/ other/; mv $ROOT/many/* docs/").ok();
    assert_eq!(f.data().len(), 20 + 4 * 30);
    assert_eq!(f.sh("ls -A docs | wc -l; ls -A other | wc -l; ls $ROOT/many").ok(), "140\n30\n");
}

#[test]
fn curl_writes_what_a_server_sends_piece_by_piece() {
    let f = Fixture::new();
    let server = "
import http.server, sys, threading, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        for piece in [b'{\"a\"', b':', b'1}', b'\\n']:
            self.wfile.write(piece); self.wfile.flush(); time.sleep(0.02)
    def log_message(self, *a): pass
s = http.server.HTTPServer(('127.0.0.1', 0), H)
print(s.server_port, flush=True)
s.serve_forever()";
    std::fs::write(f.root.path().join("server.py"), server).unwrap();
    let script = "coproc python3 $ROOT/server.py; read -r port <&${COPROC[0]}; curl -sS -o docs/c.json http://127.0.0.1:$port/ && curl -sS http://127.0.0.1:$port/ > docs/in; r=$?; kill $COPROC_PID; exit $r";
    f.sh(script).ok();
    assert_eq!(f.data(), ["{\"a\":1}", "{\"a\":1}"]);
}

/// SEMANTICS: Offsets and flags mean nothing when one appends
#[test]
fn every_flag_of_open_appends_and_mapping_is_refused() {
    let f = Fixture::new();
    let script = "
import errno, mmap, os
def name(e): return errno.errorcode[e.errno]
def append(flags, **how):
    fd = os.open('docs/f.json', os.O_WRONLY | flags, 0o600, **how)
    assert os.write(fd, b'{}') == 2
    os.close(fd)
for flags in [os.O_CREAT, os.O_APPEND, os.O_TRUNC, os.O_CREAT | os.O_TRUNC, os.O_SYNC, os.O_DSYNC, os.O_NONBLOCK, os.O_NOFOLLOW, os.O_NOCTTY, os.O_CLOEXEC, os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_SYNC]:
    append(flags)
append(0, dir_fd=os.open('.', os.O_RDONLY))
try: append(os.O_CREAT | os.O_EXCL)
except OSError as e: print('excl', name(e))
try: os.open('docs/new.json', os.O_WRONLY)
except OSError as e: print('missing', name(e))
try: os.open('docs/f.json', os.O_WRONLY | os.O_DIRECTORY)
except OSError as e: print('directory', name(e))
fd = os.open('docs/g.json', os.O_RDWR | os.O_CREAT | os.O_EXCL)
os.write(fd, b'{\"a\":'); os.write(fd, b'1}')
print(os.pread(fd, 100, 0), os.fstat(fd).st_size in (0, 7), os.lseek(fd, 0, os.SEEK_CUR))
with open('docs/f.json', 'r+b') as f:
    try: mmap.mmap(f.fileno(), 0)
    except OSError as e: print('mmap', name(e), e.strerror)
os.fsync(fd); os.fdatasync(fd); os.fchmod(fd, 0o600); os.utime(fd); os.close(fd)
fd = os.open('docs/h.json', os.O_WRONLY | os.O_CREAT)
print(os.pwrite(fd, b'1}', 5), os.writev(fd, [b' ', b' ']))
";
    std::fs::write(f.root.path().join("s.py"), script).unwrap();
    let done = f.sh("python3 $ROOT/s.py");
    assert_eq!(
        done.out,
        "excl EEXIST\nmissing ENOENT\ndirectory ENOTDIR\nb'{\"a\":1}' True 7\nmmap ENODEV No such device\n"
    );
    assert!(done.err.contains("Invalid argument"), "what begins with 1}} is no object: {done:?}");
    assert_eq!(f.data().len(), 13);
}
