//! `plasmite tap`: what a command writes is passed on and recorded.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::screen::{Screen, ends};
use crate::support::Sandbox;

/// The data of all messages of the pool `docs`, in order.
fn recorded(sandbox: &Sandbox) -> Vec<Value> {
    let messages = sandbox.run(&["fetch", "docs", "..", "--jsonl"]).json_lines();
    messages.into_iter().map(|message| message["data"].clone()).collect()
}

fn lines(sandbox: &Sandbox, stream: &str) -> Vec<String> {
    let is_of = |data: &Value| data["kind"] == "line" && data["stream"] == stream;
    let text = |data: Value| data["line"].as_str().unwrap().to_owned();
    recorded(sandbox).into_iter().filter(is_of).map(text).collect()
}

#[test]
fn lines_are_passed_on_and_recorded_between_start_and_exit() {
    let sandbox = Sandbox::with_docs();
    let script = "echo out; echo err >&2; sleep 0.2; printf 'two\\nlast'";
    let ran = sandbox.run(&["tap", "docs", "--tag", "ci", "--", "sh", "-c", script]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (Some(0), "out\ntwo\nlast", "err\n")
    );
    let messages = sandbox.run(&["fetch", "docs", ".."]).json_lines();
    let (first, last) = (&messages[0], &messages[messages.len() - 1]);
    for end in [first, last] {
        assert_eq!(end["meta"]["tags"], json!(["lifecycle", "ci"]));
    }
    assert_eq!(first["data"]["kind"], "start");
    assert_eq!(first["data"]["command"], json!(["sh", "-c", script]));
    assert!(first["data"]["pid"].is_u64() && first["data"]["cwd"].is_string());
    let exit = &last["data"];
    assert_eq!(
        (&exit["kind"], &exit["code"], &exit["signal"]),
        (&json!("exit"), &json!(0), &Value::Null)
    );
    assert!(exit["seconds"].as_f64().unwrap() >= 0.2);
    assert!(messages[1..messages.len() - 1].iter().all(|m| m["meta"]["tags"] == json!(["ci"])));
    assert_eq!(lines(&sandbox, "stdout"), ["out", "two", "last"]);
    assert_eq!(lines(&sandbox, "stderr"), ["err"]);
    let unterminated: Vec<_> =
        messages.iter().filter(|m| m["data"]["unterminated"] == true).collect();
    assert_eq!(unterminated.len(), 1);
}

#[test]
fn it_ends_as_the_command_did() {
    let sandbox = Sandbox::with_docs();
    for (script, code) in
        [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
    {
        let ran = sandbox.run(&["tap", "docs", "--", "sh", "-c", script]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(code), ""), "{script}");
    }
    let exits: Vec<_> = recorded(&sandbox).into_iter().filter(|d| d["kind"] == "exit").collect();
    assert_eq!(exits[1]["code"], 7);
    assert_eq!((&exits[2]["code"], &exits[2]["signal"]), (&Value::Null, &json!("SIGTERM")));
    let error = sandbox.run(&["tap", "docs", "--", "/nowhere/command"]).fails(127);
    assert_eq!(error["kind"], "NotFound");
    let error = sandbox.run(&["tap", "docs", "--", "/etc/passwd"]).fails(126);
    assert_eq!(error["kind"], "Permission");
    assert!(error["hint"].is_string());
    sandbox.run(&["tap", "nowhere", "--", "true"]).fails(3);
    sandbox.run(&["tap", "docs", "true"]).fails(2);
    sandbox.run(&["tap", "docs"]).fails(2);
}

#[test]
fn every_byte_is_passed_on_and_none_is_lost() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "8M"]).ok();
    let noise: Vec<u8> = (0..=255_u8).cycle().map(|b| b.wrapping_mul(31)).take(300_000).collect();
    fs::write(sandbox.path("noise"), &noise).unwrap();
    let mut tap = sandbox.command(&["tap", "docs", "--", "cat", "noise"]);
    let output = tap.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stdout == noise);
    // A reader puts the bytes together again.
    let script = "import base64, json, sys
