//! What MongoDB servers do to a store, and what the store makes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use tokio::net::TcpListener;
use vdom_store::mongodb::{MongoOptions, MongoStore};
use vdom_store::{
    Append, Batch, BatchId, Chunk, ChunkId, LogDescriptor, LogId, LogName, Position, Store,
    StoreErrorKind, View, ViewWrite,
};
use vdom_testkit::mongo::MongoServer;

use super::NODES;
use super::proxy::{Proxy, Trouble};

/// Skips the test where there is no server.
macro_rules! server_or_skip {
    ($name:literal) => {
        match super::shared_server().await {
            Ok(server) => server,
            Err(reason) => {
                return vdom_testkit::skipped(concat!(module_path!(), "::", $name), &reason);
            }
        }
    };
}

#[tokio::test]
async fn a_standalone_says_what_it_cannot_promise() {
    let server = server_or_skip!("a_standalone_says_what_it_cannot_promise");
    let Some(_) = server.address() else {
        return vdom_testkit::skipped("a_standalone_says_what_it_cannot_promise", "another server");
    };
    let store = connect(server.uri(), options()).await;
    let promises = store.guarantees();
    assert_eq!(promises.backend, "mongodb");
    assert!(promises.shared);
    assert!(promises.durability.contains("one MongoDB server"), "{promises:?}");
    assert!(promises.warnings.iter().any(|text| text.contains("standalone")), "{promises:?}");
    store.ready().await.unwrap();
}

#[tokio::test]
async fn no_server_is_said_at_once_and_without_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let uri = format!("mongodb://someone:hunter2@{address}/");
    let options = MongoOptions { connect_timeout: Duration::from_millis(300), ..options() };
    let started = Instant::now();
    let error = MongoStore::connect(&uri, options).await.err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains(&address.to_string()), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = MongoOptions {
        connect_timeout: Duration::from_millis(300),
        operation_timeout: Duration::from_millis(600),
        ..options()
    };
    let started = Instant::now();
    let error = MongoStore::connect(&format!("mongodb://{address}/"), options).await.err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains(&address.to_string()), "{error}");
    drop(listener);
}

#[tokio::test]
async fn connection_strings_that_are_none_are_refused_without_the_password() {
    let strings = [
        "mongodb://someone:hun@ter2@db.example:27017/",
        "mongodb://someone:hunter2@db.example:port/",
        "mongodb://someone:hun/ter2@db.example:27017/",
        "postgres://someone:hunter2@db.example/",
        "db.example:27017",
        "mongodb://someone:hunter2@db.example/?w=-3",
    ];
    for string in strings {
        let error = MongoStore::connect(string, options()).await.err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Invalid, "{string}: {error}");
        assert!(error.message.contains("db.example"), "{error}");
        assert!(!error.message.contains("ter2"), "{error}");
    }
}

#[tokio::test]
async fn error_codes_say_what_became_of_an_append() {
    let server = server_or_skip!("error_codes_say_what_became_of_an_append");
    let Some(address) = server.address() else {
        return vdom_testkit::skipped("error_codes_say_what_became_of_an_append", "another server");
    };
    let proxy = Proxy::start(address).await.unwrap();
    let store = connect(&proxy.uri(), options()).await;
    let mut troubles = vec![Trouble::lost(true), Trouble::lost(false)];
    troubles.extend([64, 91, 100].map(Trouble::write_concern_error));
    troubles.extend([50, 91, 11600, 11601, 11602].map(Trouble::command_error));
    let mut previous = [0; 32];
    for (number, trouble) in (1..).zip(troubles) {
        let batch = batch(number, previous);
        proxy.trouble_next_insert(trouble.clone());
        let error = store.append(log(), number, &batch).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::OutcomeUnknown, "{trouble:?}: {error}");
        let again = store.append(log(), number, &batch).await.unwrap();
        assert_eq!(again, Append::Committed, "{trouble:?}");
        previous = batch.digest();
    }
}

#[tokio::test]
async fn a_server_that_is_no_primary_any_more_is_asked_again() {
    let name = "a_server_that_is_no_primary_any_more_is_asked_again";
    let server = server_or_skip!("a_server_that_is_no_primary_any_more_is_asked_again");
    let Some(address) = server.address() else {
        return vdom_testkit::skipped(name, "another server");
    };
    let proxy = Proxy::start(address).await.unwrap();
    let store = connect(&proxy.uri(), options()).await;
    let mut previous = [0; 32];
    for (number, code) in [(1, 10107), (2, 13435)] {
        let batch = batch(number, previous);
        proxy.trouble_next_insert(Trouble::refused(code));
        assert_eq!(store.append(log(), number, &batch).await.unwrap(), Append::Committed);
        previous = batch.digest();
    }
    assert_eq!(store.last(log()).await.unwrap().unwrap().number, 2);
}

