//! Names, ids and stored forms of logs.

use super::*;

fn name(realm: &str, room: &str, segments: &[&str]) -> LogName {
    let segments = segments.iter().map(|segment| (*segment).to_owned()).collect();
    LogName { realm: realm.to_owned(), room: room.to_owned(), segments }
}

/// Stores hold these ids: another one would be another log.
#[test]
fn the_id_of_a_log_without_a_room_stays() {
    let main = name("acme", "", &["web", "main"]);
    assert_eq!(
        main.log_id(1).to_string(),
        "a1db7b35b3053d17aa43ff16dbc7b8145d13ffcb145726fbf6cd0718d751334a"
    );
    assert_eq!(
        main.log_id(2).to_string(),
        "9c709dbf584e6317bc566fae742ab0eab17f9e58c7bd37b83f6d8eb7c0961903"
    );
    assert_eq!(
        name("acme", "", &["", ""]).log_id(1).to_string(),
        "b62189aa3c47cc001fe5c8eb1163a114bf2e0d69256cc174967eb01a41e12b33"
    );
}

#[test]
fn log_ids_tell_names_apart() {
    let names = [
        name("a", "", &["b", "c"]),
        name("ab", "", &["", "c"]),
        name("a", "", &["bc", ""]),
        name("a", "git", &["b", "c"]),
        name("a", "grid", &["b", "c"]),
        name("a", "git", &["b"]),
        name("a", "git", &["b", "c", ""]),
        name("a", "git", &[]),
        name("git", "a", &["b", "c"]),
    ];
    let ids: Vec<_> =
        names.iter().flat_map(|name| [1, 2].map(|incarnation| name.log_id(incarnation))).collect();
    for (at, one) in ids.iter().enumerate() {
        assert!(ids[at + 1..].iter().all(|other| other != one));
    }
    assert_eq!(ids[0], name("a", "", &["b", "c"]).incarnation(1).log_id());
}

#[test]
fn the_stored_form_of_a_log_without_a_room_stays() {
    let main = name("acme", "", &["web", "main"]).incarnation(300);
    let stored = minicbor::to_vec(&main).unwrap();
    assert_eq!(hex::encode(&stored), "846461636d6563776562646d61696e19012c");
    assert_eq!(minicbor::decode::<LogDescriptor>(&stored).unwrap(), main);
}

#[test]
fn a_release_that_knows_no_rooms_refuses_the_logs_of_one() {
    /// As it was in the first release.
    #[derive(Debug, Decode)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Earlier(#[n(0)] String, #[n(1)] String, #[n(2)] String, #[n(3)] u64);

    for segments in [&["web", "main"][..], &[], &["a", "b", "c"]] {
        let log = name("acme", "git", segments).incarnation(7);
        let stored = minicbor::to_vec(&log).unwrap();
        assert_eq!(minicbor::decode::<LogDescriptor>(&stored).unwrap(), log);
        minicbor::decode::<Earlier>(&stored).unwrap_err();
    }
}

#[test]
fn names_that_no_log_can_have_are_found() {
    for fine in [name("a", "", &["", ""]), name("a", "git", &[]), name("a", "git", &["b"])] {
        assert_eq!(fine.fault(), None);
    }
    for wrong in [
        name("a", "", &[]),
        name("a", "", &["b", "c", "d"]),
        name("a\0", "", &["b", "c"]),
        name("a", "g\0", &["b", "c"]),
        name("a", "", &["b", "\0c"]),
    ] {
        assert!(wrong.fault().is_some(), "{wrong:?}");
    }
}

#[test]
fn a_filter_takes_the_first_segments() {
    let log = name("acme", "git", &["web", "main"]);
    let matches = |realm: &str, room: &str, segments: &[&str]| {
        let LogName { realm, room, segments } = name(realm, room, segments);
        LogFilter { realm, room, segments, ..LogFilter::default() }.matches(&log)
    };
    assert!(matches("acme", "git", &[]));
    assert!(matches("acme", "git", &["web"]));
    assert!(matches("acme", "git", &["web", "main"]));
    assert!(!matches("acme", "", &[]));
    assert!(!matches("acme", "git", &["we"]));
    assert!(!matches("acme", "git", &["main"]));
    assert!(!matches("acme", "git", &["web", "main", ""]));
    assert!(!matches("acm", "git", &[]));
}
