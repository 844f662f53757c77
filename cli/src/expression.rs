//! `--where`: an expression of the jq language that chooses messages.

use jaq_core::ValT as _;
use jaq_core::compile::Undefined;
use jaq_core::data::JustLut;
use jaq_core::load::{Arena, Error as LoadError, File, Loader, span};
use jaq_core::{Compiler, Ctx, Filter, Vars};
use jaq_json::{Val, read};
use plasmite_core::{Error, Message};

/// The longest expression: the parser goes one level down for each bracket, on a stack of 8 MiB.
const MAX_BYTES: usize = 4096;

/// Compiled expressions, all of which have to accept a message.
pub(crate) struct Expression {
    filters: Vec<Filter<JustLut<Val>>>,
    /// The envelope as text, whose memory is used again.
    envelope: String,
}

impl Expression {
    /// Compiles the expressions; None when there are none. Usage when one is not of jq's.
    pub(crate) fn compile_all(codes: &[String]) -> Result<Option<Self>, Error> {
        let filters: Vec<_> =
            codes.iter().map(|code| Self::compile(code)).collect::<Result<_, _>>()?;
        Ok((!filters.is_empty()).then(|| Self { filters, envelope: String::new() }))
    }

    fn compile(code: &str) -> Result<Filter<JustLut<Val>>, Error> {
        if code.len() > MAX_BYTES {
            let length = code.len();
            return Err(Error::usage(format!(
                "the --where expression may have {MAX_BYTES} bytes, this one has {length}"
            )));
        }
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules =
            Loader::new(defs).load(&arena, File { code, path: () }).map_err(|errors| {
                let error = errors.into_iter().next();
                wrong(error.map_or_else(String::new, |(file, error)| syntax(file.code, error)))
            })?;
        Compiler::default().with_funs(funs).compile(modules).map_err(|errors| {
            let error = errors.into_iter().find_map(|(file, errors)| {
                errors.into_iter().next().map(|error| (file.code, error))
            });
            wrong(error.map_or_else(String::new, |(code, error)| unknown(code, error)))
        })
    }

    /// True when each expression gives anything but false and null for the message's envelope. Err: why one could
    /// not be applied to this message.
    pub(crate) fn accepts(&mut self, message: &Message) -> Result<bool, String> {
        self.envelope.clear();
        message.write_json(&mut self.envelope);
        self.accepts_json(self.envelope.as_bytes())
    }

    fn accepts_json(&self, envelope: &[u8]) -> Result<bool, String> {
        let envelope = read::parse_single(envelope).map_err(|e| e.to_string())?;
        for filter in &self.filters {
            if !holds(filter, envelope.clone())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn holds(filter: &Filter<JustLut<Val>>, envelope: Val) -> Result<bool, String> {
    let context = Ctx::<JustLut<Val>>::new(&filter.lut, Vars::new([]));
    for value in filter.id.run((context, envelope)) {
        match value {
            Ok(value) if value.as_bool() => return Ok(true),
            Ok(_) => {}
            Err(exception) => {
                let error = exception.get_err().map(|error| error.to_string());
                return Err(error.unwrap_or_else(|_| "the expression halted".to_owned()));
            }
        }
    }
    Ok(false)
}

fn wrong(why: String) -> Error {
    Error::usage(format!("the --where expression is not one of jq: {why}"))
        .with_hint("write it for the envelope, as in '.data.kind == \"note\" and .seq > 10'")
}

fn syntax(code: &str, error: LoadError<&str>) -> String {
    match error {
        LoadError::Io(errors) => errors.into_iter().next().map(|(_, why)| why),
        LoadError::Lex(errors) => {
            errors.into_iter().next().map(|(wanted, found)| expected(code, wanted.as_str(), found))
        }
        LoadError::Parse(errors) => {
            errors.into_iter().next().map(|(wanted, found)| expected(code, wanted.as_str(), found))
        }
    }
    .unwrap_or_default()
}

fn expected(code: &str, wanted: &str, found: &str) -> String {
    let at = span(code, found).start;
    match found.chars().next() {
        Some(c) => format!("expected {wanted} at byte {at}, found {c:?}"),
        None => format!("expected {wanted} at its end"),
    }
}

fn unknown(code: &str, (name, kind): (&str, Undefined)) -> String {
    format!("unknown {} {name:?} at byte {}", kind.as_str(), span(code, name).start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &[u8] = br#"{"seq":7,"time":"2026-03-01T12:00:00.000000000Z","meta":{"tags":["a","b"]},"data":{"kind":"note","n":3,"list":[1,2],"big":12345678901234567890123}}"#;

    fn accepts(code: &str) -> Result<bool, String> {
        let expressions = Expression::compile_all(&[code.to_owned()]).unwrap();
        expressions.unwrap().accepts_json(ENVELOPE)
    }

    #[test]
    fn the_envelope_is_looked_at_with_jq() {
        for code in [
            ".data.kind == \"note\"",
            ".seq > 6 and .data.n <= 3",
            ".meta.tags | index(\"b\")",
            ".data.list | any(. == 2)",
            ".data.kind | test(\"^no\")",
            ".data | has(\"n\")",
            "(.data.list | length) == 2",
            ".time < \"2026-03-02\"",
            ".data.list[] | select(. == 2)",
            "def twice(f): f * 2; twice(.data.n) == 6",
            "(.time[:19] + \"Z\" | fromdateiso8601) > 0",
            ".data.big == 12345678901234567890123",
        ] {
            assert_eq!(accepts(code), Ok(true), "{code}");
        }
        for code in [".data.kind == \"x\"", "false", "null", "empty", ".seq > 7"] {
            assert_eq!(accepts(code), Ok(false), "{code}");
        }
    }

    #[test]
    fn several_expressions_must_all_hold() {
        for (codes, holds) in [
            (["true", ".seq == 7"], true),
            (["false", "true"], false),
            ([".data.n == 3", "null"], false),
        ] {
            let codes = codes.map(str::to_owned);
            let all = Expression::compile_all(&codes).unwrap().unwrap();
            assert_eq!(all.accepts_json(ENVELOPE), Ok(holds), "{codes:?}");
        }
        assert!(Expression::compile_all(&[]).unwrap().is_none());
    }

    #[test]
    fn a_missing_key_is_null() {
        assert_eq!(accepts(".data.none"), Ok(false));
        assert_eq!(accepts(".data.none.deeper.still == null"), Ok(true));
        assert_eq!(accepts(".data.none > 3"), Ok(false));
    }

    #[test]
    fn what_can_not_be_applied_is_told() {
        assert!(accepts(".data.kind.deeper").is_err());
        assert!(accepts("error(\"no\")").is_err());
        assert!(accepts("halt").is_err());
    }

    #[test]
    fn what_is_not_jq_is_a_usage_error_with_the_place() {
        for (code, what) in [
            ("", "expected"),
            (".data.", "at its end"),
            (".a ==", "at its end"),
            ("(.a", "at its end"),
            (".a )", "at byte 3"),
            ("nothing(1)", "unknown filter"),
            ("$x", "unknown variable"),
            ("include \"a\"; .", ""),
        ] {
            let error = Expression::compile(code).err().unwrap_or_else(|| panic!("{code:?}"));
            assert!(error.message().contains(what), "{code:?}: {error}");
        }
    }
}
