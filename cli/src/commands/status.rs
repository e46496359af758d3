//! `vdom status`: how the server is, and which branches it holds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{Freshness, ListBranchesRequest, ListReposRequest, SubscribeRequest};

use crate::branch::Branch;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Tone, printable};
use crate::readiness::{self, Readiness};
use crate::server::{ServerOptions, ServerUrl};

/// A server says at least once a second how current it is.
const FRESHNESS_WAIT_MAX: Duration = Duration::from_secs(3);

/// Show how the server is, and which branches it holds
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Only this branch, and how current the server's view of it is
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: Option<Branch>,
    /// HTTP address of its health endpoints [default: its own port, then 9464 or 9465]
    #[arg(long, env = "VDOM_ADMIN", value_name = "URL")]
    admin: Option<ServerUrl>,
    #[command(flatten)]
    server: ServerOptions,
}

/// Shows it. A server that is not ready is a failure of its own kind.
pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Result<(), Failure> {
    let started = Instant::now();
    let client = Client::connect(&arguments.server).await?;
    let connected = started.elapsed();
    let health = health(&client).await;
    let admin = match &arguments.admin {
        Some(admin) => vec![admin.clone()],
        None => admin_addresses(client.server()),
    };
    let readiness = readiness::ask(&admin).await;
    show_server(&client, connected, &health, &readiness, output)?;
    match &arguments.branch {
        Some(branch) => show_branch(&client, branch, output).await?,
        None => show_branches(&client, output).await?,
    }
    let is_ready = readiness.map_or(health == Health::Serving, |readiness| readiness.is_ready);
    if is_ready { Ok(()) } else { Err(Failure::new(Exit::Unavailable, "the server is not ready")) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Health {
    Serving,
    NotServing,
    Unknown(String),
}

impl Health {
    fn text(&self) -> &str {
        match self {
            Self::Serving => "serving",
            Self::NotServing => "not serving",
            Self::Unknown(why) => why,
        }
    }
}

async fn health(client: &Client) -> Health {
    let request = client.unary(HealthCheckRequest { service: String::new() });
    match client.health().check(request).await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Health::Serving,
            ServingStatus::NotServing => Health::NotServing,
            other => Health::Unknown(other.as_str_name().to_lowercase()),
        },
        Err(status) => Health::Unknown(format!("not known: {}", Failure::from(status))),
    }
}

/// Where health endpoints may be: on the server's own port, or on the admin
/// port that goes with it by default.
fn admin_addresses(server: &ServerUrl) -> Vec<ServerUrl> {
    let mut addresses = vec![server.clone()];
    let host_and_port = server.plain_authority().and_then(|authority| authority.rsplit_once(':'));
    let admin = match host_and_port {
        Some((host, "50051")) => format!("http://{host}:9464"),
        Some((host, "50151")) => format!("http://{host}:9465"),
        _ => return addresses,
    };
    addresses.extend(admin.parse::<ServerUrl>());
    addresses
}

fn show_server(
    client: &Client,
    connected: Duration,
    health: &Health,
    readiness: &Result<Readiness, String>,
    output: &mut Output,
) -> Result<(), Failure> {
    output.result(
        || {
            json!({
                "server": client.server().as_str(),
                "connected_ms": connected.as_secs_f64() * 1_000.0,
                "health": health.text(),
                "ready": readiness.as_ref().ok().map(|readiness| readiness.is_ready),
                "details": readiness.as_ref().map(|readiness| &readiness.details).ok(),
                "details_problem": readiness.as_ref().err(),
            })
        },
        |painter| {
            let tone = if *health == Health::Serving { Tone::Good } else { Tone::Bad };
            let mut lines = vec![
                format!("server  {}  (connected in {connected:.1?})", client.server()),
                format!("health  {}", painter.paint(tone, health.text())),
            ];
            match readiness {
                Err(problem) => lines.push(format!("ready   not known: {}", printable(problem))),
                Ok(readiness) => {
                    let (tone, text) =
                        if readiness.is_ready { (Tone::Good, "yes") } else { (Tone::Bad, "no") };
                    lines.push(format!("ready   {}", painter.paint(tone, text)));
                    lines.extend(check_lines(&readiness.details));
                }
            }
            lines.join("\n")
        },
    )?;
    Ok(())
}

