//! `vdom token`: mints a bearer token.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use vdom_core::RealmName;
use vdom_core::access::Scope;
use vdom_edge::token::Grant;

use crate::data::{self, AUDIENCE, DataOptions, ISSUER};
use crate::exit::Failure;
use crate::output::Output;

/// Mint a bearer token with the signing key of a gateway
///
/// Without --key, the key of `vdom up` signs. The token is printed alone, so
/// that it can be used at once: `VDOM_TOKEN=$(vdom token --subject me)`
#[derive(clap::Args, Debug)]
pub(crate) struct TokenArguments {
    /// For whom
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// With which rights: dom.read, dom.write, dom.author, dom.admin
    #[arg(
        long = "scope",
        value_name = "SCOPE",
        value_delimiter = ',',
        num_args = 1..,
        value_parser = parse_scope,
        default_values_t = ["dom.read".to_owned(), "dom.write".to_owned()]
    )]
    scopes: Vec<String>,
    /// In which realm
    #[arg(long, default_value = RealmName::DEFAULT, value_parser = parse_realm)]
    realm: RealmName,
    /// For how long, such as 30m, 12h or 90d
    #[arg(long, default_value = "12h", value_name = "TIME", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Ed25519 private key in PEM, or a file with a secret for HS256
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Issuer that the gateway expects
    #[arg(long, default_value = ISSUER, value_name = "NAME")]
    issuer: String,
    /// Audience that the gateway expects
    #[arg(long, default_value = AUDIENCE, value_name = "NAME")]
    audience: String,
    #[command(flatten)]
    data: DataOptions,
}

pub(crate) fn run(arguments: TokenArguments, output: &mut Output) -> Result<(), Failure> {
    let names = arguments.scopes.join(" ");
    let grant = Grant {
        subject: arguments.subject,
        realm: Some(arguments.realm.clone()),
        scopes: vdom_core::access::Scopes::parse(&names),
        lifetime: arguments.ttl,
    };
    let key = match arguments.key {
        Some(key) => key,
        None => key_of_machine(&arguments.data)?,
    };
    let token = data::mint(&key, &arguments.issuer, &arguments.audience, &grant)?;
    let expires_at = data::expires_at(arguments.ttl);
    output.result(
        || {
            json!({
                "token": token,
                "subject": grant.subject,
                "realm": arguments.realm.as_str(),
                "scope": names,
                "expires_at": expires_at,
            })
        },
        |_| token.clone(),
    )?;
    Ok(())
}

fn key_of_machine(data: &DataOptions) -> Result<PathBuf, Failure> {
    let key = data.directory()?.private_key();
    if key.exists() {
        return Ok(key);
    }
    Err(Failure::failed(format!("there is no signing key {}", key.display()))
        .advice("`vdom up` makes one; or name one with --key or --data"))
}

fn parse_realm(text: &str) -> Result<RealmName, String> {
    RealmName::parse(text).map_err(|error| error.message)
}

fn parse_scope(text: &str) -> Result<String, String> {
    let known = Scope::ALL.map(Scope::name);
    if known.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("there is no scope {text:?}: choose among {}", known.join(", ")))
    }
}
