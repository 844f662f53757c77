//! `plasmite pool`.

use std::fs;

use crate::support::Sandbox;

#[test]
fn create_makes_files_of_exactly_the_size_and_tells_them() {
    let sandbox = Sandbox::new();
    let made = sandbox.run(&["pool", "create", "docs", "events", "--size", "64K"]).json_lines();
    assert_eq!(made.len(), 2);
    for (facts, name) in made.iter().zip(["docs", "events"]) {
        assert_eq!(facts["name"], name);
        assert_eq!(facts["size_bytes"], 65536);
        assert_eq!(facts["path"], sandbox.pool_file(name).to_str().unwrap());
        assert_eq!(fs::metadata(sandbox.pool_file(name)).unwrap().len(), 65536);
    }
}

#[test]
fn create_defaults_to_1_mib_and_makes_the_directories() {
    let sandbox = Sandbox::new();
    sandbox.run(&["pool", "create", "docs"]).ok();
    assert_eq!(fs::metadata(sandbox.pool_file("docs")).unwrap().len(), 1 << 20);
}

#[test]
fn create_of_what_is_there_tells_and_makes_the_others() {
    let sandbox = Sandbox::with_docs();
    let ran = sandbox.run(&["pool", "create", "docs", "events"]);
    let error = ran.error(4);
    assert_eq!(error["kind"], "AlreadyExists");
    assert_eq!(error["path"], sandbox.pool_file("docs").to_str().unwrap());
    assert!(ran.out.contains("\"name\":\"events\""), "{ran:?}");
    assert!(sandbox.pool_file("events").exists());
}

#[test]
fn too_small_a_size_names_the_smallest_which_works() {
    let sandbox = Sandbox::new();
    let error = sandbox.run(&["pool", "create", "docs", "--size", "1"]).fails(2);
    assert_eq!(error["kind"], "Usage");
    let text = format!("{} {}", error["message"], error["hint"]);
    let smallest: u64 = text
        .split_once("smallest pool has ")
        .and_then(|(_, rest)| rest.split_once(' '))
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or_else(|| panic!("the smallest size: {text}"));
    assert!(smallest > 1, "{text}");
    assert!(!sandbox.pool_file("docs").exists());
    sandbox.run(&["pool", "create", "docs", "--size", &smallest.to_string()]).ok();
    sandbox.run(&["pool", "create", "less", "--size", &(smallest - 1).to_string()]).fails(2);
}

#[test]
fn sizes_no_disk_has_are_refused_and_leave_nothing() {
    let sandbox = Sandbox::new();
    for size in ["16777215T", "18446744073709551615", "9223372036854775807", "4096T"] {
        let ran = sandbox.run(&["pool", "create", "docs", "--size", size]);
        assert!(matches!(ran.code, Some(2 | 8)), "{size}: {ran:?}");
        assert!(!sandbox.pool_file("docs").exists());
    }
    let left: Vec<_> = fs::read_dir(sandbox.path("pools")).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_reference_with_a_slash_is_a_path() {
    let sandbox = Sandbox::new();
    let facts = sandbox.run(&["pool", "create", "./here/docs.plasmite"]).json();
    assert_eq!(facts["name"], "docs");
    assert!(sandbox.path("here/docs.plasmite").exists());
    sandbox.run(&["feed", "./here/docs.plasmite", "{}"]).ok();
    assert_eq!(sandbox.run(&["fetch", "./here/docs.plasmite", "1", "--data-only"]).ok(), "{}\n");
}

#[test]
fn list_tells_every_pool_sorted_and_none_of_a_missing_directory() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["pool", "list"]).ok(), "");
    sandbox.run(&["pool", "create", "b", "a"]).ok();
    sandbox.feed("a", "{}", &[]);
    let pools = sandbox.run(&["pool", "list"]).json_lines();
    let names: Vec<_> = pools.iter().map(|pool| pool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(sandbox.run(&["pool", "list", "--json"]).json_lines(), pools);
}

#[test]
fn list_tells_a_damaged_pool_beside_the_good_ones() {
    let sandbox = Sandbox::with_docs();
    sandbox.forge("broken", b"not a pool");
    let pools = sandbox.run(&["pool", "list"]).json_lines();
    assert_eq!(pools.len(), 2);
    assert_eq!(pools[0]["name"], "broken");
    assert_eq!(pools[0]["error"]["kind"], "Corrupt");
    assert_eq!(pools[1]["name"], "docs");
}

