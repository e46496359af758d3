//! The same questions at every door get the same answers.

mod answer;
mod grpc;
mod rest;
mod script;

use std::sync::Arc;

use futures::future::join_all;
use vdom_testkit::channel::{grpc_web, http2};
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::http::{HttpClient, Place};

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
async fn gateway_doors(gateway: &TestGateway) -> Vec<Named> {
    let (grpc, http) = (gateway.grpc_url(), gateway.http_url());
    let rest = HttpClient::new(Place::Tcp(gateway.addresses.http), None);
    vec![
        ("gateway-grpc", Box::new(GrpcDoor::new(http2(&grpc, None).await, "gateway-grpc"))),
        ("gateway-web", Box::new(GrpcDoor::new(grpc_web(&http, None), "gateway-web"))),
        ("gateway-rest", Box::new(RestDoor::new(rest, "gateway-rest"))),
    ]
}

/// Asks everything, in order.
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
    let script = Arc::new(script::rows());
    let doors = gateway_doors(&gateway).await.into_iter();
    let runs: Vec<_> =
        doors.map(|(name, door)| tokio::spawn(run(name, door, Arc::clone(&script)))).collect();
    for run in join_all(runs).await {
        run.expect("the same answers");
    }
}
