//! `kill -9` under load: what was acknowledged stays, and stays once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vdom_proto::v1;
use vdom_testkit::client::{Client, operation_id};
use vdom_testkit::process::ServerProcess;

/// How many kills, where not 20.
const KILLS: &str = "VDOM_CHAOS_KILLS";
const WRITERS: u64 = 8;

async fn gateway(data: &Path) -> ServerProcess {
    ServerProcess::up(data, &["--dev", "--log", "error"]).await
}

/// Writes until it is told to stop; every write is repeated under its operation
/// id until it is acknowledged or the gateway is gone. Answers what was
/// acknowledged, and the write whose outcome is not known.
async fn write(
    url: String,
    writer: u64,
    round: u64,
    unknown: Option<u64>,
    stop: Arc<AtomicBool>,
) -> (BTreeMap<u64, v1::WriteDiffResponse>, Option<u64>) {
    let mut client = Client::connect(&url, None).await;
    let mut acknowledged = BTreeMap::new();
    let fresh = (0..).map(|number| (round * WRITERS + writer) << 32 | number);
    for operation in unknown.into_iter().chain(fresh) {
        if stop.load(Ordering::Relaxed) && Some(operation) != unknown {
            break;
        }
        let mut request = client.put_request(&format!("n{operation}"), &operation.to_be_bytes());
        request.operation_id = operation_id(operation);
        match client.write(request).await {
            Ok(answer) => {
                assert!(answer.success, "{operation}: {answer:?}");
                acknowledged.insert(operation, answer);
            }
            Err(_) => return (acknowledged, Some(operation)),
        }
    }
    (acknowledged, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_and_double_nothing() {
    let kills = std::env::var(KILLS).map_or(20, |kills| kills.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut acknowledged = BTreeMap::new();
    let mut unknown: Vec<Option<u64>> = vec![None; WRITERS as usize];
    for round in 0..=kills {
        let mut server = gateway(&data).await;
        let url = format!("http://{}", server.text("gateway.grpc"));
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let unknown = unknown[writer as usize];
                tokio::spawn(write(url.clone(), writer, round, unknown, stop.clone()))
            })
            .collect();
        // Another moment of the load each time; the last time it may finish.
        tokio::time::sleep(Duration::from_millis(40 + 17 * (round % 25))).await;
        if round == kills {
            stop.store(true, Ordering::Relaxed);
        } else {
            server.child.start_kill().expect("it was running");
        }
        for (writer, task) in writers.into_iter().enumerate() {
            let (written, left) = task.await.expect("a writer");
            acknowledged.extend(written);
            unknown[writer] = left;
        }
        // Only a process that has ended has let go of its store.
        server.kill().await;
    }
    assert_eq!(unknown, vec![None; WRITERS as usize], "the last gateway was not killed");

    let server = gateway(&data).await;
    let mut client =
        Client::connect(&format!("http://{}", server.text("gateway.grpc")), None).await;
    let epoch = acknowledged.values().next().expect("some").epoch;
    let mut events = client.subscribe(Some((epoch, 0))).await.expect("a stream");
    let mut found = BTreeMap::new();
    loop {
        let event = events.message().await.expect("no error").expect("no end");
        if event.r#type() == v1::change_event::Type::Progress {
            if event.revision >= acknowledged.values().map(|answer| answer.revision).max().unwrap()
            {
                break;
            }
            continue;
        }
        assert_eq!(event.revision, found.len() as u64 + 1, "no revision is missing");
        let doubled = found.insert(event.path.clone(), event);
        assert!(doubled.is_none(), "written twice: {doubled:?}");
    }
    for (operation, answer) in &acknowledged {
        let event = found.get(&format!("n{operation}")).expect("an acknowledged write is there");
        assert_eq!((event.revision, &event.node_id), (answer.revision, &answer.node_id));
        let read = client.read(&format!("n{operation}")).await.expect("readable");
        assert_eq!(read.content, operation.to_be_bytes().as_slice());
    }
    assert!(acknowledged.len() > 100, "only {} writes: no load", acknowledged.len());
}
