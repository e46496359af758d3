//! Settings that are unknown, wrong, or do not fit together.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::keys::Keys;
use vdom_testkit::process::command;

use super::{FAILED, WRONG_USAGE, gateway, refused};
use crate::cli::{finish, text};

fn file(folder: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("written");
    path
}

/// `vdom gateway` with nothing but this file.
fn with_file(path: &Path) -> Command {
    let mut command = command(["gateway", "--config", text(path)]);
    command.env_clear();
    command
}

#[tokio::test]
async fn a_settings_file_that_is_wrong_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content, words) in [
        ("a.toml", "[listen]\ngprc = \"x\"", &["`listen.gprc`", "`listen.grpc`"][..]),
        ("b.yaml", "store:\n  pth: x", &["`store.pth`", "`store.path`"]),
        ("c.toml", "devv = true", &["`devv`", "`dev`"]),
        ("d.toml", "[listen]\ngrpc = 7", &["`listen.grpc`", "7", "address"]),
        ("e.toml", "[store]\nkind = \"cassandra\"", &["`store.kind`", "cassandra", "`embedded`"]),
        ("f.toml", "[limits]\ndrain_seconds = -1", &["`limits.drain_seconds`", "-1"]),
        ("g.toml", "dev = true\n[listen", &["line 2 column 8"]),
        ("h.yaml", "a: 1\n  b: 2", &["line 2"]),
        ("i.yaml", "dev: true\ndev: false", &["line 2", "duplicate", "dev"]),
        ("j.json", "{}", &[".toml, .yaml or .yml"]),
        ("k.toml", "realms = []", &["`realms` is empty"]),
        ("l.toml", "realms = [\"a/b\"]", &["realm", "'/' at byte 1"]),
        ("m.toml", "[log]\nformat = \"xml\"", &["xml", "`human`", "`json`"]),
        ("n.toml", "[log]\nfilter = \"vdom=loud\"", &["loud"]),
        ("o.toml", "[limits]\nmax_concurrent_streams = 10001", &["10001", "10000"]),
    ] {
        let path = file(&folder, name, content);
        let ran = refused(content, with_file(&path), WRONG_USAGE, words).await;
        // A key is found in its file; what does not fit together is the whole's.
        if words[0].starts_with("line") || content.contains("gprc") {
            assert!(ran.stderr.contains(name), "{}", ran.stderr);
        }
    }
    let missing = folder.path().join("missing.toml");
    refused("no file", with_file(&missing), WRONG_USAGE, &["missing.toml", "No such file"]).await;
}

#[tokio::test]
async fn a_variable_that_is_no_setting_is_refused_with_the_nearest_one() {
    let mut command = gateway(&["--dev", "--store", "memory"]);
    command.env("VDOM_GATEWAY__LISTEN__GPRC", "127.0.0.1:0");
    let words = ["VDOM_GATEWAY__LISTEN__GPRC", "`listen.gprc`", "`listen.grpc`"];
    refused("a variable", command, WRONG_USAGE, &words).await;
}

#[tokio::test]
async fn keys_that_cannot_check_tokens_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate();
    let short = file(&folder, "short", "secret");
    let garbage = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let garbage = file(&folder, "garbage.pem", garbage);
    let missing = folder.path().join("missing.pem");
    let jwks = file(&folder, "jwks.json", "{\"keys\":[]}");
    let key = |path: &Path| vec!["--key".to_owned(), path.display().to_string()];
    let set = |setting: String| vec!["--set".to_owned(), setting];
    for (what, arguments, words) in [
        ("no key", vec![], &["no key to check tokens with", "key file", "dev mode"][..]),
        ("no file", key(&missing), &["missing.pem", "No such file"]),
        ("a private key", key(&keys.private()), &["private.pem", "private key"]),
        ("a short secret", key(&short), &["short", "6 bytes", "32"]),
        ("no key in it", key(&garbage), &["garbage.pem", "public key"]),
        ("an empty set", set(format!("auth.jwks_file={}", jwks.display())), &["jwks.json"]),
        ("no https", set("auth.jwks_url=http://issuer.test/".to_owned()), &["must be https"]),
    ] {
        let mut command = gateway(&["--store", "memory"]);
        command.args(arguments);
        refused(what, command, FAILED, words).await;
    }
    let mut nameless = gateway(&["--store", "memory", "--set", "auth.audience="]);
    nameless.arg("--key").arg(keys.public());
    refused("no audience", nameless, FAILED, &["issuer", "audience"]).await;
}

#[tokio::test]
async fn what_browsers_and_tls_need_is_checked() {
    let missing = ["--set", "tls.certificates=none.pem", "--set", "tls.key=none.pem"];
    for (what, arguments, words) in [
        ("no certificates", &missing[..], &["certificates", "none.pem"][..]),
        ("no origin", &["--set", "web.origins=app.example.com"], &["app.example.com", "https://"]),
    ] {
        let mut command = gateway(&["--dev", "--store", "memory"]);
        command.args(arguments);
        refused(what, command, FAILED, words).await;
    }
    let open = gateway(&["--dev", "--store", "memory", "--http", "0.0.0.0:0"]);
    let ran = finish(open, b"").await;
    ran.refused(WRONG_USAGE, &["--http"]);
}

#[tokio::test]
async fn a_taken_port_is_named_and_the_store_is_not_touched() {
    let other = TestGateway::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    for (name, taken) in [
        ("listen.grpc", other.addresses.grpc),
        ("listen.http", other.addresses.http),
        ("listen.admin", other.addresses.admin),
    ] {
        let taken = taken.to_string();
        let mut command = command(["gateway", "--dev"]);
        command.env_clear().arg("--store-path").arg(&store);
        for port in ["listen.grpc", "listen.http", "listen.admin"] {
            let address = if port == name { &taken } else { "127.0.0.1:0" };
            command.arg("--set").arg(format!("{port}={address}"));
        }
        let words = [&*format!("cannot listen on {taken}"), "in use"];
        refused(name, command, FAILED, &words).await;
        assert!(!store.exists(), "{name}");
    }
}
