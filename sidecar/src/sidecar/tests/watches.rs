//! Watches of what the sidecar follows.

use vdom_api::dom::one_by_one;
use vdom_core::dom::calls::Event;

use super::*;

/// The next change that a watch tells; how far it is, it tells every second.
async fn next_change(events: &mut ServiceStream<Event>) -> (u64, String) {
    let next = async {
        loop {
            if let Event::Change(change) = events.next().await.unwrap().unwrap() {
                assert!(change.diff.is_none(), "nobody asked for it");
                return (change.change.revision, change.change.path.to_string());
            }
        }
    };
    tokio::time::timeout(SOON, next).await.unwrap()
}

#[tokio::test]
async fn watches_of_a_followed_branch_share_its_stream() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"1");
    assert_eq!(setup.text("a").await, "1");
    setup.caught_up().await;
    until(|| setup.gateway.subscriptions() == 1).await;
    let watch = |paths: &[&str]| Subscribe {
        address: address(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        from: None,
        include_diffs: false,
    };
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(one_by_one(setup.sidecar.subscribe(&caller(), watch(&[])).await.unwrap()));
    }
    let filtered = setup.sidecar.subscribe(&caller(), watch(&["c"])).await.unwrap();
    let mut filtered = one_by_one(filtered);
    assert_eq!(setup.gateway.subscriptions(), 1, "none is begun for them");

    setup.gateway.put("b", b"2");
    setup.gateway.put("c", b"3");
    for events in &mut all {
        assert_eq!(next_change(events).await, (2, "b".to_owned()));
        assert_eq!(next_change(events).await, (3, "c".to_owned()));
    }
    assert_eq!(next_change(&mut filtered).await, (3, "c".to_owned()));

    // What came before, and diffs, only the gateway has.
    let with_diffs = Subscribe { include_diffs: true, ..watch(&[]) };
    let _own = setup.sidecar.subscribe(&caller(), with_diffs).await.unwrap();
    assert_eq!(setup.gateway.subscriptions(), 2);

    // A stream that breaks ends those that share it: they resume at the gateway.
    setup.gateway.restore();
    let ended = async {
        loop {
            match filtered.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("no reason"),
            }
        }
    };
    let error = tokio::time::timeout(SOON, ended).await.unwrap();
    assert_eq!(error.code, ErrorCode::Unavailable);
}
