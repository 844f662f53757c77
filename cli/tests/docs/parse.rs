//! The fences of a Markdown document.

/// What is to be done with a fence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Console,
    AnotherTerminal,
    Script,
    /// With what it prints, if the document says so.
    Python(Option<String>),
    File(String),
    NotRun,
}

/// One fence.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Document and line, for failures.
    pub(crate) place: String,
}

/// The fences in their order.
pub(crate) fn blocks(document: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    // The last line before the fence that was not empty.
    let mut before = "";
    let mut python_just_ended = false;
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = line.trim();
                python_just_ended = false;
            }
            continue;
        };
        // Of a fence inside a list.
        let indent = line.len() - line.trim_start().len();
        let mut inside = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            inside.push_str(line.get(indent..).unwrap_or_default());
            inside.push('\n');
        }
        let place = format!("{document}:{}", number + 1);
        if language == "text" && python_just_ended {
            blocks.last_mut().unwrap().kind = Kind::Python(Some(inside));
            python_just_ended = false;
        } else {
            let kind = kind(language, before, &place);
            python_just_ended = matches!(kind, Kind::Python(_));
            blocks.push(Block { kind, text: inside, place });
        }
        before = "";
    }
    blocks
}

fn kind(language: &str, before: &str, place: &str) -> Kind {
    let remark = before.strip_prefix("<!--").and_then(|b| b.strip_suffix("-->")).map(str::trim);
    match (remark, language) {
        (Some("another terminal"), "console") => return Kind::AnotherTerminal,
        (Some(remark), _) => {
            if let Some(name) = remark.strip_prefix("file: ") {
                return Kind::File(name.to_owned());
            }
            assert!(remark.starts_with("not run: "), "{place}: {remark:?} says nothing of a fence");
            return Kind::NotRun;
        }
        (None, _) => {}
    }
    match language {
        "console" => Kind::Console,
        "sh" => Kind::Script,
        "python" => Kind::Python(None),
        _ => Kind::NotRun,
    }
}

/// The commands of a console fence, each with what it prints.
pub(crate) fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), String::new()));
            continue;
        }
        let (command, printed) = commands.last_mut().expect("a console fence starts with $");
        match line.strip_prefix("> ") {
            Some(more) if printed.is_empty() => {
                command.push('\n');
                command.push_str(more);
            }
            _ => {
                printed.push_str(line);
                printed.push('\n');
            }
        }
    }
    commands
}

#[test]
fn fences_are_what_is_written_before_them() {
    let text = "\
```console
$ a
> b
1
$ c
```
<!-- file: x.json -->

```json
{}
```
<!-- not run: it takes a day -->
```sh
sleep 1d
```
```python
print(1)
```

```text
1
```
```text
not run
```
<!-- another terminal -->
```console
$ d
```
";
    let blocks = blocks("x.md", text);
    let kinds: Vec<_> = blocks.iter().map(|b| &b.kind).collect();
    let printed = Kind::Python(Some("1\n".into()));
    let file = Kind::File("x.json".into());
    let last = [&Kind::NotRun, &Kind::AnotherTerminal];
    assert_eq!(kinds[..4], [&Kind::Console, &file, &Kind::NotRun, &printed]);
    assert_eq!(kinds[4..], last);
    assert_eq!(blocks[1].place, "x.md:9");
    let typed = commands(&blocks[0].text);
    assert_eq!(typed, [("a\nb".into(), "1\n".into()), ("c".into(), String::new())]);
}
