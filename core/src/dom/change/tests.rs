//! The stored form of changes and their chain.

use super::*;

fn change() -> Change {
    Change {
        epoch: 7,
        revision: 3,
        previous: Hash([1; 32]),
        diff_hash: sha256(b"diff"),
        diff_length: 4,
        node_id: NodeId([2; 16]),
        node_kind: NodeKind::File,
        kind: ChangeKind::Rename,
        path: NodePath::parse("b").expect("valid"),
        old_path: Some(NodePath::parse("a").expect("valid")),
        version: 2,
        clock: VectorClock::from_entries([("anna".to_owned(), 2)]).expect("valid"),
        actor: "anna".into(),
        author: "anna".into(),
        subject: "anna".into(),
        message: "move".into(),
        metadata: BTreeMap::from([("k".into(), "v".into())]),
        timestamp_ms: 1_700_000_000_000,
        authored_at_ms: None,
        operation: Some(Operation { id: OperationId([3; 16]), request: Hash([4; 32]) }),
        change_set: None,
        data_subject: None,
        encryption: Some(Encryption {
            algorithm: "AES-256-GCM".into(),
            key_id: "k1".into(),
            nonce: vec![5; 12],
        }),
        set_header: None,
        merged: false,
    }
}

#[test]
fn a_change_survives_its_stored_form() {
    let change = change();
    assert_eq!(Change::decode(&change.encode()), Ok(change));
}

#[test]
fn a_record_read_in_passing_says_the_same() {
    let header = ChangeSetHeader { message: "all".into(), metadata: BTreeMap::new() };
    let position = ChangeSetPosition { id: OperationId([6; 16]), index: 0, size: 2 };
    let change = Change { set_header: Some(header), change_set: Some(position), ..change() };
    let stored = change.encode();
    let record = ChangeRecord::decode(&stored).expect("a record");
    assert_eq!(
        record,
        ChangeRecord {
            epoch: change.epoch,
            revision: change.revision,
            previous: change.previous,
            diff_hash: change.diff_hash,
            diff_length: change.diff_length,
            node_id: change.node_id,
            node_kind: change.node_kind,
            kind: change.kind,
            path: "b",
            old_path: Some("a"),
            version: change.version,
            clock: ClockRecord { entries: vec![("anna", 2)] },
            actor: "anna",
            author: "anna",
            subject: "anna",
            message: "move",
            metadata: vec![("k", "v")],
            timestamp_ms: change.timestamp_ms,
            authored_at_ms: change.authored_at_ms,
            operation: change.operation,
            change_set: change.change_set,
            merged: change.merged,
            set_header: change.set_header,
        }
    );
    let head = ChangeRecordHead::decode(&stored).expect("a record");
    assert_eq!(
        head,
        ChangeRecordHead {
            revision: record.revision,
            previous: record.previous,
            diff_length: record.diff_length,
            path: record.path,
            old_path: record.old_path,
            change_set: record.change_set,
            set_header: record.set_header,
        }
    );
    let cut = ChangeRecord::decode(&stored[..stored.len() - 1]).expect_err("cut");
    assert_eq!(cut.code, ErrorCode::DataLoss);
}

#[test]
fn the_stored_form_is_fixed() {
    // A released record must decode and hash the same for ever.
    assert_eq!(chain_hash(&change().encode()).to_string(), FIXED_HASH);
}

const FIXED_HASH: &str = "7598f9dfb9ad369345f9222dace44e3698f6a7e5d4c4accbdad972d6a9860e93";

#[test]
fn every_field_is_covered_by_the_chain() {
    let original = chain_hash(&change().encode());
    let altered = [
        Change { previous: Hash([9; 32]), ..change() },
        Change { diff_hash: sha256(b"other"), ..change() },
        Change { subject: "eve".into(), ..change() },
        Change { timestamp_ms: 0, ..change() },
        Change { old_path: None, ..change() },
    ];
    for change in altered {
        assert_ne!(chain_hash(&change.encode()), original, "{change:?}");
    }
}

#[test]
fn a_damaged_record_is_data_loss() {
    let record = change().encode();
    let error = Change::decode(&record[..record.len() / 2]).expect_err("cut");
    assert_eq!(error.code, ErrorCode::DataLoss);
}
