//! `plasmite pool …`.

use std::fmt::Write as _;
use std::path::Path;

use plasmite_core::{Client, Error, ErrorKind, Info, Listed, Pool};

use crate::args::{CreateArgs, DeleteArgs, InfoArgs, ListArgs, ResizeArgs};
use crate::errors::{self, Outcome, SUCCESS};
use crate::output::{self, BOLD, DIM, RED, bytes_text, paint, printable};
use crate::pools;
use crate::render::time_text;

pub(crate) fn create(client: &Client, args: &CreateArgs) -> Outcome {
    errors::for_each(&args.names, |name| {
        let pool =
            client.create(name, args.size).map_err(|error| already_there(client, name, error))?;
        let info = pool.info()?;
        let line = if output::stdout_is_terminal() {
            format!(
                "created {}: {} at {}\n",
                printable(name),
                bytes_text(info.size_bytes),
                printable(&info.path.display().to_string())
            )
        } else {
            named_json(&pool_name(name), &info)
        };
        output::write_stdout(line.as_bytes())
    })
}

pub(crate) fn delete(client: &Client, args: &DeleteArgs) -> Outcome {
    errors::for_each(&args.names, |name| {
        let path = client.path_of(name)?;
        check_is_pool(client, name, &path)?;
        client.delete(name).map_err(|error| not_there(client, name, &error))?;
        let line = if output::stdout_is_terminal() {
            format!("deleted {}\n", printable(name))
        } else {
            let told =
                serde_json::json!({"deleted": pool_name(name), "path": path.to_string_lossy()});
            format!("{told}\n")
        };
        output::write_stdout(line.as_bytes())
    })
}

pub(crate) fn resize(client: &Client, args: &ResizeArgs) -> Outcome {
    let name = &args.name;
    let resized = Pool::resize(&client.path_of(name)?, args.size)
        .map_err(|error| pools::explained(client, name, &error))?;
    let (info, dropped) = (&resized.info, resized.dropped);
    let line = if output::stdout_is_terminal() {
        let left = if dropped == 0 { String::new() } else { format!(", {dropped} had no room") };
        format!(
            "resized {} from {} to {}: {}{left}\n",
            printable(name),
            bytes_text(resized.size_before),
            bytes_text(info.size_bytes),
            output::counted(info.bounds.count(), "message stays", "messages stay")
        )
    } else {
        let facts = info.to_json();
        let facts = facts.strip_suffix('}').unwrap_or(&facts);
        let before = resized.size_before;
        let told = format!("{facts},\"size_bytes_before\":{before},\"dropped\":{dropped}}}");
        named(&pool_name(name), &told)
    };
    output::write_stdout(line.as_bytes())?;
    Ok(SUCCESS)
}

pub(crate) fn info(client: &Client, args: &InfoArgs) -> Outcome {
    let info = pools::open_read_only(client, &args.name)?.info()?;
    let text = if args.json || !output::stdout_is_terminal() {
        named_json(&pool_name(&args.name), &info)
    } else {
        info_text(&pool_name(&args.name), &info)
    };
    output::write_stdout(text.as_bytes())?;
    Ok(SUCCESS)
}

pub(crate) fn list(client: &Client, args: &ListArgs) -> Outcome {
    let pools = client.list()?;
    if args.json || !output::stdout_is_terminal() {
        let lines: String = pools.iter().map(listed_json).collect();
        output::write_stdout(lines.as_bytes())?;
    } else if pools.is_empty() {
        output::talk(&format!(
            "no pools in {}; create one: plasmite pool create docs",
            printable(&client.dir().display().to_string())
        ));
    } else {
        output::write_stdout(list_text(&pools, output::stdout_colour()).as_bytes())?;
    }
    Ok(SUCCESS)
}

/// Who wants to delete a pool that is not there does not want to create it.
fn not_there(client: &Client, name: &str, error: &Error) -> Error {
    let explained = pools::explained(client, name, error);
    if explained.hint().is_some_and(|hint| hint.contains(" pool create ")) {
        let option = pools::dir_option(client);
        return explained.with_hint(format!("plasmite{option} pool list shows what is there"));
    }
    explained
}

