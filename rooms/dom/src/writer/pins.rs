//! What those who continue a branch still need of it.

use std::collections::HashSet;
use std::time::Duration;

use vdom_core::Result;
use vdom_security::PermittedStore;
use vdom_store::{LogDescriptor, LogEntry, LogId};

use crate::error::from_store;
use crate::log_reader::LogReader;
use crate::records::{ControlRecord, DocumentView, Pin, decode_batch, decode_pin};

/// A branch that has not come by then never will: its creator has ended.
const PIN_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
const ROWS_PER_PAGE: usize = 512;

/// A log that may need something of the pinned one.
struct Descendant {
    log: LogId,
    /// The lowest revision of the pinned log that it needs if it lives.
    revision: u64,
    /// What it was pinned with; `None` where a restore goes on with a log.
    pin: Option<Pin>,
}

/// The lowest revision after `inherited` of the pinned log that the branch of a pin needs, or
/// whoever continues that: while it is being made, is open, or was restored since. `None` for
/// nothing; what the log continues up to `inherited` is pinned where it lives.
pub(super) async fn needed_by(
    store: PermittedStore<'_>,
    pin: Pin,
    inherited: u64,
    now_ms: i64,
) -> Result<Option<u64>> {
    let mut needed: Option<u64> = None;
    let mut known = HashSet::new();
    let mut waiting = vec![Descendant { log: pin.log, revision: pin.revision, pin: Some(pin) }];
    while let Some(Descendant { log, revision, pin }) = waiting.pop() {
        let made_at = pin.map(|pin| pin.revision);
        if revision <= inherited || !known.insert((log, revision, made_at)) {
            continue;
        }
        let resource = format!("log {log}");
        let failed = |error| from_store(error, &resource);
        let first = store.read(log, 1, 1).await.map_err(failed)?;
        let (Some(first), Some(last)) = (first.first(), store.last(log).await.map_err(failed)?)
        else {
            // A pin comes before the branch that it is for.
            if pin.is_none_or(|pin| is_awaited(pin, now_ms)) {
                needed = Some(needed.map_or(revision, |needed| needed.min(revision)));
            }
            continue;
        };
        let begins_at = begins_at(first)?;
        if pin.is_some_and(|pin| begins_at != Some(pin.revision)) {
            // Another creator of that branch came first, with a pin of its own.
            continue;
        }
        let pins = if last.batch.closing {
            waiting.extend(restored_from(store, first.batch.descriptor.as_ref(), revision).await?);
            pins_in_log(store, log, &resource).await?
        } else {
            needed = Some(needed.map_or(revision, |needed| needed.min(revision)));
            // Those of what it continues, which some releases left with it.
            let is_inherited = |pin: &Pin| Some(pin.revision) < begins_at;
            pins_in_rows(store, log, &resource).await?.into_iter().filter(is_inherited).collect()
        };
        waiting.extend(pins.into_iter().map(|pin| Descendant {
            log: pin.log,
            revision: revision.min(pin.revision),
            pin: Some(pin),
        }));
    }
    Ok(needed)
}

/// Whether a branch that does not exist yet may still be on its way.
fn is_awaited(pin: Pin, now_ms: i64) -> bool {
    pin.made_at_ms.is_none_or(|made_at_ms| {
        u128::try_from(now_ms.saturating_sub(made_at_ms)).unwrap_or(0) <= PIN_GRACE.as_millis()
    })
}

/// The revision at which a log leaves what it continues.
fn begins_at(first: &LogEntry) -> Result<Option<u64>> {
    Ok(decode_batch(first)?.parent().map(|parent| parent.revision))
}

/// The log with which a restore goes on where this one ended.
async fn restored_from(
    store: PermittedStore<'_>,
    log: Option<&LogDescriptor>,
    revision: u64,
) -> Result<Option<Descendant>> {
    let Some(log) = log else { return Ok(None) };
    let next = LogDescriptor { incarnation: log.incarnation + 1, ..log.clone() }.log_id();
    let first = store.read(next, 1, 1).await;
    let first = first.map_err(|error| from_store(error, format_args!("log {next}")))?;
    let Some(first) = first.first() else { return Ok(None) };
    let is_restored = decode_batch(first)?.is_restored();
    Ok(is_restored.then_some(Descendant { log: next, revision, pin: None }))
}

/// All pins of a log that has ended, whose rows may not all be written.
async fn pins_in_log(store: PermittedStore<'_>, log: LogId, resource: &str) -> Result<Vec<Pin>> {
    let mut pins = Vec::new();
    let mut pages = LogReader::new(store, log, 1, &resource);
    while let Some(page) = pages.next().await? {
        for log_entry in page {
            for control in decode_batch(&log_entry)?.control_records {
                if let ControlRecord::Pin { log, revision, made_at_ms } = control {
                    pins.push(Pin { log: LogId(log), revision, made_at_ms });
                }
            }
        }
    }
    Ok(pins)
}

/// The pins of a log as its rows have them.
async fn pins_in_rows(store: PermittedStore<'_>, log: LogId, resource: &str) -> Result<Vec<Pin>> {
    let mut pins = Vec::new();
    let mut to = vec![0xff; 64];
    loop {
        let rows = store.scan_reverse(log, DocumentView::Pin.kind(), &[], &to, ROWS_PER_PAGE).await;
        let rows = rows.map_err(|error| from_store(error, resource))?;
        let last = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE).map(|row| row.id.to_vec());
        // The bound belongs to the page before.
        let new = rows.iter().filter(|row| row.id != to);
        pins.extend(new.map(decode_pin).collect::<Result<Vec<_>>>()?);
        match last {
            Some(last) => to = last,
            None => return Ok(pins),
        }
    }
}
