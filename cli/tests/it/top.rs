//! `plasmite top`: the view in a real terminal, which tmux provides, and the table in a pipe.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::screen::{PATIENCE, Screen, assert_is_cooked, children, ends};
use crate::support::{Sandbox, waits_for_messages};

#[test]
fn a_pool_is_entered_filtered_and_left_and_q_gives_the_terminal_back() {
    let sandbox = Sandbox::with_docs();
    for n in 1..=40 {
        let tags: &[&str] = if n % 2 == 0 { &["even"] } else { &[] };
        sandbox.feed("docs", &format!("{{\"n\":{n}}}"), tags);
    }
    let screen = Screen::start(&sandbox, "", "top --interval 100ms");
    let table = screen.shows("READERS");
    assert!(table.contains("1 pool "), "{table}");
    screen.keys(&["Enter"]);
    screen.shows("{\"n\":40}");
    // What is appended appears.
    sandbox.feed("docs", "{\"n\":41}", &[]);
    screen.shows("{\"n\":41}");
    screen.keys(&["/"]);
    screen.type_text("#even .data.n % 4 == 0");
    screen.keys(&["Enter"]);
    let filtered = screen.shows(" 10 messages");
    assert!(filtered.contains("40 ") && filtered.contains("#even {\"n\":4}"), "{filtered}");
    assert!(!filtered.contains("{\"n\":38}") && !filtered.contains("{\"n\":41}"), "{filtered}");
    sandbox.feed("docs", "{\"n\":44}", &["even"]);
    screen.shows("{\"n\":44}");
    // A slip is told, and what was there is still there to be mended.
    screen.keys(&["/"]);
    screen.type_text(" and (");
    screen.keys(&["Enter"]);
    screen.shows("is not one of jq");
    screen.keys(&["/", "C-u"]);
    screen.keys(&["Enter"]);
    screen.shows("42 messages");
    // Looking back, while more arrives.
    screen.keys(&["Home"]);
    screen.shows("{\"n\":1}");
    sandbox.feed("docs", "{\"n\":45}", &[]);
    let back = screen.shows("43 messages");
    assert!(back.contains("{\"n\":1}") && back.contains("newer below"), "{back}");
    screen.keys(&["End"]);
    screen.shows("{\"n\":45}");
    let child = children(screen.pid())[0];
    screen.keys(&["Escape"]);
    screen.shows("READERS");
    ends(child);
    screen.keys(&["q"]);
    screen.ended(0);
}

