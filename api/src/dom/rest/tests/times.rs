//! What one door accepts every door can show.

use proptest::prelude::{Strategy, any};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use prost_types::Timestamp;
use vdom_core::dom::calls::{ChangeEvent, Event, GetHistory};
use vdom_core::{BranchAddress, Change};
use vdom_proto::v1::WriteDiffsRequest;

use super::*;
use crate::dom::convert::{decode, encode};

fn address() -> BranchAddress {
    BranchAddress::parse("default", "vdom", "main").expect("an address")
}

/// What the gRPC door makes of a time.
fn taken(timestamp: Timestamp) -> vdom_core::Result<Option<i64>> {
    let request = WriteDiffsRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        authored_at: Some(timestamp),
        ..WriteDiffsRequest::default()
    };
    decode::write_diffs(request, None).map(|set| set.authored_at_ms)
}

/// A change that says that it was made then.
async fn change() -> ChangeEvent {
    let door = Door::new();
    door.put(&format!("{NODES}/a"), &[], "text").await;
    let request = GetHistory {
        address: address(),
        node: None,
        before_revision: None,
        limit: 1,
        include_diffs: false,
    };
    door.dom.history(&caller(), request).await.expect("a history").changes.remove(0)
}

fn made_at(event: &ChangeEvent, timestamp_ms: i64, authored_at_ms: i64) -> ChangeEvent {
    let change = Change {
        timestamp_ms,
        authored_at_ms: Some(authored_at_ms),
        ..Change::clone(&event.change)
    };
    ChangeEvent { change: Arc::new(change), ..event.clone() }
}

fn seconds() -> impl Strategy<Value = i64> {
    let ends = [vdom_core::time::MIN_MS, vdom_core::time::MAX_MS].map(|end| end.div_euclid(1_000));
    prop_oneof![
        any::<i64>(),
        ends[0]..=ends[1],
        (ends[0] - 2)..(ends[0] + 2),
        (ends[1] - 2)..(ends[1] + 2),
    ]
}

#[tokio::test]
async fn what_one_door_accepts_every_door_can_show() {
    let event = change().await;
    proptest!(|(seconds in seconds(), nanos in prop_oneof![any::<i32>(), 0..1_000_000_000])| {
        let timestamp = Timestamp { seconds, nanos };
        match taken(timestamp) {
            Ok(milliseconds) => {
                let milliseconds = milliseconds.expect("a time");
                let shown = made_at(&event, milliseconds, milliseconds);
                let json = to_json::change(&shown);
                let text = json["authored_at"].as_str().expect("text");
                prop_assert_eq!(vdom_core::time::parse("authored_at", text), Ok(milliseconds));
                let wire = encode::event(Event::Change(Box::new(shown)), &address());
                let again = wire.authored_at.expect("a time");
                prop_assert_eq!(taken(again), Ok(Some(milliseconds)));
            }
            Err(error) => prop_assert!(error.message.contains("authored_at"), "{}", error),
        }
    });
}

#[tokio::test]
async fn what_is_stored_is_shown_whatever_it_is() {
    let event = change().await;
    proptest!(|(timestamp_ms in any::<i64>(), authored_at_ms in any::<i64>())| {
        let shown = made_at(&event, timestamp_ms, authored_at_ms);
        let json = to_json::change(&shown);
        for name in ["timestamp", "authored_at"] {
            let text = json[name].as_str().expect("text");
            prop_assert!(vdom_core::time::parse(name, text).is_ok(), "{}", text);
        }
        let wire = encode::event(Event::Change(Box::new(shown)), &address());
        prop_assert!(taken(wire.authored_at.expect("a time")).is_ok());
    });
}
