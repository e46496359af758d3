//! Clients in other languages.

use std::path::PathBuf;

use tokio::process::Command;

use crate::workspace_root;

/// The interpreter that has the packages of the Python clients.
pub struct Python {
    interpreter: PathBuf,
}

/// The Python clients' interpreter; the reason where `make bootstrap` has not installed it.
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

/// A program in `PATH`; the reason where it is missing.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{name} is not installed: run `make bootstrap`"))
}

impl Python {
    /// A file of `tests/clients/python`, without arguments yet.
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        let folder = workspace_root().join("tests/clients/python");
        command.arg(folder.join(name)).kill_on_drop(true);
        command
    }
}
