//! Listing: what it says, and that nothing is opened for it.

use vdom_core::dom::calls::BranchPage;
use vdom_core::{BranchName, ErrorCode, RepoName};

use super::branches::{branch, delete, fork, set_in};
use super::restores::restored;
use super::two_gateways::compact_in;
use super::*;
use crate::verbs::branches::summary;

fn peer(store: &MemoryStore) -> DocumentRoom {
    room_over(Arc::new(store.peer()))
}

async fn listed(room: &DocumentRoom) -> Vec<BranchSummary> {
    branches_of(room).await.expect("branches")
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

async fn page(
    room: &DocumentRoom,
    of: &str,
    branch: Option<&str>,
    size: u32,
) -> Result<BranchPage> {
    let (realm, repo) = (address().realm, RepoName::parse(of)?);
    let branch = branch.map(BranchName::parse).transpose()?;
    let request = ListBranches::new(realm, repo, branch, size, "")?;
    room.list_branches(&caller("anna"), request).await
}

#[tokio::test]
async fn pages_have_every_branch_once_whatever_ended_between() {
    let store = MemoryStore::shared(1);
    let room = peer(&store);
    for name in ["a", "b", "c", "d", "e"] {
        set_in(&room, name, "a", "1").await;
    }
    // Names with several logs, also more than a page looks at.
    for name in ["b", "c", "c", "c", "c", "e"] {
        delete(&room, name).await.expect("deleted");
        if name == "c" {
            set_in(&room, name, "a", "1").await;
        }
    }
    let names = |page: &BranchPage| {
        page.branches.iter().map(|branch| branch.name.clone()).collect::<Vec<_>>()
    };
    for size in 1..=5 {
        let (mut token, mut pages) = (String::new(), Vec::new());
        loop {
            let BranchAddress { realm, repo, .. } = address();
            let request = ListBranches::new(realm, repo, None, size, &token).expect("valid");
            let page = room.list_branches(&caller("anna"), request).await.expect("a page");
            assert!(page.branches.len() <= size as usize);
            pages.extend(names(&page));
            if page.next_page_token.is_empty() {
                break;
            }
            assert_eq!(page.branches.len(), size as usize, "only the last page is short");
            token = page.next_page_token;
        }
        assert_eq!(pages, ["a", "c", "d"], "in pages of {size}");
    }
    let exact = page(&room, "repo", None, 3).await.expect("a page");
    assert_eq!((names(&exact), &*exact.next_page_token), (listed_names(&room).await, ""));
}

async fn listed_names(room: &DocumentRoom) -> Vec<String> {
    listed(room).await.into_iter().map(|branch| branch.name).collect()
}

#[tokio::test]
async fn one_branch_is_listed_by_its_name() {
    let room = room();
    set_in(&room, "main", "a", "1").await;
    set_in(&room, "gone", "a", "1").await;
    delete(&room, "gone").await.expect("deleted");
    let one = page(&room, "repo", Some("main"), 1).await.expect("listed");
    assert_eq!(one.branches, [opened(&room, "main").await]);
    for name in ["gone", "never"] {
        assert_eq!(page(&room, "repo", Some(name), 0).await, Ok(BranchPage::default()));
    }
    for branch in [None, Some("main")] {
        let error = page(&room, "nowhere", branch, 0).await.expect_err("no such repo");
        assert_eq!(error.code, ErrorCode::NotFound, "{error}");
    }
}
