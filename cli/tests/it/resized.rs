//! Commands that run while their pool gets another size.

use serde_json::json;

use crate::support::Sandbox;

fn resize(sandbox: &Sandbox, size: &str) {
    sandbox.run(&["pool", "resize", "docs", "--size", size]).ok();
}

#[test]
fn feed_and_follow_go_on_in_the_new_file() {
    let sandbox = Sandbox::with_docs();
    for durability in ["fast", "flush"] {
        let tags = ["--tag", durability];
        let follower = sandbox
            .follower("docs", &["--cursor-file", "cur", "--timeout", "60s", tags[0], tags[1]]);
        let mut feeder =
            sandbox.spawn(&["feed", "docs", "--durability", durability, tags[0], tags[1]]);
        for (n, size) in ["2M", "64K", "1M"].into_iter().enumerate() {
            for half in [0, 1] {
                feeder.write(&format!("{{\"n\":{n},\"half\":{half}}}\n"));
                let seq = feeder.json()["seq"].clone();
                let message = follower.json();
                assert_eq!((&message["seq"], &message["data"]["n"]), (&seq, &json!(n)));
                if half == 0 {
                    resize(&sandbox, size);
                }
            }
        }
        drop(feeder.stdin.take());
        assert_eq!(feeder.end(), (Some(0), String::new()));
        drop(follower);
    }
    // The cursor's pool is still the same one.
    let ran = sandbox.run(&["follow", "docs", "--cursor-file", "cur", "--timeout", "0s"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(124), "", ""));
}

#[test]
fn duplex_and_tap_go_on_too() {
    let sandbox = Sandbox::with_docs();
    sandbox.feed("docs", "{\"begin\":true}", &[]);
    let mut duplex = sandbox.spawn(&["duplex", "docs", "--me", "ann", "--echo", "--tail", "1"]);
    duplex.json();
    let mut tap = sandbox.spawn(&["tap", "docs", "--", "cat"]);
    assert_eq!(duplex.json()["data"]["kind"], "start");
    for size in ["2M", "64K"] {
        resize(&sandbox, size);
        tap.write("from tap\n");
        assert_eq!(tap.line(), "from tap");
        assert_eq!(duplex.json()["data"]["line"], "from tap");
        resize(&sandbox, "1M");
        duplex.write("hello\n");
        assert_eq!(duplex.json()["data"]["msg"], "hello");
    }
    drop(tap.stdin.take());
    assert_eq!(tap.end(), (Some(0), String::new()));
    assert_eq!(duplex.json()["data"]["kind"], "exit");
    drop(duplex.stdin.take());
    assert_eq!(duplex.end(), (Some(0), String::new()));
}

#[test]
fn a_pipe_is_fed_through_many_resizes_without_loss_or_doubles() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs", "--size", "16M"]).ok();
    let script = "seq 60000 | jq -c '{n: .}' | plasmite feed docs | wc -l";
    let mut feeding = sandbox.start(sandbox.shell(script));
    for size in ["8M", "16M", "12M", "9M", "16M"] {
        resize(&sandbox, size);
    }
    let fed = feeding.line();
    assert_eq!((fed.as_str(), feeding.end()), ("60000", (Some(0), String::new())));
    let messages = sandbox.run(&["fetch", "docs", "..", "--data-only"]).ok();
    let wanted: String = (1..=60000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert!(messages == wanted, "each once, in order");
}