for line in sys.stdin:
    m = json.loads(line)['data']
    if m['kind'] != 'line': continue
    b = base64.b64decode(m['base64']) if 'base64' in m else m['line'].encode()
    sys.stdout.buffer.write(b + (b'' if m.get('continued') or m.get('unterminated') else b'\\n'))";
    fs::write(sandbox.path("join.py"), script).unwrap();
    let joined = "plasmite fetch docs .. | python3 join.py > again; cmp noise again && echo same";
    assert_eq!(sandbox.finish(sandbox.shell(joined), b"").ok(), "same\n");
}

#[test]
fn signals_are_sent_on() {
    let sandbox = Sandbox::with_docs();
    let script = "for s in INT TERM HUP USR1 USR2; do trap \"echo got $s\" $s; done; trap 'echo got QUIT; exit 5' QUIT; \
                  echo ready; while :; do sleep 0.02; done";
    let mut tap = sandbox.spawn(&["tap", "docs", "--", "bash", "-c", script]);
    assert_eq!(tap.line(), "ready");
    for (signal, name) in [
        (Signal::INT, "INT"),
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::QUIT, "QUIT"),
    ] {
        tap.signal(signal);
        assert_eq!(tap.line(), format!("got {name}"));
    }
    assert_eq!(tap.end(), (Some(5), String::new()));
    assert_eq!(recorded(&sandbox).last().unwrap()["code"], 5);
}

#[test]
fn ctrl_c_at_a_terminal_is_the_commands_and_comes_once() {
    let sandbox = Sandbox::with_docs();
    let script =
        "trap \"echo got INT; sleep 0.3; exit 5\" INT; echo ready; while :; do sleep 0.02; done";
    let screen = Screen::start(&sandbox, "set -m", &format!("tap docs -- bash -c '{script}'"));
    screen.shows("ready");
    screen.keys(&["C-c"]);
    screen.ended(5);
    assert_eq!(lines(&sandbox, "stdout"), ["ready", "got INT"]);
    // One that does not care for it ends by it, and so does tap as far as a shell can see.
    let screen =
        Screen::start(&sandbox, "set -m", "tap docs -- sh -c 'echo asleep; exec sleep 300'");
    screen.shows("asleep");
    let tap = screen.pid();
    screen.keys(&["C-c"]);
    screen.ended(130);
    ends(tap);
    assert_eq!(recorded(&sandbox).last().unwrap()["signal"], "SIGINT");
}

#[test]
fn a_command_at_a_terminal_reads_what_is_typed_and_is_stopped_and_goes_on() {
    let sandbox = Sandbox::with_docs();
    let screen = Screen::start(&sandbox, "set -m", "tap docs -- sed -u s/^/got:/");
    screen.type_text("one\n");
    screen.shows("got:one");
    screen.keys(&["C-z"]);
    screen.until(|screen| screen.contains("stopped") && screen.contains("extproc"));
    screen.keys(&["Enter"]);
    screen.type_text("two\n");
    screen.shows("got:two");
    screen.keys(&["C-d"]);
    screen.shows("ended 0");
    assert_eq!(lines(&sandbox, "stdout"), ["got:one", "got:two"]);
}

