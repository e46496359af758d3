//! Laws of vector clocks.

use proptest::prelude::*;

use super::*;

fn clock() -> impl Strategy<Value = VectorClock> {
    proptest::collection::btree_map("[a-e]", 0u64..4, 0..5)
        .prop_map(|entries| VectorClock::from_entries(entries).expect("few actors"))
}

fn reversed(ordering: ClockOrdering) -> ClockOrdering {
    match ordering {
        ClockOrdering::Behind => ClockOrdering::Ahead,
        ClockOrdering::Ahead => ClockOrdering::Behind,
        same => same,
    }
}

proptest! {
    #[test]
    fn comparing_is_antisymmetric(left in clock(), right in clock()) {
        prop_assert_eq!(left.compare(&right), reversed(right.compare(&left)));
        prop_assert_eq!(left.compare(&right) == ClockOrdering::Equal, left == right);
    }

    #[test]
    fn behind_is_transitive(a in clock(), b in clock(), c in clock()) {
        if a.compare(&b) == ClockOrdering::Behind && b.compare(&c) == ClockOrdering::Behind {
            prop_assert_eq!(a.compare(&c), ClockOrdering::Behind);
        }
    }

    #[test]
    fn an_increment_is_ahead(before in clock(), actor in "[a-e]") {
        let after = before.incremented(&actor, |_| 0);
        prop_assert_eq!(before.compare(&after), ClockOrdering::Behind);
        prop_assert_eq!(after.get(&actor), before.get(&actor) + 1);
    }
}

#[test]
fn the_longest_unused_actor_folds_and_no_change_is_forgotten() {
    let mut clock = VectorClock::default();
    for writer in 0..200u64 {
        let used = |actor: &str| actor.parse::<u64>().unwrap_or(0);
        clock = clock.incremented(&writer.to_string(), used);
    }
    assert_eq!(clock.entries().len(), CLOCK_MAX_ACTORS);
    assert_eq!(clock.entries().values().sum::<u64>(), 200);
    assert_eq!(clock.get(FOLDED_ACTOR), 200 - 63);
    assert_eq!(clock.get("199"), 1);
    assert_eq!(clock.get("0"), 0);
}

#[test]
fn too_many_actors_are_refused() {
    let entries = (0..65).map(|actor| (actor.to_string(), 1));
    let error = VectorClock::from_entries(entries).expect_err("65 actors");
    assert!(error.message.contains("at most 64"), "{error}");
}
