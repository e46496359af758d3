//! What is open to all: health and reflection, which tell nothing of the trees.

use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use vdom_testkit::http::{HttpClient, Place};

use super::Fixture;

#[tokio::test]
async fn grpc_health_answers_without_a_token() {
    let fixture = Fixture::start().await;
    let channel = channel(&fixture).await;
    for service in ["", "virtualdom.v1.MemoryGateway"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel.clone()).check(request).await.expect("an answer");
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service:?}");
    }
}

#[tokio::test]
async fn grpc_reflection_answers_without_a_token() {
    let fixture = Fixture::start().await;
    let mut client = ServerReflectionClient::new(channel(&fixture).await);
    let list = MessageRequest::ListServices(String::new());
    let symbol = MessageRequest::FileContainingSymbol("virtualdom.v1.MemoryGateway".to_owned());
    let requests = [list, symbol].map(|request| ServerReflectionRequest {
        message_request: Some(request),
        ..Default::default()
    });
    let answers = client.server_reflection_info(tokio_stream::iter(requests)).await;
    let mut answers = answers.expect("an answer").into_inner();
    let mut next =
        async || answers.message().await.expect("fine").and_then(|it| it.message_response);

    let Some(MessageResponse::ListServicesResponse(services)) = next().await else {
        panic!("no list of services")
    };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["virtualdom.v1.MemoryGateway", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(files)) = next().await else {
        panic!("no description of the service")
    };
    assert!(!files.file_descriptor_proto.is_empty());
}

#[tokio::test]
async fn health_pages_answer_without_a_token_on_both_http_ports() {
    let fixture = Fixture::start().await;
    for address in [fixture.gateway.addresses.http, fixture.gateway.addresses.admin] {
        let client = HttpClient::new(Place::Tcp(address), None);
        for (page, status) in
            [("/health", "ready"), ("/health/ready", "ready"), ("/health/live", "live")]
        {
            let answer = client.get(page).await;
            assert_eq!(answer.status, 200, "{address}{page}: {answer:?}");
            assert_eq!(answer.json()["status"], status, "{address}{page}");
        }
    }
}

async fn channel(fixture: &Fixture) -> Channel {
    let url = fixture.gateway.grpc_url();
    Channel::from_shared(url).expect("a URL").connect().await.expect("a server")
}
