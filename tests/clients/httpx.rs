//! REST with Python's httpx, over HTTP/1.1 and HTTP/2.

use vdom_testkit::clients::python;
use vdom_testkit::skipped;

use super::fixture::{Fixture, pass_unittest};

#[tokio::test(flavor = "multi_thread")]
async fn httpx_reads_writes_and_watches() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => return skipped("httpx_reads_writes_and_watches", &reason),
    };
    let fixture = Fixture::start().await;
    for door in fixture.doors() {
        let mut client = python.script("http_client.py");
        client
            .env("VDOM_URL", door.url())
            .env("VDOM_REPO", door.name)
            .env("VDOM_WRITER", fixture.writer());
        pass_unittest(&mut client, door.name).await;
    }
}
