//! Batches are encoded once for all, and in parts.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::dom::calls::Source;

fn progress(revision: u64) -> BatchEvent {
    let freshness = Freshness { age_ms: 0, stale: false, source: Source::Store };
    BatchEvent::Progress { epoch: 1, revision, freshness }
}

fn batch(revisions: Range<u64>) -> Arc<EventBatch> {
    let address = BranchAddress::parse("", "vdom", "main").expect("an address");
    Arc::new(EventBatch::new(address, revisions.map(progress).collect()))
}

fn revision(event: &BatchEvent) -> u64 {
    match event {
        BatchEvent::Progress { revision, .. } => *revision,
        other => panic!("{other:?}"),
    }
}

static DECIMALS: AtomicUsize = AtomicUsize::new(0);

struct Decimal;

impl EventEncoder for Decimal {
    fn encode(_: &BranchAddress, event: &BatchEvent, out: &mut Vec<u8>) -> Result<()> {
        DECIMALS.fetch_add(1, Ordering::Relaxed);
        out.extend_from_slice(format!("{};", revision(event)).as_bytes());
        Ok(())
    }
}

struct Hexadecimal;

impl EventEncoder for Hexadecimal {
    fn encode(_: &BranchAddress, event: &BatchEvent, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(format!("{:x};", revision(event)).as_bytes());
        Ok(())
    }
}

#[test]
fn each_encoder_writes_a_batch_once_and_slices_share_it() {
    let batch = batch(9..13);
    let whole = EventSlice::new(Arc::clone(&batch), 0..usize::MAX);
    let part = EventSlice::new(Arc::clone(&batch), 1..3);
    assert_eq!(whole.encoded::<Decimal>().expect("encoded"), "9;10;11;12;");
    assert_eq!(whole.encoded::<Hexadecimal>().expect("encoded"), "9;a;b;c;");
    let encoded = part.encoded::<Decimal>().expect("encoded");
    assert_eq!(encoded, "10;11;");
    let shared = whole.encoded::<Decimal>().expect("encoded");
    assert_eq!(encoded.as_ptr(), shared[2..].as_ptr());
    assert_eq!(part.encoded::<Hexadecimal>().expect("encoded"), "a;b;");
    assert_eq!(DECIMALS.load(Ordering::Relaxed), 4);
    assert_eq!(part.events().len(), 2);
    assert!(EventSlice::new(batch, 7..9).encoded::<Decimal>().expect("encoded").is_empty());
}

struct Refusing;

impl EventEncoder for Refusing {
    fn encode(_: &BranchAddress, event: &BatchEvent, _: &mut Vec<u8>) -> Result<()> {
        event.to_event().map(drop)
    }
}

#[test]
fn a_stored_change_that_cannot_be_read_is_said() {
    let address = BranchAddress::parse("", "vdom", "main").expect("an address");
    let stored = StoredChange {
        record: Bytes::from_static(b"no record"),
        revision: 1,
        change_set: None,
        epoch: 1,
        set: None,
        hash: Hash::default(),
        diff: None,
    };
    let slice = EventSlice::whole(EventBatch::new(address, vec![BatchEvent::Stored(stored)]));
    for refused in [slice.encoded::<Refusing>().map(drop), slice.to_events().map(drop)] {
        assert_eq!(refused.expect_err("refused").code, crate::ErrorCode::DataLoss);
    }
}
