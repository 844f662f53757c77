//! Every verb's output as a whole: what it prints, its errors, its help; in a pipe and on a terminal.
//!
//! The files in `snapshots/` are what was typed (`$`), what came on stdout, on stderr (`!`), and the exit code where it is not
//! 0 (`=`). On a terminal both come together. `SNAPSHOTS=overwrite cargo test -p plasmite snapshots` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use regex::Regex;
use snapbox::{Assert, Data};

use crate::support::{Ran, Sandbox, have};
use crate::terminal::{SCRIPT, on_terminal};

/// What is typed into both.
struct Session {
    piped: &'static [&'static str],
    terminal: &'static [&'static str],
}

/// A pool with three messages, and one that is damaged.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_docs();
    sandbox.feed("docs", "{\"n\":1}", &[]);
    sandbox.feed("docs", "{\"n\":2,\"list\":[1, 2]}", &["note", "two words"]);
    sandbox.feed("docs", "{\"text\":\"é \\u0007 \\u001b[31m\"}", &[]);
    sandbox
}

/// Of the pool's second message a byte is changed.
const HURT: &str = "e=plasmite; at=$(grep -abo list pools/docs.$e | cut -d: -f1); \
    cp pools/docs.$e pools/hurt.$e; \
    printf X | dd of=pools/hurt.$e bs=1 seek=$at conv=notrunc status=none; plasmite doctor hurt";

/// Runs the session and compares all of it with the snapshot `name`.
fn check(name: &str, session: &Session) {
    if !have(SCRIPT) {
        return;
    }
    let mut transcript = String::from("# In a pipe\n");
    let piped = sandbox();
    for line in session.piped {
        push(&mut transcript, line, &piped.finish(piped.shell(line), b""));
    }
    transcript.push_str("\n# On a terminal\n");
    let terminal = sandbox();
    for line in session.terminal {
        let ran = on_terminal(&terminal, line, &[("NO_COLOR", "1")], b"\x04");
        push(&mut transcript, line, &ran);
    }
    let mut normal = transcript;
    for sandbox in [&piped, &terminal] {
        normal =
            normal.replace(sandbox.path("").display().to_string().trim_end_matches('/'), "[DIR]");
    }
    for (changing, stands_for) in [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "[TIME]"),
        (r"plasmite \d+\.\d+\.\d+( \([0-9a-f]+\))?", "plasmite [VERSION]"),
        (r#""version":"[^"]*"(,"commit":"[^"]*")?"#, r#""version":"[VERSION]""#),
        (r#""pid":\d+"#, r#""pid":[PID]"#),
        (r#""seconds":[0-9.e-]+"#, r#""seconds":[SECONDS]"#),
    ] {
        normal = Regex::new(changing).unwrap().replace_all(&normal, stands_for).into_owned();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(name);
    let path = path.with_extension("txt");
    Assert::new().action_env("SNAPSHOTS").eq(normal, Data::read_from(&path, None).raw());
}

fn push(transcript: &mut String, line: &str, ran: &Ran) {
    let _ = writeln!(transcript, "$ {line}");
    for line in ran.out.lines() {
        // The echo of the Ctrl-D.
        let line = line.replace("^D\u{8}\u{8}", "");
        transcript.push_str(&line.replace('\u{1b}', "␛"));
        transcript.push('\n');
    }
    for line in ran.err.lines() {
        let _ = writeln!(transcript, "! {line}");
    }
    if ran.code != Some(0) {
        let _ = writeln!(transcript, "= {}", ran.code.map_or(-1, |code| code));
    }
}

macro_rules! snapshots {
    ($($name:ident { piped: $piped:expr, terminal: $terminal:expr })*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), &Session { piped: &$piped, terminal: &$terminal });
        })*
    };
}

