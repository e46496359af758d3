//! The directory of a machine's own gateway: its store and its signing key.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vdom_core::access::Scope;
use vdom_core::time;
use vdom_edge::token::{Grant, TokenIssuer, generate_key_pair};

use crate::exit::{Exit, Failure};

/// Who signs the tokens of such a gateway.
pub(crate) const ISSUER: &str = "vdom";
/// The audience of these tokens.
pub(crate) const AUDIENCE: &str = "vdom";

/// Which directory.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DataOptions {
    /// Directory of the gateway's store and signing key [default: `vdom` in
    /// `XDG_DATA_HOME`, else in ~/.local/share]
    #[arg(long, env = "VDOM_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataOptions {
    /// The directory, whether it exists or not.
    pub(crate) fn directory(&self) -> Result<DataDirectory, Failure> {
        let from_environment =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = match (&self.data, from_environment("XDG_DATA_HOME"), from_environment("HOME")) {
            (Some(data), ..) => data.clone(),
            (None, Some(data_home), _) => Path::new(&data_home).join("vdom"),
            (None, None, Some(home)) => Path::new(&home).join(".local/share/vdom"),
            (None, None, None) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "neither HOME nor XDG_DATA_HOME is set: name a directory with --data",
                ));
            }
        };
        // Printed paths are pasted elsewhere.
        let root = std::path::absolute(&root).map_err(|error| {
            Failure::failed(format!("{} is no directory: {error}", root.display()))
        })?;
        Ok(DataDirectory { root })
    }
}

/// The directory of a machine's own gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataDirectory {
    root: PathBuf,
}

impl DataDirectory {
    /// Makes what is missing: the directory, for its owner alone, and the keys.
    pub(crate) fn prepare(&self) -> Result<(), Failure> {
        let keys = self.root.join("keys");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&keys)
            .and_then(|()| fs::set_permissions(&keys, Permissions::from_mode(0o700)))
            .map_err(|error| {
                Failure::failed(format!("cannot make {}: {error}", keys.display()))
                    .advice("name another directory with --data")
            })?;
        match (self.private_key().exists(), self.public_key().exists()) {
            (true, true) => Ok(()),
            (false, false) => Ok(generate_key_pair(&self.private_key(), &self.public_key())?),
            (true, false) | (false, true) => Err(Failure::failed(format!(
                "{} holds one half of a key pair",
                keys.display()
            ))
            .advice(
                "bring the other half back; or delete this one, and every token that it signed \
                 ends",
            )),
        }
    }

    /// Replaces the sidecar's own token by one of `lifetime`.
    pub(crate) fn renew_sidecar_token(&self, lifetime: Duration) -> Result<(), Failure> {
        let token = self.mint(&Grant {
            subject: "sidecar".to_owned(),
            realm: None,
            scopes: [Scope::Read].into_iter().collect(),
            lifetime,
        })?;
        // Whoever reads the file sees one token or the other, never a part.
        let file = self.sidecar_token();
        let fresh = file.with_extension("new");
        write_private(&fresh, &token)
            .and_then(|()| fs::rename(&fresh, &file))
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))
    }

    /// Signs a token with the key of this directory.
    pub(crate) fn mint(&self, grant: &Grant) -> Result<String, Failure> {
        mint(&self.private_key(), ISSUER, AUDIENCE, grant)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the embedded store.
    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Where the sidecar's own token is.
    pub(crate) fn sidecar_token(&self) -> PathBuf {
        self.root.join("keys/sidecar.token")
    }

    /// Where the sidecar's socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("sidecar.sock")
    }

    /// What tokens are signed with.
    pub(crate) fn private_key(&self) -> PathBuf {
        self.root.join("keys/private.pem")
    }

    /// What tokens are checked with.
    pub(crate) fn public_key(&self) -> PathBuf {
        self.root.join("keys/public.pem")
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// When a token ends that is minted now, as people read it.
pub(crate) fn expires_at(lifetime: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let end = now.saturating_add(lifetime).as_millis();
    time::format_seconds(i64::try_from(end).unwrap_or(i64::MAX))
}

/// Signs a token with the key in a file.
pub(crate) fn mint(
    key: &Path,
    issuer: &str,
    audience: &str,
    grant: &Grant,
) -> Result<String, Failure> {
    Ok(TokenIssuer::from_file(key, issuer, audience)?.mint(grant, SystemTime::now())?)
}

#[cfg(test)]
mod tests {
    use vdom_core::access::Scopes;

    use super::*;

    fn data(root: &Path) -> DataDirectory {
        DataOptions { data: Some(root.join("data")) }.directory().expect("named")
    }

    #[test]
    fn keys_are_made_once_and_for_the_owner_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let data = data(root.path());
        data.prepare().expect("made");
        let key = fs::read(data.private_key()).expect("readable");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(
            (mode(&data.private_key()), mode(&root.path().join("data/keys"))),
            (0o600, 0o700)
        );
        data.prepare().expect("kept");
        assert_eq!(fs::read(data.private_key()).expect("readable"), key);
    }

    #[test]
    fn half_a_key_pair_is_not_replaced() {
        let root = tempfile::tempdir().expect("a directory");
        let data = data(root.path());
        data.prepare().expect("made");
        fs::remove_file(data.public_key()).expect("removed");
        let failure = data.prepare().expect_err("half a pair");
        assert!(failure.message.contains("one half"), "{failure}");
        assert!(data.private_key().exists());
    }

    #[test]
    fn a_token_needs_a_key() {
        let root = tempfile::tempdir().expect("a directory");
        let data = data(root.path());
        let grant = Grant {
            subject: "me".to_owned(),
            realm: None,
            scopes: Scopes::all(),
            lifetime: Duration::from_secs(60),
        };
        let failure = data.mint(&grant).expect_err("no key");
        assert!(failure.message.contains("private.pem"), "{failure}");
        data.prepare().expect("made");
        assert_eq!(data.mint(&grant).expect("minted").split('.').count(), 3);
    }
}
