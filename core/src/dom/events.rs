//! Events as subscriptions deliver them: in batches that all who watch a branch share,
//! each with what transports made of it.

mod memo;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::calls::{ChangeEvent, Event, Freshness};
use super::change::{Change, ChangeRecord, ChangeSetHeader, ChangeSetPosition};
use crate::error::Result;
use crate::identifiers::Hash;
use crate::names::BranchAddress;
use memo::Memo;

/// About what an event takes beside its diff and its texts.
const EVENT_BYTES: usize = 256;

/// One event of an [`EventBatch`].
#[derive(Clone, Debug, PartialEq)]
pub enum BatchEvent {
    /// A change.
    Change(ChangeEvent),
    /// A change as the log has it.
    Stored(StoredChange),
    /// Everything up to `revision` was delivered.
    Progress {
        /// The branch's epoch.
        epoch: u64,
        /// Its head.
        revision: u64,
        /// How sure that is.
        freshness: Freshness,
    },
}

/// A change as the log has it, not taken apart, and what a reader sees besides.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredChange {
    /// The encoded [`Change`]: a slice of its batch in the log.
    pub record: Bytes,
    /// The position in the branch.
    pub revision: u64,
    /// The change set that it belongs to.
    pub change_set: Option<ChangeSetPosition>,
    /// The epoch that it is shown with: of the branch that it is read from.
    pub epoch: u64,
    /// What its change set says of all its changes.
    pub set: Option<Arc<ChangeSetHeader>>,
    /// Its hash in the chain.
    pub hash: Hash,
    /// The diff; `None` where it was not asked for or is above 1 MiB.
    pub diff: Option<Bytes>,
}

impl StoredChange {
    /// The record, read where it lies.
    ///
    /// # Errors
    /// `DataLoss` where the stored bytes are none.
    pub fn record(&self) -> Result<ChangeRecord<'_>> {
        ChangeRecord::decode(&self.record)
    }
}

impl BatchEvent {
    /// The event by itself.
    ///
    /// # Errors
    /// `DataLoss` where a stored change cannot be read.
    pub fn to_event(&self) -> Result<Event> {
        Ok(match self {
            Self::Change(change) => Event::Change(Box::new(change.clone())),
            Self::Stored(stored) => {
                let change = Change { epoch: stored.epoch, ..Change::decode(&stored.record)? };
                Event::Change(Box::new(ChangeEvent {
                    change: Arc::new(change),
                    set: stored.set.clone(),
                    hash: stored.hash,
                    diff: stored.diff.clone(),
                }))
            }
            Self::Progress { epoch, revision, freshness } => {
                Event::Progress { epoch: *epoch, revision: *revision, freshness: *freshness }
            }
        })
    }

    /// The revision of a change, and where it stands in its change set; `None` of progress.
    pub fn revision(&self) -> Option<(u64, Option<ChangeSetPosition>)> {
        match self {
            Self::Change(event) => Some((event.change.revision, event.change.change_set)),
            Self::Stored(stored) => Some((stored.revision, stored.change_set)),
            Self::Progress { .. } => None,
        }
    }

    /// Whether it is a change, not progress.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Progress { .. })
    }

    /// About how many bytes it has.
    pub fn bytes(&self) -> usize {
        let (texts, diff) = match self {
            Self::Change(ChangeEvent { change, diff, .. }) => {
                (EVENT_BYTES + change.path.as_str().len() + change.message.len(), diff)
            }
            Self::Stored(stored) => (stored.record.len(), &stored.diff),
            Self::Progress { .. } => return EVENT_BYTES,
        };
        texts + diff.as_ref().map_or(0, Bytes::len)
    }
}

impl From<Event> for BatchEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Change(change) => Self::Change(*change),
            Event::Progress { epoch, revision, freshness } => {
                Self::Progress { epoch, revision, freshness }
            }
        }
    }
}

/// Writes events as a transport sends them.
pub trait EventEncoder: 'static {
    /// Appends an event of the branch at `address`.
    ///
    /// # Errors
    /// `DataLoss` where a stored change cannot be read.
    fn encode(address: &BranchAddress, event: &BatchEvent, out: &mut Vec<u8>) -> Result<()>;
}

/// Events of a branch that follow one another.
pub struct EventBatch {
    address: BranchAddress,
    events: Vec<BatchEvent>,
    bytes: usize,
    encodings: Memo,
}

impl EventBatch {
    /// Events that nobody has encoded yet.
    pub fn new(address: BranchAddress, events: Vec<BatchEvent>) -> Self {
        let bytes = events.iter().map(BatchEvent::bytes).sum();
        Self { address, events, bytes, encodings: Memo::default() }
    }

    /// The events, in order.
    pub fn events(&self) -> &[BatchEvent] {
        &self.events
    }

    /// What `E` makes of the whole batch: written once, and kept as long as the batch is.
    fn encoded<E: EventEncoder>(&self) -> Result<&EncodedEvents<E>> {
        let encode = || EncodedEvents::<E>::new(self);
        self.encodings.get_or_make(encode).as_ref().map_err(Clone::clone)
    }
}

impl fmt::Debug for EventBatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventBatch")
            .field("address", &self.address)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// The events of a batch, one after the other.
struct EncodedEvents<E> {
    bytes: Bytes,
    /// Where each event ends.
    ends: Vec<usize>,
    encoder: PhantomData<fn() -> E>,
}

impl<E: EventEncoder> EncodedEvents<E> {
    fn new(batch: &EventBatch) -> Result<Self> {
        let mut bytes = Vec::with_capacity(batch.bytes);
        let mut ends = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            E::encode(&batch.address, event, &mut bytes)?;
            ends.push(bytes.len());
        }
        Ok(Self { bytes: bytes.into(), ends, encoder: PhantomData })
    }

    fn slice(&self, events: &Range<usize>) -> Bytes {
        let start_of = |index: usize| index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.slice(start_of(events.start)..start_of(events.end))
    }
}

/// Events of a batch that stand together: what one subscriber gets of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventSlice {
    batch: Arc<EventBatch>,
    range: Range<usize>,
}

impl EventSlice {
    /// The events of a batch in `range`, as far as there are any.
    pub fn new(batch: Arc<EventBatch>, range: Range<usize>) -> Self {
        let end = range.end.min(batch.events.len());
        Self { range: range.start.min(end)..end, batch }
    }

    /// All events of a batch.
    pub fn whole(batch: EventBatch) -> Self {
        let range = 0..batch.events.len();
        Self { batch: Arc::new(batch), range }
    }

    /// The events, in order.
    pub fn events(&self) -> &[BatchEvent] {
        &self.batch.events[self.range.clone()]
    }

    /// The events by themselves.
    ///
    /// # Errors
    /// `DataLoss` where a stored change cannot be read.
    pub fn to_events(&self) -> Result<Vec<Event>> {
        self.events().iter().map(BatchEvent::to_event).collect()
    }

    /// The events as `E` writes them: a slice of what it made of the batch for the first who
    /// asked.
    ///
    /// # Errors
    /// `DataLoss` where a stored change of the batch cannot be read.
    pub fn encoded<E: EventEncoder>(&self) -> Result<Bytes> {
        Ok(self.batch.encoded::<E>()?.slice(&self.range))
    }

    /// About how many bytes they have.
    pub fn bytes(&self) -> usize {
        if self.range.len() == self.batch.events.len() {
            return self.batch.bytes;
        }
        self.events().iter().map(BatchEvent::bytes).sum()
    }
}

#[cfg(test)]
mod tests;
