//! What keeps a cached branch true: races decided by hand.

use bytes::Bytes;
use vdom_core::ChangeKind::{Create, Update};
use vdom_core::dom::calls::{AckLevel, Snapshot};
use vdom_core::{Content, ErrorCode, Result, VectorClock};

use super::single_flight::ReadFrom;
use super::*;
use crate::cache::NodeKey;
use crate::fixtures::{
    EPOCH, EventBuilder, TestClock, address, id, node, path, snapshot, staleness,
};

const FRESH: Freshness = Freshness { age_ms: 0, stale: false, source: Source::Store };

struct Setup {
    branch: Arc<Branch>,
    clock: TestClock,
}

impl Setup {
    /// A branch that knows nothing.
    fn new() -> Self {
        let clock = TestClock::default();
        let cache = NodeCache::new(1 << 20);
        let branch = Branch::new(address(), 1, cache, clock.environment(), staleness());
        Self { branch: Arc::new(branch), clock }
    }

    /// A branch that is followed from revision 1 on, where `a` is `one`.
    fn followed() -> Self {
        let setup = Self::new();
        let mut load = setup.begin("a");
        let first = load.settle(Ok(snapshot(node(1, "a", 1, b"one"), 1)));
        assert_eq!(first, Settled::Given { began: true });
        setup
    }

    fn begin(&self, at_path: &str) -> Load {
        match self.branch.join(&NodeKey::Path(path(at_path)), 0) {
            Joined::First(mut load, _) => {
                load.ask();
                load
            }
            Joined::Waiting(_) => panic!("somebody else loads {at_path}"),
        }
    }

    fn read(&self, at_path: &str) -> Option<(Bytes, u64)> {
        let hit = self.hit(at_path, Wanted::default())?;
        match hit.found {
            Found::Node(node) => Some((node.content(), hit.revision)),
            Found::Missing(_) => None,
        }
    }

    fn hit(&self, at_path: &str, wanted: Wanted) -> Option<Hit> {
        self.branch.hit(KeyRef::Path(1, at_path), wanted)
    }
}

fn content(answer: &Result<Arc<Snapshot>>) -> Bytes {
    match &answer.as_ref().unwrap().node.content {
        Content::Inline(bytes) => bytes.clone(),
        Content::Part(_) | Content::Chunked(_) => panic!("at hand"),
    }
}

fn written(number: u8, revision: u64) -> Written {
    Written {
        node_id: id(number),
        version: 2,
        clock: VectorClock::default(),
        epoch: EPOCH,
        revision,
        ack: AckLevel::Committed,
        merged: false,
        timestamp_ms: 0,
        operation_id: None,
    }
}

#[test]
fn a_load_that_a_change_overtook_does_not_put_old_data_back() {
    let setup = Setup::followed();
    // The gateway reads `b` as it was at revision 1 …
    let mut load = setup.begin("b");
    let old = snapshot(node(2, "b", 1, b"old"), 1);
    // … but before its answer is here, the change of `b` is.
    setup.branch.apply(&EventBuilder::new(Update, 2, "b", 2).put(b"new").build());
    assert_eq!(load.settle(Ok(old)), Settled::Overtaken { began: false });
    assert_eq!(setup.read("b"), None);
    // The next round asks for what the change made.
    assert_eq!(load.ask(), Some(ReadFrom { epoch: Some(EPOCH), revision: 2 }));
    let settled = load.settle(Ok(snapshot(node(2, "b", 2, b"new"), 2)));
    assert_eq!(settled, Settled::Given { began: false });
    assert_eq!(setup.read("b"), Some(("new".into(), 2)));
}

#[test]
fn a_change_elsewhere_does_not_disturb_a_load() {
    let setup = Setup::followed();
    let mut load = setup.begin("b");
    setup.branch.apply(&EventBuilder::new(Update, 1, "a", 2).put(b"two").build());
    let settled = load.settle(Ok(snapshot(node(2, "b", 1, b"still"), 1)));
    assert_eq!(settled, Settled::Given { began: false });
    // Nothing has changed it up to the head, so it is as of the head.
    assert_eq!(setup.read("b"), Some(("still".into(), 2)));
}