#[tokio::test]
async fn only_a_server_without_linearizable_reads_is_read_plainly() {
    let name = "only_a_server_without_linearizable_reads_is_read_plainly";
    let server = server_or_skip!("only_a_server_without_linearizable_reads_is_read_plainly");
    let Some(address) = server.address() else {
        return vdom_testkit::skipped(name, "another server");
    };
    let proxy = Proxy::start(address).await.unwrap();
    // An election while it connects says nothing of the server.
    proxy.answer_linearizable_reads(Some(189));
    let store = connect(&proxy.uri(), options()).await;
    let is_warned = || {
        let warnings = store.guarantees().warnings;
        warnings.iter().any(|warning| warning.contains("cannot read linearizably"))
    };
    let error = store.confirm(log(), 0).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    assert!(!is_warned());
    proxy.answer_linearizable_reads(None);
    assert!(store.confirm(log(), 0).await.unwrap());
    assert_eq!(proxy.linearizable_reads_answered(), 1);
    // Not a replica set: a plain read is all that there is, and everyone is told.
    proxy.answer_linearizable_reads(Some(123));
    assert!(store.confirm(log(), 0).await.unwrap());
    assert!(is_warned());
    proxy.answer_linearizable_reads(None);
    assert!(store.confirm(log(), 0).await.unwrap());
    assert_eq!(proxy.linearizable_reads_answered(), 1, "it is not asked again at once");
}

#[tokio::test]
async fn a_duplicate_that_rolls_back_is_no_loss() {
    let server = server_or_skip!("a_duplicate_that_rolls_back_is_no_loss");
    let Some(address) = server.address() else {
        return vdom_testkit::skipped("a_duplicate_that_rolls_back_is_no_loss", "another server");
    };
    let proxy = Proxy::start(address).await.unwrap();
    let store = connect(&proxy.uri(), options()).await;
    let batch = batch(1, [0; 32]);
    proxy.trouble_next_insert(Trouble::duplicate());
    assert_eq!(store.append(log(), 1, &batch).await.unwrap(), Append::Committed);
    assert_eq!(store.last(log()).await.unwrap().unwrap().batch, batch);
}

#[tokio::test]
async fn a_blocked_way_ends_every_call_in_time() {
    let server = server_or_skip!("a_blocked_way_ends_every_call_in_time");
    let Some(address) = server.address() else {
        return vdom_testkit::skipped("a_blocked_way_ends_every_call_in_time", "another server");
    };
    let proxy = Proxy::start(address).await.unwrap();
    let deadline = Duration::from_millis(500);
    let store =
        connect(&proxy.uri(), MongoOptions { operation_timeout: deadline, ..options() }).await;
    let first = batch(1, [0; 32]);
    assert_eq!(store.append(log(), 1, &first).await.unwrap(), Append::Committed);
    proxy.block(true);
    let started = Instant::now();
    let second = batch(2, first.digest());
    let append = store.append(log(), 2, &second).await.unwrap_err();
    assert_eq!(append.kind, StoreErrorKind::OutcomeUnknown, "{append}");
    for error in [
        store.ready().await.unwrap_err(),
        store.last(log()).await.unwrap_err(),
        store.confirm(log(), 1).await.unwrap_err(),
        store.write_views(log(), &[row(1)], None).await.unwrap_err(),
        store.put_chunk("acme", Chunk::of(Bytes::from_static(b"x"))).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
        assert!(error.message.contains(&proxy.uri()[10..20]), "{error}");
    }
    assert!(started.elapsed() < deadline * 12, "{:?}", started.elapsed());

    proxy.block(false);
    vdom_testkit::eventually("the store is ready again", || async { store.ready().await.is_ok() })
        .await;
    assert_eq!(store.append(log(), 2, &second).await.unwrap(), Append::Committed);
}

#[tokio::test]
async fn a_lost_stream_is_opened_again() {
    let server = server_or_skip!("a_lost_stream_is_opened_again");
    let Some(address) = server.address() else {
        return vdom_testkit::skipped("a_lost_stream_is_opened_again", "another server");
    };
    let proxy = Proxy::start(address).await.unwrap();
    let options = options();
    let store = connect(&proxy.uri(), options.clone()).await;
    let other = connect(server.uri(), options).await;
    let mut hints = store.commit_hints();
    let mut previous = [0; 32];
    let mut next = 1;
    for _ in 0..3 {
        proxy.disconnect();
        let heard = async {
            loop {
                let batch = batch(next, previous);
                assert_eq!(other.append(log(), next, &batch).await.unwrap(), Append::Committed);
                (next, previous) = (next + 1, batch.digest());
                let hint = tokio::time::timeout(Duration::from_millis(200), hints.recv()).await;
                if let Ok(hint) = hint {
                    return hint.unwrap();
                }
            }
        };
        let hint = tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
        assert_eq!(hint.log, log());
    }
    // Whatever was hinted, polling tells all.
    let all = store.read(log(), 1, usize::MAX).await.unwrap();
    assert_eq!(all.len() as u64, next - 1);
}

