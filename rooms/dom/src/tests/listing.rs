//! Listing: what it says, and that nothing is opened for it.

use vdom_core::dom::calls::BranchSummary;

use super::branches::{branch, delete, fork, set_in};
use super::restores::restored;
use super::two_gateways::compact_in;
use super::*;
use crate::verbs::branches::summary;

fn peer(store: &MemoryStore) -> DocumentRoom {
    room_over(Arc::new(store.peer()))
}

async fn listed(room: &DocumentRoom) -> Vec<BranchSummary> {
    let address = address();
    room.list_branches(&caller("anna"), address.realm, address.repo).await.expect("branches")
}

/// As a branch that is opened says of itself.
async fn opened(room: &DocumentRoom, name: &str) -> BranchSummary {
    let registry = &room.registry;
    let permit = registry.permits.of(vdom_security::Duty::ServeBranches);
    summary(&registry.existing(permit, &branch(name)).await.expect("a branch").branch)
}

#[tokio::test]
async fn branches_are_listed_as_they_are_and_stay_closed() {
    let mut store = MemoryStore::shared(1);
    let room = peer(&store);
    for content in ["1", "2", "3"] {
        set_in(&room, "main", "a", content).await;
    }
    fork(&room, "next", "main", Some(2)).await;
    set_in(&room, "next", "b", "1").await;
    fork(&room, "of-next", "next", None).await;
    for ended in ["again", "gone"] {
        set_in(&room, ended, "a", "1").await;
        delete(&room, ended).await.expect("deleted");
    }
    set_in(&room, "again", "a", "1").await;
    for content in 4..=9 {
        set_in(&room, "main", "a", &content.to_string()).await;
    }
    compact_in(&room, "main", 3).await;
    let expected =
        [("again", 1, None), ("main", 9, None), ("next", 3, Some(2)), ("of-next", 3, Some(3))];
    room.close().await;

    // As it was written, after a restore, and after another one.
    for _ in 0..3 {
        let room = peer(&store);
        let cold = listed(&room).await;
        assert_eq!(room.registry.opened().len(), 0, "branches that listing opened");
        let shown: Vec<_> = cold
            .iter()
            .map(|it| (&*it.name, it.revision, it.origin.as_ref().map(|(_, revision)| *revision)))
            .collect();
        assert_eq!(shown, expected);
        for closed in &cold {
            assert_eq!(*closed, opened(&room, &closed.name).await);
        }
        assert_eq!(listed(&room).await, cold, "once they are open");
        room.close().await;
        store = restored(&store).await;
    }
}

#[tokio::test]
async fn what_another_gateway_acknowledged_is_listed() {
    let store = MemoryStore::shared(1);
    let (here, there) = (peer(&store), peer(&store));
    for name in ["main", "next", "over"] {
        set_in(&there, name, "a", "1").await;
        opened(&here, name).await;
    }
    set_in(&there, "main", "a", "2").await;
    delete(&there, "next").await.expect("deleted");
    delete(&there, "over").await.expect("deleted");
    let anew = set_in(&there, "over", "a", "1").await;
    let shown: Vec<_> =
        listed(&here).await.into_iter().map(|it| (it.name, it.revision, it.epoch)).collect();
    let main = opened(&there, "main").await.epoch;
    assert_eq!(shown, [("main".to_owned(), 2, main), ("over".to_owned(), 1, anew.epoch)]);
}
