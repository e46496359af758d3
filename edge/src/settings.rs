//! Settings of a program: from a file, then the environment, then flags; later
//! ones win. A key that no setting has is refused, with the nearest one that
//! exists.

mod deserialize;
mod sections;
mod tree;
mod units;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use vdom_core::{Error, Result};

pub use sections::{AuthConfig, LogConfig};
pub use units::{ByteSize, Interval};

use tree::Tree;

/// The largest settings file.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Where settings come from; the later wins: the file, the environment, the command line.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// TOML (`.toml`) or YAML (`.yaml`, `.yml`).
    pub file: Option<PathBuf>,
    /// The environment, usually `std::env::vars()`.
    pub environment: Vec<(String, String)>,
    /// What the variables that are settings begin with: with `VDOM`,
    /// `VDOM_LISTEN__GRPC` is `listen.grpc` and `VDOM__DEV` is `dev`. Variables
    /// without `__` are no settings.
    pub prefix: String,
    /// Dotted keys, such as `listen.grpc`, to their values.
    pub flags: BTreeMap<String, String>,
}

/// Loads settings. Sections are structs with `#[serde(default)]`; `flatten`
/// would hide their keys and is not supported. Errors name source, key and
/// nearest valid key.
pub fn load<T: DeserializeOwned>(sources: &Sources) -> Result<T> {
    let mut tree = Tree::default();
    if let Some(path) = &sources.file {
        tree.merge(tree::from_file(path, FILE_MAX_BYTES)?);
    }
    for (name, value) in &sources.environment {
        if let Some(key) = environment_key(&sources.prefix, name) {
            let origin = format!("environment variable {name}");
            tree.merge(Tree::from_text(&key, value, &origin));
        }
    }
    for (key, value) in &sources.flags {
        tree.merge(Tree::from_text(key, value, &format!("flag {key}")));
    }
    deserialize::from_tree(tree).map_err(Error::invalid)
}

/// The dotted key of a variable that is a setting.
fn environment_key(prefix: &str, name: &str) -> Option<String> {
    let key = name.strip_prefix(prefix)?.strip_prefix('_')?;
    match key.strip_prefix('_') {
        Some(top) => Some(top.to_ascii_lowercase().replace("__", ".")),
        None => key.contains("__").then(|| key.to_ascii_lowercase().replace("__", ".")),
    }
}

#[cfg(test)]
mod tests;