/// What readiness depends on: one line for each check.
fn check_lines(details: &Value) -> Vec<String> {
    let checks = details["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |check: &Value| {
        let name = check["name"].as_str()?;
        let detail = check["detail"].as_str().unwrap_or_default();
        let refusal = if check["ready"] == false { "NOT READY: " } else { "" };
        Some(format!("        {}: {refusal}{}", printable(name), printable(detail)))
    };
    checks.iter().filter_map(line).collect()
}

async fn show_branches(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let request = ListReposRequest { realm: client.realm() };
    let repos = client.dom().list_repos(client.unary(request)).await?.into_inner().repos;
    if repos.is_empty() {
        output.note("no repos yet: `vdom import DIR --repo NAME` or `vdom put` makes one")?;
    }
    for repo in repos {
        let request = ListBranchesRequest { realm: client.realm(), repo: repo.name.clone() };
        let answer = client.dom().list_branches(client.unary(request)).await?.into_inner();
        for branch in answer.branches {
            show_row(&repo.name, &branch, None, output)?;
        }
    }
    Ok(())
}

async fn show_branch(client: &Client, wanted: &Branch, output: &mut Output) -> Result<(), Failure> {
    let request = ListBranchesRequest { realm: client.realm(), repo: wanted.repo.clone() };
    let answer = client.dom().list_branches(client.unary(request)).await?.into_inner();
    let Some(branch) = answer.branches.iter().find(|branch| branch.name == wanted.branch) else {
        return Err(Failure::new(Exit::NotFound, format!("there is no branch {wanted}"))
            .advice("`vdom status` lists all branches"));
    };
    let freshness = client.in_time(freshness(client, wanted)).await?;
    show_row(&wanted.repo, branch, freshness, output)
}

/// How current the server's view of a branch is, as its next progress says.
async fn freshness(client: &Client, branch: &Branch) -> Result<Option<Freshness>, tonic::Status> {
    let request = SubscribeRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        ..SubscribeRequest::default()
    };
    let mut events = client.dom().subscribe_changes(request).await?.into_inner();
    let progress = async {
        while let Some(event) = events.message().await? {
            if event.r#type() == Type::Progress {
                return Ok(event.freshness);
            }
        }
        Ok(None)
    };
    tokio::time::timeout(FRESHNESS_WAIT_MAX, progress).await.unwrap_or(Ok(None))
}

fn show_row(
    repo: &str,
    branch: &vdom_proto::v1::Branch,
    freshness: Option<Freshness>,
    output: &mut Output,
) -> Result<(), Failure> {
    output.result(
        || {
            json!({
                "repo": repo,
                "branch": branch.name,
                "epoch": branch.epoch,
                "revision": branch.revision,
                "head_hash": hex::encode(&branch.head_hash),
                "age_ms": freshness.map(|freshness| freshness.age_ms),
                "stale": freshness.map(|freshness| freshness.stale),
            })
        },
        |painter| {
            let name = painter.paint(Tone::Strong, &format!("{repo}@{}", branch.name));
            let confirmed = match freshness {
                Some(freshness) if freshness.stale => painter.paint(
                    Tone::Bad,
                    &format!("  stale: last confirmed {} ms ago", freshness.age_ms),
                ),
                Some(freshness) => format!("  confirmed {} ms ago", freshness.age_ms),
                None => String::new(),
            };
            format!("{name}  at {}.{}{confirmed}", branch.epoch, branch.revision)
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_port_follows_from_the_default_ports_only() {
        let addresses = |server: &str| {
            let server = server.parse::<ServerUrl>().expect("a URL");
            admin_addresses(&server).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(addresses("http://h:50051"), ["http://h:50051", "http://h:9464"]);
        assert_eq!(addresses("http://h:50151"), ["http://h:50151", "http://h:9465"]);
        assert_eq!(addresses("http://h:1234"), ["http://h:1234"]);
    }

    #[test]
    fn every_check_of_a_server_has_a_line() {
        let details = json!({
            "status": "not ready",
            "checks": [
                { "name": "store", "ready": true, "detail": "mongodb: standalone, no failover" },
                { "name": "drain", "ready": false, "detail": "ending" },
            ],
        });
        assert_eq!(
            check_lines(&details),
            ["        store: mongodb: standalone, no failover", "        drain: NOT READY: ending"]
        );
        assert_eq!(check_lines(&Value::Null), Vec::<String>::new());
    }
}
