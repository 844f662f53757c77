//! Manifests, parsed into what can be played: whatever is wrong with one is found before its first step.

mod action;
mod strict;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use action::{Action, Append, AppendMany, AppendStream, Reading, Spawn, Writer};
pub(crate) use text::Text;

use crate::expect::Expect;

/// A surface of Plasmite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SurfaceName {
    Rust,
    Python,
    Command,
    Mount,
}

impl SurfaceName {
    pub(crate) const ALL: [Self; 4] = [Self::Rust, Self::Python, Self::Command, Self::Mount];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Command => "command",
            Self::Mount => "mount",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|surface| surface.as_str() == name)
    }
}

impl fmt::Display for SurfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why surfaces can't express something.
pub(crate) type NotOn = BTreeMap<SurfaceName, String>;

/// A manifest whose every step is understood.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    /// The pool directory, beside the manifest.
    pub(crate) workdir: PathBuf,
    /// The surfaces that can't play it at all.
    pub(crate) not_on: NotOn,
    pub(crate) steps: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    /// `step 3 (its id)`, as failures call it.
    pub(crate) label: String,
    id: Option<String>,
    pub(crate) action: Action,
    /// The surfaces that leave it out.
    pub(crate) not_on: NotOn,
    expect: Expect,
    expect_on: BTreeMap<SurfaceName, Differing>,
}

/// What a surface gives that differs from all others by design.
#[derive(Debug)]
pub(crate) struct Differing {
    pub(crate) because: String,
    pub(crate) expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    conformance_version: u64,
    name: String,
    workdir: String,
    #[serde(default, rename = "about")]
    _about: Option<String>,
    #[serde(default)]
    not_on: NotOn,
    steps: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    op: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    pool: Option<String>,
    #[serde(default, rename = "about")]
    _about: Option<String>,
    #[serde(default)]
    input: Map<String, Value>,
    #[serde(default)]
    expect: Map<String, Value>,
    #[serde(default)]
    not_on: NotOn,
    #[serde(default)]
    expect_on: BTreeMap<SurfaceName, RawDiffering>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDiffering {
    because: String,
    expect: Map<String, Value>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// What is wrong with it, with the manifest's path and the step.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let at = |what: String| format!("{}: {what}", path.display());
        let text = std::fs::read(path).map_err(|e| at(e.to_string()))?;
        let absolute = std::path::absolute(path).map_err(|e| at(e.to_string()))?;
        let beside = absolute.parent().ok_or_else(|| at("it has no directory".into()))?;
        Self::parse(&text, beside).map_err(at)
    }

    fn parse(text: &[u8], beside: &Path) -> Result<Self, String> {
        let value = strict::parse(text).map_err(|e| format!("not JSON: {e}"))?;
        match value.get("conformance_version") {
            Some(version) if *version == 0 => {}
            Some(version) => return Err(format!("conformance_version={version}: must be 0")),
            None => return Err("conformance_version is missing".into()),
        }
        let raw: RawManifest = from_value(value)?;
        debug_assert_eq!(raw.conformance_version, 0);
        check_reasons(&raw.not_on)?;
        let workdir = workdir(beside, &raw.workdir)?;
        let mut ids = BTreeSet::new();
        let mut steps = Vec::with_capacity(raw.steps.len());
        for (index, source) in raw.steps.into_iter().enumerate() {
            let step = Step::parse(index, source)?;
            if step.id.as_ref().is_some_and(|id| !ids.insert(id.clone())) {
                return Err(format!("{}: the id is there twice", step.label));
            }
            steps.push(step);
        }
        if steps.is_empty() {
            return Err("a manifest without steps".into());
        }
        Ok(Self { name: raw.name, workdir, not_on: raw.not_on, steps })
    }

    /// True when a step changes the modes of files.
    pub(crate) fn changes_modes(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::Chmod { .. }))
    }
}

impl Step {
    /// Checks one step of a manifest.
    pub(crate) fn parse(index: usize, source: Value) -> Result<Self, String> {
        let word = |key: &str| source.get(key).and_then(Value::as_str);
        let label = format!("step {index} ({})", word("id").or(word("op")).unwrap_or("?"));
        let label_of = |what: String| format!("{label}: {what}");
        let raw: RawStep = from_value(source).map_err(label_of)?;
        let action = Action::parse(&raw.op, raw.pool, raw.input).map_err(label_of)?;
        let expect = Expect::parse(&raw.op, raw.expect).map_err(label_of)?;
        check_reasons(&raw.not_on).map_err(label_of)?;
        let mut expect_on = BTreeMap::new();
        for (surface, RawDiffering { because, expect }) in raw.expect_on {
            check_reason(surface, &because).map_err(label_of)?;
            let expect = Expect::parse(&raw.op, expect).map_err(label_of)?;
            if raw.not_on.contains_key(&surface) {
                return Err(label_of(format!("{surface} is in not_on and in expect_on")));
            }
            expect_on.insert(surface, Differing { because, expect });
        }
        Ok(Self { label, id: raw.id, action, not_on: raw.not_on, expect, expect_on })
    }

    /// What the step must give on all surfaces that don't differ.
    pub(crate) fn expect(&self) -> &Expect {
        &self.expect
    }

    /// What it must give on this surface, if that differs.
    pub(crate) fn differing(&self, surface: SurfaceName) -> Option<&Differing> {
        self.expect_on.get(&surface)
    }
}

/// A value as what it should be.
pub(crate) fn from_value<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|e| e.to_string())
}

fn check_reasons(not_on: &NotOn) -> Result<(), String> {
    not_on.iter().try_for_each(|(surface, reason)| check_reason(*surface, reason))
}

fn check_reason(surface: SurfaceName, reason: &str) -> Result<(), String> {
    if reason.trim().is_empty() {
        return Err(format!("{surface}: the reason is missing"));
    }
    Ok(())
}

/// The workdir, which the runner empties: it must lie below the manifest's directory.
fn workdir(beside: &Path, given: &str) -> Result<PathBuf, String> {
    let escapes = || format!("workdir={given:?} must lie beside the manifest");
    let path = Path::new(given);
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
    if given.is_empty() || !is_below {
        return Err(escapes());
    }
    let whole = beside.join(path);
    // A link in it could lead anywhere.
    let real = |path: &Path| path.canonicalize().map_err(|e| format!("{}: {e}", path.display()));
    let there = whole.ancestors().find(|dir| dir.symlink_metadata().is_ok()).unwrap_or(beside);
    if !real(there)?.starts_with(real(beside)?) {
        return Err(escapes());
    }
    Ok(whole)
}