#[test]
fn every_way_to_end_gives_the_terminal_back() {
    let sandbox = Sandbox::with_docs();
    for (end, code) in [("Escape", 0), ("C-c", 130), ("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let screen = Screen::start(&sandbox, "", "top");
        screen.shows("READERS");
        // Also while a pool is followed.
        screen.keys(&["Enter"]);
        screen.shows("Esc back");
        let child = children(screen.pid())[0];
        match end {
            "Escape" => {
                screen.keys(&[end]);
                screen.shows("READERS");
                screen.keys(&[end]);
            }
            "C-c" => screen.keys(&[end]),
            signal => screen.signal(signal),
        }
        screen.ended(code);
        ends(child);
    }
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let sandbox = Sandbox::with_docs();
    for whose in ["view", "thread"] {
        let screen =
            Screen::start(&sandbox, &format!("export PLASMITE_PANIC_AT_F12={whose}"), "top");
        screen.shows("READERS");
        screen.keys(&["Enter"]);
        screen.shows("Esc back");
        let child = children(screen.pid())[0];
        screen.keys(&["F12"]);
        let told = screen.shows("extproc");
        assert!(told.contains("error: ") && told.contains("as told"), "{told}");
        screen.ended(1);
        ends(child);
    }
}

#[test]
fn pools_are_found_by_a_part_of_their_names() {
    let sandbox = Sandbox::with_docs();
    sandbox.run(&["pool", "create", "events", "Docs-old"]).ok();
    let screen = Screen::start(&sandbox, "", "top --interval 100ms --sort name");
    screen.shows("3 pools");
    screen.keys(&["/"]);
    screen.type_text("doc");
    let found = screen.shows(" 2 of 3 pools");
    assert!(found.contains("\ndocs ") && found.contains("\nDocs-old "), "{found}");
    assert!(!found.contains("\nevents "), "{found}");
    screen.type_text("s");
    screen.keys(&["Down", "Enter"]);
    screen.shows(" docs ─");
    screen.keys(&["Escape"]);
    let found = screen.shows("names with docs  Esc all pools");
    assert!(found.contains(" 2 of 3 pools"), "{found}");
    screen.keys(&["/"]);
    screen.type_text("q");
    screen.shows(" 0 of 3 pools");
    screen.keys(&["Escape"]);
    screen.shows("\nevents ");
    screen.keys(&["/"]);
    screen.type_text("e");
    screen.keys(&["Enter", "Escape"]);
    screen.shows("  3 pools");
    screen.keys(&["Escape"]);
    screen.ended(0);
}

#[test]
fn the_views_own_follower_is_no_reader_of_the_pool() {
    let sandbox = Sandbox::with_docs();
    let _reader = sandbox.follower("docs", &[]);
    let screen = Screen::start(&sandbox, "", "top --interval 50ms");
    screen.until(|screen| screen.contains("\ndocs ") && screen.contains(" 1       0\n"));
    screen.keys(&["Enter"]);
    screen.shows("Esc back");
    let child = children(screen.pid())[0];
    screen.until(|_| waits_for_messages(child, "docs"));
    // A look that began before that may still be shown.
    thread::sleep(Duration::from_millis(500));
    // A reader that looks around for a moment is not asleep, and not counted; our own may begin to between the look at the pool and
    // the look at it.
    let mut two = 0;
    for _ in 0..20 {
        let told =
            screen.until(|screen| screen.contains("readers 1 ") || screen.contains("readers 2 "));
        two += u32::from(told.contains("readers 2 "));
        thread::sleep(Duration::from_millis(50));
    }
    assert!(two < 10, "{two} of 20 times");
}

#[test]
fn a_closed_terminal_ends_it_also_under_nohup() {
    let sandbox = Sandbox::with_docs();
    for setup in ["", "trap '' HUP"] {
        let screen = Screen::start(&sandbox, setup, "top");
        screen.shows("READERS");
        let pid = screen.pid();
        drop(screen);
        ends(pid);
    }
}

#[test]
fn ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_back() {
    let sandbox = Sandbox::with_docs();
    let screen = Screen::start(&sandbox, "set -m", "top");
    for _ in 0..2 {
        screen.shows("READERS");
        screen.keys(&["C-z"]);
        let shell = screen.until(|s| s.contains("stopped") && s.contains("extproc"));
        assert!(!shell.contains("READERS"), "{shell}");
        assert_is_cooked(&shell);
        screen.keys(&["Enter"]);
    }
    let again = screen.shows("READERS");
    assert!(!again.contains("stopped"), "{again}");
    screen.keys(&["C-l"]);
    screen.shows("READERS");
    screen.keys(&["q"]);
    screen.shows("ended 0");
}

#[test]
fn pools_come_go_and_are_damaged_under_it() {
    let sandbox = Sandbox::with_docs();
    let screen = Screen::start(&sandbox, "", "top --interval 50ms --sort name");
    screen.shows("1 pool ");
    sandbox.run(&["pool", "create", "events"]).ok();
    screen.shows("\nevents ");
    fs::File::options().write(true).open(sandbox.pool_file("docs")).unwrap().set_len(10).unwrap();
    screen.shows("\ndocs       Corrupt: ");
    screen.keys(&["Enter"]);
    screen.shows("Esc back");
    screen.shows("cut short");
    fs::remove_file(sandbox.pool_file("docs")).unwrap();
    screen.shows("there is no such pool any more");
    screen.keys(&["Escape"]);
    screen.until(|screen| screen.contains("1 pool ") && !screen.contains("\ndocs "));
    sandbox.run(&["pool", "delete", "events"]).ok();
    screen.shows("no pools here yet");
    fs::remove_dir(sandbox.path("pools")).unwrap();
    fs::write(sandbox.path("pools"), "").unwrap();
    screen.shows("no directory");
    screen.keys(&["Enter", "Down", "q"]);
    screen.ended(0);
}

#[test]
fn hundreds_of_pools_scroll_in_a_terminal_of_any_size() {
    let sandbox = Sandbox::new();
    let names: Vec<String> = (0..300).map(|n| format!("pool-{n:03}")).collect();
    let mut create = vec!["pool", "create", "--size", "64K"];
    create.extend(names.iter().map(String::as_str));
    sandbox.run(&create).ok();
    let screen = Screen::start(&sandbox, "", "top --sort name --interval 100ms");
    screen.shows("300 pools");
    screen.shows("\npool-020 ");
    screen.keys(&["NPage"]);
    screen.shows("\npool-021 ");
    screen.keys(&["End"]);
    screen.shows("\npool-299 ");
    screen.keys(&["n"]);
    // The choice stays on the screen: it is the first now.
    screen.shows("\npool-279 ");
    for (width, height) in [(1, 1), (2, 2), (7, 3), (300, 2), (20, 60), (200, 100), (80, 24)] {
        screen.resize(width, height);
        screen.keys(&["Up", "Enter", "/", "a", "C-u", "Enter", "BSpace"]);
    }
    screen.shows("READERS");
    screen.keys(&["q"]);
    screen.ended(0);
}

#[test]
fn an_expression_that_never_ends_costs_a_child_and_not_the_view() {
    let sandbox = Sandbox::with_docs();
    sandbox.feed("docs", "{}", &[]);
    let screen = Screen::start(&sandbox, "ulimit -c 0", "top");
    screen.shows("READERS");
    screen.keys(&["Enter"]);
    screen.shows("1 message");
    for expression in ["repeat(.) | select(false)", "def f: 1 + f; f"] {
        screen.keys(&["/", "C-u"]);
        screen.type_text(expression);
        screen.keys(&["Enter"]);
        screen.shows(&format!("filter: {expression} "));
    }
    screen.keys(&["/", "C-u", "Enter"]);
    screen.shows("1 message");
    assert_eq!(children(screen.pid()).len(), 1);
    screen.keys(&["q"]);
    screen.ended(0);
}

#[test]
fn colours_are_left_out_on_demand_and_signs_follow_the_locale() {
    let sandbox = Sandbox::with_docs();
    sandbox.forge("broken", b"x");
    for (setup, coloured) in [("", true), ("export NO_COLOR=1", false)] {
        let screen = Screen::start(&sandbox, setup, "top");
        screen.shows("Corrupt");
        let codes = screen.captured(&["-e"]);
        let colours = codes.split('\u{1b}').filter(|code| {
            code.starts_with("[38;") || code.starts_with("[3") && !code.starts_with("[39m")
        });
        assert_eq!(colours.count() > 0, coloured, "{codes:?}");
        assert!(screen.captured(&[]).contains('↑'));
    }
    let screen = Screen::start(&sandbox, "export LC_ALL=C", "top");
    let ascii = screen.shows("Corrupt");
    assert!(ascii.is_ascii(), "{ascii}");
    drop(screen);
    let dumb = Screen::start(&sandbox, "export TERM=dumb", "top --interval 50ms");
    let table = dumb.shows("ended 0");
    assert!(table.contains("docs ") && table.contains("Corrupt: "), "{table}");
}

#[test]
fn nothing_runs_between_two_looks() {
    let sandbox = Sandbox::with_docs();
    let screen = Screen::start(&sandbox, "", "top --interval 1d");
    screen.shows("READERS");
    let pid = screen.pid();
    let switches = || -> u64 {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let of = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
            counts.map(|(_, count)| count.trim().parse::<u64>().unwrap()).sum::<u64>()
        };
        tasks.map(|task| of(task.unwrap())).sum()
    };
    // It gets there however slow the machine is.
    let start = Instant::now();
    loop {
        let before = switches();
        thread::sleep(Duration::from_millis(500));
        if switches() == before {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "it never sleeps");
    }
}

