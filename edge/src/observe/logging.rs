//! Logs: JSON for machines or lines for people, on standard error.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use vdom_core::{Error, Result};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people, in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(Error::invalid(format!("log format {name:?} is neither `human` nor `json`"))),
        }
    }
}

/// Sets up logging for the whole process, once. `filter` is a level such as
/// `info`, or directives such as `info,vdom::access=warn`.
pub fn install(format: Format, filter: &str) -> Result<()> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| Error::invalid(format!("log filter {filter:?}: {error}")))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let installed = match format {
        Format::Human => registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init(),
        Format::Json => {
            registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init()
        }
    };
    installed.map_err(|error| Error::invalid(format!("logging is set up already: {error}")))
}
