//! Keys and tokens of tests.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use vdom_core::RealmName;
use vdom_core::access::Scopes;
use vdom_edge::token::{Grant, TokenIssuer, generate_key_pair};

pub const ISSUER: &str = "https://issuer.test";
pub const AUDIENCE: &str = "vdom-test";

/// An Ed25519 key pair in a folder of its own.
pub struct Keys {
    folder: TempDir,
}

impl Keys {
    pub fn generate() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Self { folder };
        generate_key_pair(&keys.private(), &keys.public()).expect("a key pair");
        keys
    }

    pub fn private(&self) -> PathBuf {
        self.folder.path().join("private.pem")
    }

    pub fn public(&self) -> PathBuf {
        self.folder.path().join("public.pem")
    }

    /// A token of the realm `default`.
    pub fn token(&self, subject: &str, scopes: &str) -> String {
        self.token_for(subject, scopes, "default")
    }

    pub fn token_for(&self, subject: &str, scopes: &str, realm: &str) -> String {
        self.token_until(subject, scopes, realm, SystemTime::now(), Duration::from_secs(3_600))
    }

    pub fn token_until(
        &self,
        subject: &str,
        scopes: &str,
        realm: &str,
        from: SystemTime,
        lifetime: Duration,
    ) -> String {
        let mint = TokenIssuer::from_file(&self.private(), ISSUER, AUDIENCE).expect("a mint");
        let grant = Grant {
            subject: subject.to_owned(),
            realm: Some(RealmName::parse(realm).expect("valid")),
            scopes: Scopes::parse(scopes),
            lifetime,
        };
        mint.mint(&grant, from).expect("a token")
    }
}