#[test]
fn an_answer_that_is_ahead_of_the_stream_stays_when_its_changes_come() {
    let setup = Setup::followed();
    let mut load = setup.begin("b");
    load.settle(Ok(snapshot(node(2, "b", 5, b"five"), 9)));
    assert_eq!(setup.read("b"), Some(("five".into(), 9)));
    for revision in 2..=5 {
        let event = EventBuilder::new(Update, 2, "b", revision).put(b"between").version(revision);
        setup.branch.apply(&event.build());
    }
    assert_eq!(setup.read("b"), Some(("five".into(), 9)));
}

#[test]
fn that_nothing_is_there_is_not_kept_when_something_came_meanwhile() {
    let setup = Setup::followed();
    let mut load = setup.begin("b");
    setup.branch.apply(&EventBuilder::new(Create, 2, "b", 2).put(b"new").build());
    let not_found = || Err(Error::not_found("no node `b`"));
    assert_eq!(load.settle(not_found()), Settled::Overtaken { began: false });

    let mut load = setup.begin("c");
    assert_eq!(load.settle(not_found()), Settled::Given { began: false });
    let hit = setup.hit("c", Wanted::default()).expect("known to be missing");
    assert!(matches!(hit.found, Found::Missing(_)));
    setup.branch.apply(&EventBuilder::new(Create, 3, "c", 3).put(b"new").build());
    assert_eq!(setup.read("c"), Some(("new".into(), 3)));
}

#[test]
fn an_answer_from_before_following_began_is_loaded_again() {
    let setup = Setup::new();
    let (mut first, mut second) = (setup.begin("a"), setup.begin("b"));
    first.settle(Ok(snapshot(node(1, "a", 3, b"three"), 3)));
    // What happened between 2 and 3 will never be told.
    let settled = second.settle(Ok(snapshot(node(2, "b", 1, b"old"), 2)));
    assert_eq!(settled, Settled::Overtaken { began: false });
    assert_eq!(second.ask(), Some(ReadFrom { epoch: Some(EPOCH), revision: 3 }));
}

#[test]
fn all_who_ask_at_the_same_time_share_one_load() {
    let setup = Setup::followed();
    let key = NodeKey::Path(path("b"));
    let Joined::First(mut load, first) = setup.branch.join(&key, 0) else { panic!("the first") };
    let Joined::Waiting(second) = setup.branch.join(&key, 4) else { panic!("the second") };
    assert_eq!(load.ask().map(|from| from.revision), Some(4), "as the most demanding one asks");
    load.settle(Ok(snapshot(node(2, "b", 1, b"shared"), 4)));
    for answer in [first, second] {
        assert_eq!(content(answer.borrow().as_ref().unwrap()), "shared");
    }
    assert!(matches!(setup.branch.join(&key, 0), Joined::First(..)), "the load is over");
}

#[test]
fn a_load_that_is_dropped_does_not_block_the_next() {
    let setup = Setup::followed();
    let key = NodeKey::Path(path("b"));
    let Joined::First(load, answer) = setup.branch.join(&key, 0) else { panic!("the first") };
    drop(load);
    assert!(answer.has_changed().is_err(), "its readers are told");
    assert!(matches!(setup.branch.join(&key, 0), Joined::First(..)));
}

#[test]
fn a_load_that_is_always_overtaken_is_given_but_not_kept() {
    let setup = Setup::followed();
    let key = NodeKey::Path(path("b"));
    let Joined::First(mut load, answer) = setup.branch.join(&key, 0) else { panic!("the first") };
    let mut revision = 1;
    loop {
        load.ask();
        revision += 1;
        setup.branch.apply(&EventBuilder::new(Update, 2, "b", revision).build());
        let old = snapshot(node(2, "b", 1, b"old"), revision - 1);
        if let Settled::Given { .. } = load.settle(Ok(old)) {
            break;
        }
        assert!(revision < 20, "it must end");
    }
    assert_eq!(answer.borrow().as_ref().unwrap().as_ref().unwrap().revision, revision - 1);
    assert_eq!(setup.read("b"), None);
}

#[test]
fn no_read_is_older_than_an_own_write() {
    let setup = Setup::followed();
    assert_eq!(setup.read("a"), Some(("one".into(), 1)));
    let mut running = setup.begin("b");
    setup.branch.wrote(&written(1, 2));
    assert_eq!(setup.read("a"), None, "its change has not come yet");
    let too_old = Err(Error::not_found("no node `b`"));
    assert_eq!(running.settle(too_old), Settled::Overtaken { began: false });
    setup.branch.apply(&EventBuilder::new(Update, 1, "a", 2).put(b"two").build());
    assert_eq!(setup.read("a"), Some(("two".into(), 2)));
}

