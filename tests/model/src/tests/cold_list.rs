//! How long listing many branches takes after a restart: measured on request, never judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use futures::{StreamExt, stream};
use tokio::time::Instant;
use vdom_api::dom::DocumentService;
use vdom_core::access::Scopes;
use vdom_core::dom::calls::{CreateBranch, ListBranches};
use vdom_core::{BranchAddress, RealmName, RepoName};
use vdom_dom::{DocumentRoom, DomMetrics, RoomBounds};
use vdom_edge::{Caller, Environment};
use vdom_security::{Authority, GuardedStore};
use vdom_store::Store;
use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};

/// So many branches are open at once while they are made.
const OPEN_AT_ONCE: u32 = 2_000;

fn room(store: &Arc<dyn Store>) -> DocumentRoom {
    let drawn = AtomicU64::new(1);
    let environment = Environment::new(
        || UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        Duration::default,
        move |bytes| {
            let number = drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            bytes.iter_mut().zip(number.into_iter().cycle()).for_each(|(at, byte)| *at = byte);
            Ok(())
        },
    );
    let (authority, permits) = Authority::new(RealmName::parse("default").ok());
    let (guarded, metrics) = (GuardedStore::new(store.clone()), DomMetrics::new());
    DocumentRoom::new(guarded, environment, authority, permits, metrics, RoomBounds::default())
}

fn caller() -> Caller {
    Caller {
        subject: "anna".into(),
        realm: None,
        scopes: Scopes::all(),
        deadline: None,
        expires_at: None,
        received_at: UNIX_EPOCH,
        request_id: "listing".into(),
        bearer: None,
    }
}

fn open(folder: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::open(folder.path(), EmbeddedOptions::default()).expect("a store"))
}

async fn make(store: &Arc<dyn Store>, numbers: std::ops::Range<u32>) {
    let (room, caller) = (room(store), caller());
    let create = |number| {
        let name = format!("branch-{number:06}");
        let address = BranchAddress::parse("", "repo", &name).expect("valid");
        let request = CreateBranch { address, from: None, at_revision: None, operation_id: None };
        let created = room.create_branch(&caller, request);
        async { created.await.expect("created") }
    };
    stream::iter(numbers.map(create)).buffer_unordered(256).for_each(|_| async {}).await;
    room.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: VDOM_LISTED_BRANCHES=100000 cargo test -p vdom-model --lib -- --ignored --nocapture cold_list"]
async fn a_cold_list_has_every_branch() {
    let count = std::env::var("VDOM_LISTED_BRANCHES").ok().and_then(|count| count.parse().ok());
    let count: u32 = count.unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    for from in (0..count).step_by(OPEN_AT_ONCE as usize) {
        make(&store, from..count.min(from + OPEN_AT_ONCE)).await;
    }
    store.close().await.expect("closed");

    let store = open(&folder);
    let begun = Instant::now();
    let room = room(&store);
    let mut token = String::new();
    let (mut listed, mut pages) = (0_u32, 0);
    loop {
        let (realm, repo) = (RealmName::parse("default"), RepoName::parse("repo"));
        let (realm, repo) = (realm.expect("valid"), repo.expect("valid"));
        let request = ListBranches::new(realm, repo, None, 0, &token).expect("valid");
        let page = room.list_branches(&caller(), request).await.expect("a page");
        for branch in page.branches {
            assert_eq!(branch.name, format!("branch-{listed:06}"));
            listed += 1;
        }
        (pages, token) = (pages + 1, page.next_page_token);
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, count);
    eprintln!("{count} branches in {pages} pages: {:?}", begun.elapsed());
    store.close().await.expect("closed");
}