snapshots! {
    top {
        piped: ["plasmite --help", "plasmite", "plasmite fedd docs", "plasmite --dirr x", "plasmite --version"],
        terminal: ["plasmite --help", "plasmite fedd docs", "plasmite feed docs --tagg x", "plasmite --version"]
    }
    pool {
        piped: [
            "plasmite pool --help",
            "plasmite pool create --help",
            "plasmite pool list --help",
            "plasmite pool info --help",
            "plasmite pool delete --help",
            "plasmite pool",
            "plasmite pool create a b --size 64K",
            "plasmite pool create a",
            "plasmite pool create c --size 64MB",
            "plasmite pool create c --size 1K",
            "plasmite pool create c/",
            "plasmite pool list",
            "plasmite pool info a",
            "plasmite pool info dosc",
            "plasmite pool info nowhere",
            "plasmite pool delete a b nowhere"
        ],
        terminal: [
            "plasmite pool create a --size 64K",
            "plasmite pool create a",
            "plasmite pool list",
            "plasmite pool info a",
            "plasmite pool info dosc",
            "plasmite pool delete a nowhere",
            "plasmite pool list --json"
        ]
    }
    feed {
        piped: [
            "plasmite feed --help",
            "plasmite feed docs '{\"a\":1}' --tag x",
            "printf '{\"a\":1}{\\n\"a\": 2}' | plasmite feed docs",
            "plasmite feed doc '{}'",
            "plasmite feed docs '[1]'",
            "plasmite feed docs '{\"a\":}'",
            "echo '{}' > note.json; plasmite feed docs note.json",
            "plasmite feed docs --file nothing.jsonl",
            "printf '{\"a\":1}\\noops\\n{\"a\":2}\\n' | plasmite feed docs",
            "printf '{\"a\":1}\\noops\\n{\"a\":2}\\n' | plasmite feed docs --errors skip",
            "plasmite feed docs '{}' --tag -x",
            "plasmite feed docs '{}' --durability safe",
            "plasmite feed new '{}' --create --create-size 64K"
        ],
        terminal: [
            "plasmite feed docs '{\"a\":1}' --tag x",
            "plasmite feed doc '{}'",
            "plasmite feed docs '{\"a\":}'",
            "plasmite feed docs"
        ]
    }
    fetch {
        piped: [
            "plasmite fetch --help",
            "plasmite fetch docs 2",
            "plasmite fetch docs latest --data-only",
            "plasmite fetch docs 2..",
            "plasmite fetch docs 4..",
            "plasmite fetch docs 2..9",
            "plasmite fetch docs 9",
            "plasmite fetch docs x",
            "plasmite fetch docs 3..1",
            "plasmite fetch docs"
        ],
        terminal: [
            "plasmite fetch docs ..",
            "plasmite fetch docs 2 --jsonl",
            "plasmite fetch docs 9",
            "plasmite fetch docs x"
        ]
    }
    follow {
        piped: [
            "plasmite follow --help",
            "plasmite follow docs --tail 2 --timeout 0s",
            "plasmite follow docs --tail 9 --tag note --one --data-only",
            "plasmite follow docs --tail 9 --where '.data.n > 1' --where .data.list --timeout 0s",
            "plasmite follow docs --tail 9 --where '.data.text.x' --timeout 0s",
            "plasmite follow docs --where '.data.'",
            "plasmite follow docs --where 'nothing(1)'",
            "plasmite follow docs --timeout 5",
            "plasmite follow docs --since yesterday",
            "plasmite follow docs --replay 0",
            "plasmite follow dcos",
            "echo precious > f; plasmite follow docs --cursor-file f",
            "plasmite follow docs --cursor-file nowhere/f"
        ],
        terminal: [
            "plasmite follow docs --tail 2 --timeout 0s",
            "plasmite follow docs --tail 9 --where '.data.text.x' --timeout 0s",
            "plasmite follow docs --where '.data.'",
            "plasmite follow dcos"
        ]
    }
    duplex {
        piped: [
            "plasmite duplex --help",
            "echo '{\"a\":1}' | plasmite duplex docs --tail 1 --echo",
            "echo hello | plasmite duplex docs --me ann --echo",
            "echo oops | plasmite duplex docs",
            "plasmite duplex dosc"
        ],
        terminal: [
            "plasmite duplex docs --tail 2",
            "plasmite duplex docs --me ann",
            "plasmite duplex dosc"
        ]
    }
    tap {
        piped: [
            "plasmite tap --help",
            "plasmite tap out --create --tag ci -- sh -c 'echo hello; exit 3'",
            "plasmite fetch out ..",
            "plasmite tap docs -- nocommand",
            "plasmite tap docs -- /etc/passwd",
            "plasmite tap docs echo hello",
            "plasmite tap dosc -- true"
        ],
        terminal: [
            "plasmite tap out --create -- sh -c 'echo hello; exit 3'",
            "plasmite tap docs -- nocommand"
        ]
    }
    export {
        piped: [
            "plasmite export --help",
            "plasmite export docs",
            "plasmite export docs 2.. --file f",
            "plasmite export docs --file f",
            "plasmite export docs --file f --resume",
            "echo precious > g; plasmite export docs --file g --resume",
            "plasmite export docs --resume",
            "plasmite export dosc"
        ],
        terminal: [
            "plasmite export docs --file f",
            "plasmite export docs --file f",
            "plasmite export docs latest"
        ]
    }
    import {
        piped: [
            "plasmite import --help",
            "plasmite export docs > f; plasmite import copy --create --file f",
            "plasmite import copy --file f --resume",
            "plasmite feed copy '{}' > null; plasmite import copy --file f --resume",
            "plasmite export docs 2.. | plasmite import two --create",
            "echo '{\"n\":1}' | plasmite import docs",
            "plasmite import docs --file nothing",
            "plasmite import dosc --file f"
        ],
        terminal: [
            "plasmite export docs --file f; plasmite import copy --create --file f",
            "plasmite import copy --file f --resume",
            "plasmite import docs --file nothing"
        ]
    }
    watch {
        piped: [
            "plasmite top --help",
            "plasmite top --interval 1ms",
            "plasmite top --sort size",
            "plasmite top --dir nowhere --json",
            "touch f; plasmite top --dir f"
        ],
        terminal: ["touch f; plasmite top --dir f"]
    }
    mount {
        piped: [
            "plasmite mount --help",
            "plasmite unmount --help",
            "plasmite mount",
            "plasmite mount a b c",
            "plasmite unmount nowhere",
            "touch f; plasmite mount f"
        ],
        terminal: ["plasmite unmount nowhere", "touch f; plasmite mount f"]
    }
    resize {
        piped: [
            "plasmite pool resize --help",
            "plasmite pool resize docs --size 64K",
            "plasmite fetch docs .. --data-only",
            "plasmite pool resize docs --size 64K",
            "plasmite pool resize docs --size 1K",
            "plasmite pool resize docs --size 64MB",
            "plasmite pool resize docs",
            "plasmite pool resize dosc --size 1M",
            "head -c 70000 /dev/zero > pools/zero.plasmite; plasmite pool resize zero --size 1M"
        ],
        terminal: [
            "plasmite pool resize docs --size 2M",
            "plasmite pool resize docs --size 1K",
            "plasmite pool resize dosc --size 1M"
        ]
    }
    doctor {
        piped: [
            "plasmite doctor --help",
            "plasmite doctor docs",
            "plasmite doctor --all",
            "plasmite doctor",
            "plasmite doctor dosc",
            "plasmite doctor docs --all",
            "plasmite doctor docs --salvage copy",
            "plasmite doctor docs --salvage copy",
            "head -c 5000 pools/docs.plasmite > pools/short.plasmite; plasmite doctor short",
            "head -c 70000 /dev/zero > pools/zero.plasmite; plasmite doctor zero",
            HURT,
            "plasmite doctor hurt --salvage saved",
            "plasmite fetch saved .. --data-only",
            "plasmite doctor --all | jq -c '[.name, .status]'; echo ${PIPESTATUS[0]}"
        ],
        terminal: [
            "plasmite doctor docs",
            "plasmite doctor dosc",
            HURT,
            "plasmite doctor hurt --salvage saved",
            "plasmite doctor --all"
        ]
    }
    rest {
        piped: [
            "plasmite version --help",
            "plasmite version",
            "plasmite completion --help",
            "plasmite completion tcsh",
            "plasmite completion bash | grep -c plasmite"
        ],
        terminal: ["plasmite version", "plasmite completion tcsh"]
    }
}

#[test]
fn colours_are_for_terminals() {
    if !have(SCRIPT) {
        return;
    }
    let sandbox = sandbox();
    let mut transcript = String::new();
    for line in [
        "plasmite fetch docs 2",
        "plasmite fetch docs 9",
        "plasmite pool info dosc",
        "plasmite pool list",
        "plasmite --nothing",
    ] {
        push(&mut transcript, line, &on_terminal(&sandbox, line, &[], b""));
    }
    let times = Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
    let normal = times.replace_all(&transcript, "[TIME]").into_owned();
    let normal = normal.replace(&sandbox.path("").display().to_string(), "[DIR]/");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/colours.txt");
    Assert::new().action_env("SNAPSHOTS").eq(normal, Data::read_from(&path, None).raw());
}