#[test]
fn without_the_gateway_an_own_write_only_hides_what_it_changed() {
    let setup = Setup::followed();
    setup.begin("b").settle(Ok(snapshot(node(2, "b", 1, b"other"), 1)));
    setup.branch.wrote(&written(1, 2));
    let hit =
        |at_path| setup.branch.hit_without_gateway(KeyRef::Path(1, at_path), Wanted::default());
    assert!(hit("a").is_none());
    let other = hit("b").expect("untouched by the write");
    assert!(other.freshness.stale);
    assert_eq!(other.revision, 1, "and honest about how old it is");
}

#[test]
fn an_answer_says_how_old_it_is_and_when_it_is_stale() {
    let setup = Setup::followed();
    setup.clock.advance(Duration::from_millis(900));
    let freshness = |setup: &Setup| setup.hit("a", Wanted::default()).unwrap().freshness;
    let expected = Freshness { age_ms: 900, stale: false, source: Source::Cache };
    assert_eq!(freshness(&setup), expected);
    setup.branch.confirm(1, Freshness { age_ms: 40, ..FRESH });
    assert_eq!(freshness(&setup).age_ms, 40);
    setup.branch.confirm(1, Freshness { stale: true, ..FRESH });
    assert!(freshness(&setup).stale, "the gateway itself cannot confirm the head");
    setup.branch.confirm(1, FRESH);
    setup.clock.advance(staleness().stale_after + Duration::from_millis(1));
    assert!(freshness(&setup).stale);
    assert!(setup.hit("a", Wanted { max_age_ms: Some(3_000), ..Wanted::default() }).is_none());
    setup.clock.advance(staleness().offline_max);
    assert!(setup.hit("a", Wanted::default()).is_none(), "rights do not outlive the policy");
}

#[test]
fn that_nothing_is_there_is_only_said_while_it_is_known() {
    let setup = Setup::followed();
    setup.begin("c").settle(Err(Error::not_found("no node `c`")));
    assert!(setup.hit("c", Wanted::default()).is_some());
    setup.clock.advance(staleness().stale_after + Duration::from_millis(1));
    assert!(setup.hit("c", Wanted::default()).is_none());
}

#[test]
fn a_change_set_moves_the_head_once() {
    let setup = Setup::followed();
    let part = |number, at_path, revision, index| {
        EventBuilder::new(Create, number, at_path, revision).put(b"x").in_set(index, 2).build()
    };
    setup.branch.apply(&part(5, "d", 2, 0));
    assert_eq!(setup.branch.head().unwrap().revision, 1);
    setup.branch.apply(&part(6, "e", 3, 1));
    assert_eq!(setup.branch.head().unwrap().revision, 3);
}

#[test]
fn another_epoch_is_never_mixed_in() {
    let setup = Setup::followed();
    let mut load = setup.begin("b");
    let other = Snapshot { epoch: EPOCH + 1, ..snapshot(node(2, "b", 1, b"x"), 9) };
    assert_eq!(load.settle(Ok(other)), Settled::Given { began: false });
    assert_eq!(setup.read("b"), None);
    let of_other_epoch = Wanted { epoch: Some(EPOCH + 1), ..Wanted::default() };
    assert!(setup.hit("a", of_other_epoch).is_none());
    setup.branch.wrote(&Written { epoch: EPOCH + 1, ..written(1, 1) });
    assert!(setup.branch.is_over());
    assert_eq!(setup.read("a"), None);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_revision_ends_with_it_with_time_or_with_the_branch() {
    let setup = Setup::followed();
    let soon = || Instant::now() + Duration::from_secs(3);
    let waiting = tokio::spawn({
        let branch = Arc::clone(&setup.branch);
        let until = soon();
        async move { branch.reaches(2, until).await }
    });
    setup.branch.apply(&EventBuilder::new(Update, 1, "a", 2).put(b"two").build());
    assert!(waiting.await.unwrap());
    assert!(!setup.branch.reaches(3, soon()).await, "time runs out");
    setup.branch.end();
    assert!(!setup.branch.reaches(3, soon()).await, "the branch is over");
    assert_eq!(setup.branch.not_reached(3).code, ErrorCode::Unavailable);
}