#[test]
fn info_tells_the_facts() {
    let sandbox = Sandbox::with_docs();
    for _ in 0..3 {
        sandbox.feed("docs", "{\"a\":1}", &[]);
    }
    let facts = sandbox.run(&["pool", "info", "docs"]).json();
    assert_eq!(facts["name"], "docs");
    assert_eq!(facts["size_bytes"], 1 << 20);
    assert_eq!(sandbox.run(&["pool", "info", "docs", "--json"]).json(), facts);
    let text = facts.to_string();
    assert!(text.contains("oldest") && text.contains("newest"), "{text}");
}

#[test]
fn delete_removes_the_pools_it_can() {
    let sandbox = Sandbox::with_docs();
    sandbox.run(&["pool", "create", "events"]).ok();
    let ran = sandbox.run(&["pool", "delete", "none", "docs", "events"]);
    assert_eq!(ran.error(3)["kind"], "NotFound");
    assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
    assert_eq!(sandbox.run(&["pool", "list"]).ok(), "");
}

#[test]
fn a_mistyped_pool_is_told_with_the_right_one() {
    let sandbox = Sandbox::with_docs();
    for args in [
        &["pool", "info", "doc"][..],
        &["pool", "delete", "doc"],
        &["feed", "doc", "{}"],
        &["fetch", "doc", "1"],
        &["follow", "doc"],
    ] {
        let error = sandbox.run(args).fails(3);
        assert_eq!(error["kind"], "NotFound");
        assert_eq!(error["hint"], "did you mean \"docs\"?", "{args:?}");
        assert_eq!(error["path"], sandbox.pool_file("doc").to_str().unwrap());
    }
}

#[test]
fn what_has_the_name_of_a_new_pool_is_called_usable_only_if_it_is() {
    let sandbox = Sandbox::with_docs();
    let hint = |sandbox: &Sandbox, name: &str| {
        sandbox.run(&["pool", "create", name]).fails(4)["hint"].as_str().unwrap().to_owned()
    };
    // As it can be typed: with the pool directory that was meant.
    let info = format!("plasmite --dir {} pool info docs", sandbox.path("pools").display());
    let told = hint(&sandbox, "docs");
    assert!(told.contains(&info), "{told}");
    std::fs::write(sandbox.pool_file("notes"), "notes").unwrap();
    std::fs::create_dir(sandbox.pool_file("folder")).unwrap();
    for (name, why) in [("notes", "no pool"), ("folder", "a directory")] {
        let told = hint(&sandbox, name);
        assert!(told.contains(why) && !told.contains("use it"), "{told}");
    }
}

#[test]
fn a_dangling_link_is_not_offered_as_the_pool_that_was_meant() {
    let sandbox = Sandbox::with_docs();
    std::os::unix::fs::symlink("nowhere", sandbox.pool_file("events")).unwrap();
    let error = sandbox.run(&["pool", "info", "events"]).fails(3);
    assert!(error["message"].as_str().unwrap().contains("nowhere"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("link"), "{error}");
}

#[test]
fn an_unknown_pool_comes_with_how_to_create_it() {
    let sandbox = Sandbox::new();
    // As it can be typed: with the pool directory that was meant.
    let create = |sandbox: &Sandbox, name: &str| {
        format!("plasmite --dir {} pool create {name}", sandbox.path("pools").display())
    };
    let error = sandbox.run(&["feed", "docs", "{}"]).fails(3);
    assert!(error["hint"].as_str().unwrap().contains(&create(&sandbox, "docs")), "{error}");
    let sandbox = Sandbox::with_docs();
    let error = sandbox.run(&["fetch", "metrics", "1"]).fails(3);
    assert!(error["hint"].as_str().unwrap().contains(&create(&sandbox, "metrics")), "{error}");
}

#[test]
fn delete_takes_damaged_pools_but_no_other_files() {
    let sandbox = Sandbox::new();
    sandbox.forge("broken", b"not a pool");
    sandbox.run(&["pool", "delete", "broken"]).ok();
    assert!(!sandbox.pool_file("broken").exists());
    fs::write(sandbox.path("notes.txt"), "precious").unwrap();
    for other in ["./notes.txt", "/dev/null", "/"] {
        let ran = sandbox.run(&["pool", "delete", other]);
        let code = ran.code.unwrap();
        assert!(matches!(code, 2 | 7), "{ran:?}");
        ran.fails(code);
    }
    assert_eq!(fs::read_to_string(sandbox.path("notes.txt")).unwrap(), "precious");
    sandbox.run(&["pool", "create", "./plain"]).ok();
    sandbox.run(&["pool", "delete", "./plain"]).ok();
    assert!(!sandbox.path("plain").exists());
}
