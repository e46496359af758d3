//! The same questions at every door get the same answers.

mod answer;
mod grpc;
mod rest;
mod script;
mod sets;

use std::sync::Arc;

use futures::future::join_all;
use vdom_testkit::channel::{AnyChannel, grpc_web, http2, unix};
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::http::{HttpClient, Place};
use vdom_testkit::mongo::MongoServer;
use vdom_testkit::sidecar::TestSidecar;
use vdom_testkit::skipped;

use answer::{Answer, Ask};
use grpc::GrpcDoor;
use rest::RestDoor;

/// A way to the document room. Each works in a repo of its own, in which the
/// same things happen.
#[async_trait::async_trait]
trait Door: Send {
    /// Asks; `None` where this door has no words for it.
    async fn ask(&mut self, ask: &Ask) -> Option<Answer>;
}

/// A door by name.
type Named = (&'static str, Box<dyn Door>);

/// What a gateway offers.
async fn gateway_doors(gateway: &TestGateway, script: &Script) -> Vec<Named> {
    vec![
        script.over_grpc("gateway-grpc", http2(&gateway.grpc_url(), None).await),
        script.over_grpc("gateway-web", grpc_web(&gateway.http_url(), None)),
        script.over_rest("gateway-rest", Place::Tcp(gateway.addresses.http)),
    ]
}

/// What a sidecar offers.
async fn sidecar_doors(sidecar: &TestSidecar, script: &Script) -> Vec<Named> {
    let (url, socket) = (sidecar.url(), sidecar.socket());
    vec![
        script.over_grpc("sidecar-grpc", http2(&url, None).await),
        script.over_grpc("sidecar-web", grpc_web(&url, None)),
        script.over_grpc("sidecar-unix-grpc", unix(&socket, None).await),
        script.over_rest("sidecar-rest", Place::Tcp(sidecar.addresses.tcp)),
        script.over_rest("sidecar-unix-rest", Place::Unix(socket)),
    ]
}

/// What is asked at a door that nobody has used.
struct Script {
    about: &'static str,
    rows: Arc<Vec<script::Row>>,
}

impl Script {
    fn all() -> [Self; 2] {
        [
            Self { about: "nodes", rows: Arc::new(script::rows()) },
            Self { about: "sets", rows: Arc::new(sets::rows()) },
        ]
    }

    fn over_grpc(&self, name: &'static str, channel: AnyChannel) -> Named {
        (name, Box::new(GrpcDoor::new(channel, &self.repo(name))))
    }

    fn over_rest(&self, name: &'static str, place: Place) -> Named {
        (name, Box::new(RestDoor::new(HttpClient::new(place, None), &self.repo(name))))
    }

    fn repo(&self, name: &str) -> String {
        format!("{name}-{}", self.about)
    }
}

/// Asks every script at every door of both, in order at each.
async fn check(gateway: Option<&TestGateway>, sidecar: Option<&TestSidecar>) {
    let mut runs = Vec::new();
    for script in Script::all() {
        let mut doors = Vec::new();
        if let Some(gateway) = gateway {
            doors.extend(gateway_doors(gateway, &script).await);
        }
        if let Some(sidecar) = sidecar {
            doors.extend(sidecar_doors(sidecar, &script).await);
        }
        let run = |(name, door)| tokio::spawn(run(name, door, Arc::clone(&script.rows)));
        runs.extend(doors.into_iter().map(run));
    }
    for run in join_all(runs).await {
        run.expect("the same answers");
    }
}

async fn run(name: &'static str, mut door: Box<dyn Door>, script: Arc<Vec<script::Row>>) {
    for row in script.iter() {
        let what = &row.what;
        match door.ask(&row.ask).await {
            Some(answer) => assert_eq!(answer, row.answer, "{what} at {name}"),
            None => assert!(!row.everywhere, "{name} cannot ask: {what}"),
        }
    }
}

#[tokio::test]
async fn every_door_of_the_gateway_answers_alike() {
    let gateway = TestGateway::start().await;
    check(Some(&gateway), None).await;
}

#[tokio::test]
async fn every_door_of_a_sidecar_answers_like_the_gateway() {
    let gateway = TestGateway::start().await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    check(None, Some(&sidecar)).await;
}

#[tokio::test]
async fn every_door_answers_alike_on_the_embedded_store() {
    let gateway = TestGateway::embedded().await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    check(Some(&gateway), Some(&sidecar)).await;
}

#[tokio::test]
async fn every_door_answers_alike_on_mongodb() {
    let server = match tokio::task::spawn_blocking(MongoServer::shared).await.expect("started") {
        Ok(server) => server,
        Err(reason) => return skipped("every_door_answers_alike_on_mongodb", &reason),
    };
    let gateway = TestGateway::mongodb(server.uri(), &MongoServer::fresh_database()).await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    check(Some(&gateway), Some(&sidecar)).await;
}
