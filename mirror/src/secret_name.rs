//! Names of files that hold secrets as a rule.

/// Whole names, in lower case.
const NAMES: [&[u8]; 17] = [
    b".env",
    b".git-credentials",
    b".htpasswd",
    b".netrc",
    b".npmrc",
    b".pgpass",
    b".pypirc",
    b"_netrc",
    b"credentials",
    b"credentials.json",
    b"id_dsa",
    b"id_ecdsa",
    b"id_ed25519",
    b"id_rsa",
    b"kubeconfig",
    b"secrets.yaml",
    b"secrets.yml",
];
/// What ends the names of keys and of their stores.
const ENDINGS: [&[u8]; 9] =
    [b".env", b".key", b".pem", b".p12", b".pfx", b".jks", b".keystore", b".kdbx", b".ppk"];
/// What ends the names of patterns that others fill in.
const SAMPLES: [&[u8]; 5] = [b".example", b".sample", b".template", b".dist", b".defaults"];

/// Whether the file at this path holds secrets as a rule: passwords, tokens, private keys.
///
/// ```
/// use vdom_mirror::looks_secret;
///
/// assert!(looks_secret(b"deploy/.env.production") && looks_secret(b"ID_RSA"));
/// assert!(!looks_secret(b".env.example") && !looks_secret(b"id_rsa.pub"));
/// ```
pub fn looks_secret(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path).to_ascii_lowercase();
    if SAMPLES.iter().any(|ending| name.ends_with(ending)) {
        return false;
    }
    name.starts_with(b".env.")
        || NAMES.iter().any(|secret| name == *secret)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}
