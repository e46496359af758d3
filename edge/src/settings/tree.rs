//! Settings before they have types, each with the place that it came from.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use vdom_core::{Error, Result};

/// A setting, or a section of them.
#[derive(Debug)]
pub(super) enum Tree {
    Section(BTreeMap<String, Tree>),
    List(Vec<Tree>),
    Leaf { value: Leaf, origin: Arc<str> },
}

/// A value: a file's has a type, the others' are text for any type.
#[derive(Debug)]
pub(super) enum Leaf {
    Typed(Value),
    Text(String),
}

impl Default for Tree {
    fn default() -> Self {
        Self::Section(BTreeMap::new())
    }
}

impl Tree {
    /// One setting by its dotted key.
    pub(super) fn from_text(key: &str, value: &str, origin: &str) -> Self {
        let leaf = Self::Leaf { value: Leaf::Text(value.to_owned()), origin: Arc::from(origin) };
        key.rsplit('.').fold(leaf, |below, segment| {
            Self::Section(BTreeMap::from([(segment.to_owned(), below)]))
        })
    }

    /// Lays `over` on top: its values win, sections are joined.
    pub(super) fn merge(&mut self, over: Self) {
        match (self, over) {
            (Self::Section(below), Self::Section(over)) => {
                for (key, value) in over {
                    match below.get_mut(&key) {
                        Some(present) => present.merge(value),
                        None => {
                            below.insert(key, value);
                        }
                    }
                }
            }
            (below, over) => *below = over,
        }
    }

    /// Where the first value in it came from.
    pub(super) fn origin(&self) -> Option<&str> {
        match self {
            Self::Leaf { origin, .. } => Some(origin),
            Self::Section(section) => section.values().find_map(Self::origin),
            Self::List(items) => items.iter().find_map(Self::origin),
        }
    }

    fn from_value(value: Value, origin: &Arc<str>) -> Self {
        match value {
            Value::Object(section) => Self::Section(
                section
                    .into_iter()
                    .map(|(key, value)| (key, Self::from_value(value, origin)))
                    .collect(),
            ),
            Value::Array(items) => {
                Self::List(items.into_iter().map(|item| Self::from_value(item, origin)).collect())
            }
            value => Self::Leaf { value: Leaf::Typed(value), origin: Arc::clone(origin) },
        }
    }
}

/// Reads a TOML or YAML file, told apart by its name.
pub(super) fn from_file(path: &Path, max_bytes: u64) -> Result<Tree> {
    let refused = |why: String| Error::invalid(format!("settings file {}: {why}", path.display()));
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_string(&mut text))
        .map_err(|error| refused(error.to_string()))?;
    if text.len() as u64 > max_bytes {
        return Err(refused(format!("is larger than {max_bytes} bytes")));
    }
    let value = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => {
            toml::from_str(&text).map_err(|error| refused(toml_refusal(&text, &error)))?
        }
        // An empty document has no settings.
        Some("yaml" | "yml") => match serde_saphyr::from_str(&text) {
            Ok(Value::Null) => Value::Object(serde_json::Map::new()),
            Ok(value) => value,
            Err(error) => return Err(refused(error.without_snippet().to_string())),
        },
        _ => return Err(refused("its name must end with .toml, .yaml or .yml".to_owned())),
    };
    if !value.is_object() {
        return Err(refused("must hold sections of keys and values".to_owned()));
    }
    Ok(Tree::from_value(value, &Arc::from(format!("settings file {}", path.display()))))
}

/// The error in one line; by itself it quotes the file over several.
fn toml_refusal(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line} column {column}: {}", error.message())
}
