//! `vdom status`: how the server is, and which branches it holds.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use vdom_client::{BranchSpec, Client, ServerAddress};
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{Freshness, SubscribeRequest};

use crate::exit::{Exit, Failure};
use crate::humanize::printable;
use crate::output::{Output, Painter, Tone};
use crate::readiness::{self, Readiness};
use crate::server::ServerOptions;

/// A server says at least once a second how current it is.
const FRESHNESS_WAIT_MAX: Duration = Duration::from_secs(3);

/// Show how the server is, and which branches it holds
#[derive(clap::Args, Debug)]
pub(crate) struct StatusArguments {
    /// Only this branch, and how current the server's view of it is
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: Option<BranchSpec>,
    /// HTTP address of health endpoints, of as many servers as you like [default: the server's own
    /// port, 9464 of a gateway, 9465 of a sidecar and 9464 of the gateway beside it]
    #[arg(long, env = "VDOM_ADMIN", value_name = "URL", value_delimiter = ',')]
    admin: Vec<ServerAddress>,
    #[command(flatten)]
    server: ServerOptions,
}

/// Shows it. A server that is not ready is a failure of its own kind.
pub(crate) async fn run(arguments: StatusArguments, output: &mut Output) -> Result<(), Failure> {
    let started = Instant::now();
    let client = arguments.server.connect().await?;
    let connected = started.elapsed();
    let health = health(&client).await;
    let answers = ask_all(&arguments.admin, client.address()).await;
    show_server(&client, connected, &health, &answers, output)?;
    match &arguments.branch {
        Some(branch) => show_branch(&client, branch, output).await?,
        None => show_branches(&client, output).await?,
    }
    let is_refusing = answers.iter().flatten().any(|readiness| !readiness.is_ready);
    if is_refusing || health == Health::NotServing {
        return Err(Failure::new(Exit::Unavailable, "not every server is ready"));
    }
    Ok(())
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

/// What the servers behind these addresses say; where none is named, what
/// `server` says and, if it is a sidecar, the gateway beside it.
async fn ask_all(
    named: &[ServerAddress],
    server: &ServerAddress,
) -> Vec<Result<Readiness, String>> {
    if !named.is_empty() {
        let answers = named.iter().map(|address| readiness::ask(std::slice::from_ref(address)));
        return join_all(answers).await;
    }
    let (own, beside) = default_addresses(server);
    let (own, beside) = tokio::join!(readiness::ask(&own), readiness::ask(&beside));
    // There need not be a gateway on this machine.
    [Some(own), beside.ok().map(Ok)].into_iter().flatten().collect()
}

/// Where the health endpoints of a server may be, and those of a gateway beside
/// it: on its own port, or on the admin port that goes with it by default.
fn default_addresses(server: &ServerAddress) -> (Vec<ServerAddress>, Vec<ServerAddress>) {
    let at = |host: &str, port: u16| format!("http://{host}:{port}").parse::<ServerAddress>().ok();
    let (admin, beside) =
        match server.plain_authority().and_then(|authority| authority.rsplit_once(':')) {
            Some((host, "50051")) => (at(host, 9464), None),
            Some((host, "50151")) => (at(host, 9465), at(host, 9464)),
            _ => (None, None),
        };
    ([Some(server.clone()), admin].into_iter().flatten().collect(), Vec::from_iter(beside))
}

fn show_server(
    client: &Client,
    connected: Duration,
    health: &Health,
    answers: &[Result<Readiness, String>],
    output: &mut Output,
) -> Result<(), Failure> {
    output.result(
        || {
            json!({
                "server": client.address().as_str(),
                "connected_ms": connected.as_secs_f64() * 1_000.0,
                "health": health.text(),
                "readiness": answers.iter().map(readiness_record).collect::<Vec<_>>(),
            })
        },
        |painter| {
            let tone = if *health == Health::Serving { Tone::Good } else { Tone::Bad };
            let mut lines = vec![
                format!("server  {}  (connected in {connected:.1?})", client.address()),
                format!("health  {}", painter.paint(tone, health.text())),
            ];
            for answer in answers {
                lines.extend(readiness_lines(answer, painter));
            }
            lines.join("\n")
        },
    )?;
    Ok(())
}

fn readiness_record(answer: &Result<Readiness, String>) -> Value {
    match answer {
        Ok(Readiness { url, is_ready, details }) => {
            json!({ "url": url, "ready": is_ready, "checks": details["checks"] })
        }
        Err(problem) => json!({ "problem": problem }),
    }
}

fn readiness_lines(answer: &Result<Readiness, String>, painter: &Painter) -> Vec<String> {
    let readiness = match answer {
        Ok(readiness) => readiness,
        Err(problem) => return vec![format!("ready   not known: {}", printable(problem))],
    };
    let (tone, text) = if readiness.is_ready { (Tone::Good, "yes") } else { (Tone::Bad, "no") };
    let mut lines = vec![format!("ready   {}  {}", painter.paint(tone, text), readiness.url)];
    lines.extend(check_lines(&readiness.details));
    lines
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
    let repos = client.repos().await?;
    if repos.is_empty() {
        output.note("no repos yet: `vdom import DIR --repo NAME` or `vdom put` makes one")?;
    }
    for repo in repos {
        for branch in client.branches(&repo.name).await? {
            show_row(&repo.name, &branch, None, output)?;
        }
    }
    Ok(())
}

async fn show_branch(
    client: &Client,
    wanted: &BranchSpec,
    output: &mut Output,
) -> Result<(), Failure> {
    let Some(branch) = client.branch(wanted).await? else {
        return Err(Failure::new(Exit::NotFound, format!("there is no branch {wanted}"))
            .advice("`vdom status` lists all branches"));
    };
    let freshness = client.in_time(freshness(client, wanted)).await?;
    show_row(&wanted.repo, &branch, freshness, output)
}

/// How current the server's view of a branch is, as its next progress says.
async fn freshness(
    client: &Client,
    branch: &BranchSpec,
) -> Result<Option<Freshness>, tonic::Status> {
    let request = SubscribeRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        ..SubscribeRequest::default()
    };
    let mut events = client.raw().subscribe_changes(request).await?.into_inner();
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
            let (own, beside) = default_addresses(&server.parse().expect("a URL"));
            let text = |urls: Vec<ServerAddress>| {
                urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            (text(own), text(beside))
        };
        let gateway = addresses("http://h:50051");
        assert_eq!(gateway, ("http://h:50051 http://h:9464".into(), String::new()));
        let sidecar = addresses("http://h:50151");
        assert_eq!(sidecar, ("http://h:50151 http://h:9465".into(), "http://h:9464".into()));
        let other = addresses("http://h:1234");
        assert_eq!(other, ("http://h:1234".into(), String::new()));
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
