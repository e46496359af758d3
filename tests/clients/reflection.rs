//! A client that has the contract from reflection alone, as grpcurl has.

use vdom_testkit::clients::python;
use vdom_testkit::skipped;

use super::fixture::{Fixture, pass_unittest};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_calls_what_reflection_describes() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => return skipped("a_client_calls_what_reflection_describes", &reason),
    };
    let fixture = Fixture::start().await;
    for door in fixture.doors() {
        let mut client = python.script("reflection_client.py");
        client
            .env("VDOM_TARGET", door.grpc.to_string())
            .env("VDOM_REPO", door.name)
            .env("VDOM_WRITER", fixture.writer())
            .env("VDOM_READER", fixture.reader());
        pass_unittest(&mut client, door.name).await;
    }
}