#[test]
fn a_pipe_gets_one_table_or_json_lines() {
    let sandbox = Sandbox::with_docs();
    sandbox.feed("docs", "{}", &[]);
    sandbox.forge("broken", b"x");
    let table = sandbox.run(&["top", "--interval", "50ms"]).ok();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NAME ") && lines[0].ends_with(" READERS  WRITERS"), "{table}");
    assert!(lines[1].starts_with("docs ") && lines[1].ends_with(" 0        0"), "{table}");
    assert!(lines[2].starts_with("broken  Corrupt: "), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");
    let told = sandbox.run(&["top", "--interval", "50ms", "--json", "--sort", "name"]).json_lines();
    assert_eq!(told[0]["name"], "broken");
    assert_eq!(told[0]["error"]["kind"], "Corrupt");
    assert_eq!((&told[1]["name"], &told[1]["messages"]), (&"docs".into(), &1.into()));
    assert_eq!(told[1]["messages_per_second"], 0.0);
    assert!(told[1]["oldest_age_seconds"].as_f64().unwrap() > 0.0);
    let empty = sandbox.path("nothing");
    let dir = empty.to_str().unwrap();
    assert_eq!(sandbox.run(&["top", "--dir", dir, "--json"]).ok(), "");
    let error = sandbox.run(&["top", "--interval", "1ms"]).fails(2);
    assert!(error["message"].as_str().unwrap().contains("50ms"), "{error}");
}

#[test]
fn rates_readers_and_writers_are_told_while_they_are_there() {
    let sandbox = Sandbox::with_docs();
    let mut writer = sandbox.spawn(&["feed", "docs"]);
    writer.write("{}\n");
    writer.json();
    let _reader = sandbox.follower("docs", &[]);
    let mut top = sandbox.spawn(&["top", "--interval", "2s", "--json"]);
    // Between its two looks, however late the first one is.
    let mut told = None;
    while told.is_none() {
        writer.write("{}\n");
        writer.json();
        thread::sleep(Duration::from_millis(20));
        told = top.try_json();
    }
    let told = told.unwrap();
    assert!(told["messages_per_second"].as_f64().unwrap() > 0.0, "{told}");
    assert!(told["bytes_per_second"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!(told["writers"], 1, "{told}");
    assert!(told["readers"].as_u64().unwrap() <= 1, "{told}");
    assert_eq!(top.end().0, Some(0));
}