#[test]
fn under_nohup_the_command_ignores_hangups_too() {
    let sandbox = Sandbox::with_docs();
    let script = "grep SigIgn /proc/self/status";
    let tapped = sandbox.wrapped(&["nohup"], &["tap", "docs", "--", "sh", "-c", script]);
    let ran = sandbox.finish(tapped, b"");
    let mask = u64::from_str_radix(ran.out.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(mask & 1, 1, "{ran:?}");
    let bare = sandbox.run(&["tap", "docs", "--", "sh", "-c", script]);
    let plain = Command::new("sh").args(["-c", script]).output().unwrap();
    assert_eq!(bare.out.as_bytes(), plain.stdout, "otherwise it has the signals it always has");
}

#[test]
fn what_is_read_is_the_commands_own_input() {
    let sandbox = Sandbox::with_docs();
    let ran = sandbox.run_with(&["tap", "docs", "--", "tr", "a-z", "A-Z"], b"hello\n");
    assert_eq!(ran.ok(), "HELLO\n");
    assert_eq!(lines(&sandbox, "stdout"), ["HELLO"]);
}

#[test]
fn output_is_there_at_once_also_without_a_newline() {
    let sandbox = Sandbox::with_docs();
    let mut tap = sandbox.spawn(&["tap", "docs", "--", "sh", "-c", "echo one; read x; echo $x"]);
    assert_eq!(tap.line(), "one");
    tap.wait_until(|_| lines(&sandbox, "stdout") == ["one"]);
    tap.write("two\n");
    assert_eq!(tap.line(), "two");
    assert_eq!(tap.end().0, Some(0));
    let script = "plasmite tap docs -- sh -c 'printf prompt; sleep 100' | (head -c 6; echo)";
    let mut tap = sandbox.start(sandbox.shell(script));
    assert_eq!(tap.line(), "prompt");
    tap.signal(Signal::KILL);
    tap.status();
}

#[test]
fn something_left_running_does_not_hold_it_up() {
    let sandbox = Sandbox::with_docs();
    let script = "echo started; sleep 300 & echo $! > pid";
    assert_eq!(sandbox.run(&["tap", "docs", "--", "sh", "-c", script]).ok(), "started\n");
    assert_eq!(recorded(&sandbox).last().unwrap()["kind"], "exit");
    let pid = fs::read_to_string(sandbox.path("pid")).unwrap();
    Command::new("kill").arg(pid.trim()).status().unwrap();
}

#[test]
fn when_the_reader_goes_the_command_learns_it() {
    let sandbox = Sandbox::with_docs();
    let script = "plasmite tap docs -- yes | head -n 1; echo ${PIPESTATUS[0]}";
    assert_eq!(sandbox.finish(sandbox.shell(script), b"").ok(), "y\n141\n");
    assert_eq!(recorded(&sandbox).last().unwrap()["signal"], "SIGPIPE");
}

#[test]
fn a_pool_that_goes_away_does_not_stop_the_command() {
    let sandbox = Sandbox::with_docs();
    let mut tap = sandbox.spawn(&[
        "tap",
        "docs",
        "--",
        "sh",
        "-c",
        "echo one; read x; echo two; read x; echo three",
    ]);
    assert_eq!(tap.line(), "one");
    sandbox.run(&["pool", "delete", "docs"]).ok();
    tap.write("\n");
    assert_eq!(tap.line(), "two");
    tap.write("\n");
    assert_eq!(tap.line(), "three");
    let (code, err) = tap.end();
    assert_eq!(code, Some(3), "that something is not recorded is no success");
    assert_eq!(err.lines().count(), 1, "told once: {err}");
    let told: Value = serde_json::from_str(err.trim()).unwrap();
    assert!(told["error"]["message"].as_str().unwrap().contains("no longer recorded"), "{err}");
}

#[test]
fn many_lines_of_both_streams_arrive_in_their_order() {
    let sandbox = Sandbox::new();
    let script = "for i in $(seq 3000); do echo $i; echo $i >&2; done";
    let args = ["tap", "docs", "--create", "--create-size", "8M", "--", "bash", "-c", script];
    let ran = sandbox.run(&args);
    assert_eq!(ran.code, Some(0));
    let numbers: Vec<String> = (1..=3000).map(|n| n.to_string()).collect();
    assert_eq!(lines(&sandbox, "stdout"), numbers);
    assert_eq!(lines(&sandbox, "stderr"), numbers);
}
