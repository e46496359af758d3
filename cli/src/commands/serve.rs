//! What the serving verbs share: settings, logs, signals, addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use vdom_core::Error;
use vdom_edge::observe::logging;
use vdom_edge::settings::Sources;

use crate::exit::{Exit, Failure};

/// Where settings come from.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsOptions {
    /// File with settings: TOML or YAML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting by its name in the file, such as `limits.drain_seconds=30`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
}

impl SettingsOptions {
    /// True where none is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.config.is_none() && self.settings.is_empty()
    }

    /// The file, then the environment, then `--set`, then the verb's own flags;
    /// later ones win.
    pub(crate) fn sources(
        self,
        prefix: &str,
        flags: impl IntoIterator<Item = (&'static str, Option<String>)>,
    ) -> Sources {
        let named = self.settings.into_iter();
        let own = flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Sources {
            file: self.config,
            environment: std::env::vars().collect(),
            prefix: prefix.to_owned(),
            flags: named.chain(own).collect::<BTreeMap<_, _>>(),
        }
    }
}

/// A path as a setting.
pub(crate) fn path_setting(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

/// Paths as one setting; `None` where there are none.
pub(crate) fn paths_setting(paths: &[PathBuf]) -> Option<String> {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    (!paths.is_empty()).then(|| paths.join(","))
}

/// A failure of settings is wrong usage.
pub(crate) fn wrong_settings(error: Error) -> Failure {
    Failure::new(Exit::Usage, error.message)
}

/// Why a server did not start, or did not end well.
pub(crate) fn not_started(error: Error) -> Failure {
    Failure { exit: Exit::Failed, ..error.into() }
}

/// Sends the log of this process to standard error.
pub(crate) fn install_log(format: &str, filter: &str) -> Result<(), Failure> {
    let format = format.parse().map_err(wrong_settings)?;
    logging::install(format, filter).map_err(wrong_settings)
}

/// The wish to end, as SIGINT or SIGTERM; listens from the call on.
pub(crate) fn termination() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Reads `HOST:PORT`, or a port of this machine; port 0 lets the system choose.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| "give IP:PORT such as 127.0.0.1:50051, or a port alone".to_owned())
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE, such as limits.drain_seconds=30".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_port_or_both_parts() {
        let parsed = |text: &str| parse_address(text).map(|address| address.to_string());
        assert_eq!(parsed("8080"), Ok("127.0.0.1:8080".to_owned()));
        assert_eq!(parsed("0.0.0.0:1"), Ok("0.0.0.0:1".to_owned()));
        assert_eq!(parsed("[::1]:1"), Ok("[::1]:1".to_owned()));
        assert!(parsed("localhost").is_err_and(|problem| problem.contains("IP:PORT")));
    }

    #[test]
    fn own_flags_win_over_settings_by_name() {
        let options = SettingsOptions {
            config: None,
            settings: vec![parse_setting("dev=false").expect("a setting")],
        };
        let sources =
            options.sources("VDOM_GATEWAY", [("dev", Some("true".to_owned())), ("x", None)]);
        assert_eq!(sources.flags, BTreeMap::from([("dev".to_owned(), "true".to_owned())]));
        assert!(parse_setting("dev").is_err());
    }
}