#[tokio::test]
async fn changed_documents_are_never_served() {
    let server = server_or_skip!("changed_documents_are_never_served");
    let options = options();
    let store = connect(server.uri(), options.clone()).await;
    let first = batch(1, [0; 32]);
    let second = batch(2, first.digest());
    for (number, batch) in [(1, &first), (2, &second)] {
        assert_eq!(store.append(log(), number, batch).await.unwrap(), Append::Committed);
    }
    let write = row(1);
    store.write_views(log(), std::slice::from_ref(&write), None).await.unwrap();
    let chunk = Bytes::from_static(b"chunk");
    store.put_chunk("acme", Chunk::of(chunk.clone())).await.unwrap();

    let database = Client::with_uri_str(server.uri()).await.unwrap().database(&options.database);
    let change = |collection: &'static str, set: Document| {
        let collection = database.collection::<Document>(collection);
        async move { collection.update_many(doc! {}, doc! { "$set": set }).await.unwrap() }
    };
    change("views", doc! { "p": "elsewhere" }).await;
    let error = store.view(log(), NODES, &write.view.id).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
    let bytes = |bytes: &[u8]| mongodb::bson::Binary {
        subtype: mongodb::bson::spec::BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    };
    change("chunks", doc! { "b": bytes(b"chunK") }).await;
    let error = store.chunk("acme", ChunkId::of(&chunk)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
    // Each batch is whole in itself, but the second does not follow the first.
    let stranger = batch(9, [7; 32]).encode().unwrap();
    change("changes", doc! { "s": bytes(&stranger) }).await;
    let error = store.read(log(), 1, usize::MAX).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
    change("changes", doc! { "s": bytes(&stranger[1..]) }).await;
    let error = store.last(log()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_killed_server() {
    let name = "what_was_acknowledged_survives_a_killed_server";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.mv");
    let start = || {
        let file = file.clone();
        tokio::task::spawn_blocking(move || MongoServer::start_on_file(&file))
    };
    let mut server = match start().await.unwrap() {
        Ok(server) => server,
        Err(reason) => return vdom_testkit::skipped(name, &reason),
    };
    let options = options();
    let (mut next, mut previous) = (1, [0; 32]);
    for _ in 0..2 {
        let store = connect(server.uri(), options.clone()).await;
        let writing = Arc::clone(&store);
        let (mut number, mut digest) = (next, previous);
        let (sender, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
        let writing = tokio::spawn(async move {
            loop {
                let batch = batch(number, digest);
                match writing.append(log(), number, &batch).await {
                    Ok(_) => drop(sender.send(number)),
                    Err(error) => return error,
                }
                (number, digest) = (number + 1, batch.digest());
            }
        });
        let mut last = 0;
        for _ in 0..100 {
            last = acknowledged.recv().await.unwrap();
        }
        server.kill();
        let error = writing.await.unwrap();
        assert_ne!(error.kind, StoreErrorKind::Invalid, "{error}");
        while let Ok(number) = acknowledged.try_recv() {
            last = number;
        }
        server = start().await.unwrap().unwrap();
        let store = connect(server.uri(), options.clone()).await;
        let read = store.read(log(), 1, usize::MAX).await.unwrap();
        assert!(read.len() as u64 >= last, "{} of {last}", read.len());
        next = read.len() as u64 + 1;
        previous = read.last().unwrap().batch.digest();
    }
}

fn options() -> MongoOptions {
    MongoOptions { database: MongoServer::fresh_database(), ..MongoOptions::default() }
}

async fn connect(uri: &str, options: MongoOptions) -> Arc<MongoStore> {
    Arc::new(MongoStore::connect(uri, options).await.unwrap())
}

fn descriptor() -> LogDescriptor {
    let name = |name: &str| name.to_owned();
    LogName { realm: name("acme"), room: String::new(), segments: vec![name("web"), name("main")] }
        .incarnation(1)
}

fn log() -> LogId {
    descriptor().log_id()
}

fn batch(number: u64, previous: [u8; 32]) -> Batch {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Batch {
        id: BatchId(id),
        previous,
        descriptor: (number == 1).then(descriptor),
        first_revision: number,
        count: 1,
        operations: Vec::new(),
        chunks: Vec::new(),
        closing: false,
        compacted_from: None,
        manifest: Bytes::from(format!("manifest {number}")),
        body: Bytes::from(format!("body {number}")),
    }
}

fn row(revision: u64) -> ViewWrite {
    let view = View {
        id: Bytes::from_static(b"node"),
        path: Some("path".to_owned()),
        live: true,
        position: Position { epoch: 1, revision },
        value: Bytes::from_static(b"value"),
    };
    ViewWrite { kind: NODES, view }
}