/// A path may name any file. One that is not called a pool has to be one; a damaged pool is deleted by its name.
fn check_is_pool(client: &Client, name: &str, path: &Path) -> Result<(), Error> {
    if path.extension().is_some_and(|extension| extension == "plasmite") {
        return Ok(());
    }
    match pools::open_read_only(client, name) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Err(error.with_hint("it is not deleted, since it may be something else than a pool"))
        }
        opened => opened.map(drop),
    }
}

fn already_there(client: &Client, name: &str, error: Error) -> Error {
    if error.kind() != ErrorKind::AlreadyExists {
        return error;
    }
    let hint = match client.open_read_only(name) {
        Ok(_) => format!(
            "use it as it is (plasmite{} pool info {name}), or choose another name",
            pools::dir_option(client)
        ),
        Err(unusable) => {
            format!("choose another name, or move it elsewhere: {}", unusable.message())
        }
    };
    error.with_hint(hint)
}

/// The name a reference means: paths and file names lose their directory and extension.
pub(crate) fn pool_name(reference: &str) -> String {
    let file = reference.rsplit('/').next().unwrap_or(reference);
    file.strip_suffix(".plasmite").unwrap_or(file).to_owned()
}

/// The facts as one JSON line that begins with the pool's name.
fn named_json(name: &str, info: &Info) -> String {
    named(name, &info.to_json())
}

/// A JSON object as one line that begins with the pool's name.
pub(crate) fn named(name: &str, object: &str) -> String {
    let rest = object.strip_prefix('{').unwrap_or(object);
    format!("{{\"name\":{},{rest}\n", serde_json::Value::from(name))
}

fn listed_json(pool: &Listed) -> String {
    match &pool.info {
        Ok(info) => named_json(&pool.name, info),
        Err(error) => errors::damaged_json(&pool.name, &pool.path, error),
    }
}

fn list_text(pools: &[Listed], colour: bool) -> String {
    let names: Vec<String> = pools.iter().map(|pool| printable(&pool.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
    let head =
        format!("{:width$}  {:>10}  {:>10}  {:>10}  NEWEST", "NAME", "SIZE", "USED", "MESSAGES");
    let mut out = paint(&head, DIM, colour);
    out.push('\n');
    for (pool, name) in pools.iter().zip(&names) {
        // The padding stays outside of the colour codes, which have no width.
        out.push_str(&paint(name, BOLD, colour));
        out.extend(std::iter::repeat_n(' ', width - name.chars().count() + 2));
        match &pool.info {
            Ok(info) => push_row(&mut out, info),
            Err(error) => {
                let what = format!("{}: {}", error.kind().name(), printable(error.message()));
                out.push_str(&paint(&what, RED, colour));
            }
        }
        out.push('\n');
    }
    out
}

fn push_row(out: &mut String, info: &Info) {
    let newest = info.newest_time.map_or_else(|| "-".to_owned(), time_text);
    // Writing into a String can't fail.
    let _ = write!(
        out,
        "{:>10}  {:>10}  {:>10}  {newest}",
        bytes_text(info.size_bytes),
        bytes_text(info.used_bytes),
        info.bounds.count()
    );
}

fn info_text(name: &str, info: &Info) -> String {
    let colour = output::stdout_colour();
    let messages = if info.bounds.is_empty() {
        "none".to_owned()
    } else {
        format!("{} ({} to {})", info.bounds.count(), info.bounds.oldest, info.bounds.newest)
    };
    let time = |time: Option<_>| time.map_or_else(|| "-".to_owned(), time_text);
    let rows = [
        ("path", printable(&info.path.display().to_string())),
        ("size", format!("{} ({} bytes)", bytes_text(info.size_bytes), info.size_bytes)),
        ("used", format!("{} of {}", bytes_text(info.used_bytes), bytes_text(info.ring_bytes))),
        ("messages", messages),
        ("oldest", time(info.oldest_time)),
        ("newest", time(info.newest_time)),
        ("largest message", bytes_text(info.max_message_bytes)),
        ("created", time_text(info.created)),
        ("format", info.format_version.to_string()),
    ];
    let mut out = paint(&printable(name), BOLD, colour);
    out.push('\n');
    for (label, value) in rows {
        out.push_str(&paint(&format!("  {label:<16}"), DIM, colour));
        out.push_str(&value);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_references_mean() {
        for (reference, name) in [
            ("docs", "docs"),
            ("docs.plasmite", "docs"),
            ("./a/docs.plasmite", "docs"),
            ("a/b", "b"),
        ] {
            assert_eq!(pool_name(reference), name);
        }
    }
}
