//! No MongoDB, and one that cannot promise everything.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use vdom_testkit::http::{HttpClient, Place};
use vdom_testkit::mongo::MongoServer;
use vdom_testkit::skipped;

use super::{FAILED, WRONG_USAGE, gateway, refused};
use crate::cli::{alone, finish};

#[tokio::test]
async fn a_deployment_that_does_not_answer_is_refused_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = listener.local_addr().expect("its address").to_string();
    for (what, host) in [("nobody there", "127.0.0.1:1"), ("nobody answers", &silent)] {
        let uri = format!("store.uri=mongodb://anna:hunter2@{host}/");
        let command = gateway(&["--dev", "--store", "mongodb", "--set", &uri]);
        let ran = refused(what, command, FAILED, &["cannot connect", "MongoDB", host]).await;
        assert!(!ran.stderr.contains("hunter2"), "{what}: the password shows: {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_connection_string_that_is_none_is_refused() {
    for uri in ["nonsense", "http://127.0.0.1/", "mongodb://", "mongodb://anna:hun/ter2@db/"] {
        let setting = format!("store.uri={uri}");
        let command = gateway(&["--dev", "--store", "mongodb", "--set", &setting]);
        let ran = refused(uri, command, FAILED, &["connection string", "mongodb://user:"]).await;
        assert!(!ran.stderr.contains("ter2"), "the password shows: {}", ran.stderr);
    }
    let command = gateway(&["--dev", "--store", "mongodb"]);
    let words = ["`store.uri` is empty", "VDOM_GATEWAY__STORE__URI"];
    refused("no connection string", command, WRONG_USAGE, &words).await;
}

/// A gateway process, and what its log said until it served.
async fn started(uri: &str) -> (Child, Vec<Value>) {
    let database = format!("store.database={}", MongoServer::fresh_database());
    let uri = format!("store.uri={uri}");
    let mut command = gateway(&["--dev", "--store", "mongodb"]);
    command.args(["--set", &uri, "--set", &database, "--set", "log.format=json"]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    let mut log = Vec::new();
    while let Some(line) = lines.next_line().await.expect("read") {
        let line: Value = serde_json::from_str(&line).expect("a line of JSON");
        log.push(line);
        if log.last().is_some_and(|line| line.to_string().contains("gateway serves")) {
            return (child, log);
        }
    }
    panic!("it does not serve: {log:?}");
}

#[tokio::test]
async fn a_standalone_server_works_and_everyone_is_told_what_it_cannot_promise() {
    let test = "a_standalone_server_works_and_everyone_is_told_what_it_cannot_promise";
    let server = match tokio::task::spawn_blocking(MongoServer::shared).await.expect("started") {
        Ok(server) if server.address().is_some() => server,
        Ok(_) => return skipped(test, "the deployment may be a replica set"),
        Err(reason) => return skipped(test, &reason),
    };
    let (_process, log) = started(server.uri()).await;
    let warned = log.iter().any(|line| {
        line["level"] == "WARN" && line.to_string().contains("runs as a standalone server")
    });
    assert!(warned, "{log:?}");

    let serves = log.last().expect("a line").clone();
    let address = |name: &str| {
        let fields = [&serves[name], &serves["fields"][name]];
        let address = fields.into_iter().find_map(Value::as_str);
        address.unwrap_or_else(|| panic!("no {name}: {serves}")).to_owned()
    };
    let admin = address("admin");
    let client = HttpClient::new(Place::Tcp(admin.parse().expect("an address")), None);
    let ready = client.get("/health/ready").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    let said = ready.json().to_string();
    assert!(said.contains("standalone"), "{said}");

    let grpc = address("grpc");
    let put = alone(&["put", "site", "a", "--server", &grpc]);
    finish(put, b"content").await.succeeded();
    let cat = finish(alone(&["cat", "site", "a", "--server", &grpc]), b"").await.succeeded();
    assert_eq!(cat.text(), "content");
    let status = alone(&["status", "--server", &grpc, "--admin", &admin]);
    let status = finish(status, b"").await.succeeded().text();
    assert!(status.contains("standalone server"), "{status}");
    assert!(status.contains("use a replica set"), "{status}");
}
