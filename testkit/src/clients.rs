//! Clients in other languages.

use std::path::PathBuf;

use tokio::process::Command;

use crate::workspace_root;

/// The Python client, with the interpreter that has its packages.
pub struct Python {
    interpreter: PathBuf,
}

/// The Python client; the reason where `make bootstrap` has not installed it.
pub fn python() -> Result<Python, String> {
    let interpreter = tool("venv/bin/python3")?;
    Ok(Python { interpreter })
}

/// A program or file below the folder of tools; the reason where it is missing.
pub fn tool(path: &str) -> Result<PathBuf, String> {
    let tools = std::env::var_os("VDOM_TOOLS")
        .ok_or("VDOM_TOOLS is not set: run `make test-integration`")?;
    let tool = PathBuf::from(tools).join(path);
    if tool.exists() { Ok(tool) } else { Err(format!("{path} is missing: run `make bootstrap`")) }
}

impl Python {
    /// `client.py`, without arguments yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg(workspace_root().join("tests/clients/python/client.py")).kill_on_drop(true);
        command
    }
}
