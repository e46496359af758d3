//! What is taken from a branch's queue at once: commands that can be answered together.

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use vdom_core::Result;
use vdom_core::dom::calls::{SetOutcome, WriteOutcome};
use vdom_core::limits::{BATCH_CONTENT_MAX_BYTES, BATCH_MAX_CHANGES};

use crate::records::Pin;
use crate::writer::{Command, Proposal, Queued, SetProposal};

/// Where the answer to a command goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

/// A diff that waits for its answer.
pub(super) type PendingWrite = (Box<Proposal>, Reply<WriteOutcome>);

/// A change set that waits for its answer.
pub(super) struct PendingSet {
    pub proposal: Box<SetProposal>,
    pub reply: Reply<SetOutcome>,
    pub arrived_at: Instant,
    /// Its room in the queue, in bytes, until it is answered.
    pub place: OwnedSemaphorePermit,
}

/// Commands of one kind, and whoever wants the head proven.
#[derive(Default)]
pub(super) struct Gathered {
    pub commands: Commands,
    pub verifications: Vec<Reply<()>>,
    places: Vec<OwnedSemaphorePermit>,
    changes: usize,
    bytes: usize,
}

/// Commands that go into a batch together.
#[derive(Default)]
pub(super) enum Commands {
    #[default]
    None,
    Writes(Vec<PendingWrite>),
    Sets(Vec<PendingSet>),
    Pins(Vec<(Pin, Reply<()>)>),
    /// One that has a batch of its own.
    Alone(Command),
}

impl Gathered {
    /// Takes a command in; gives back one that does not go with those before it.
    pub(super) fn take(&mut self, queued: Queued) -> Option<Queued> {
        let Queued { command, place } = queued;
        self.bytes += command.bytes();
        match (&mut self.commands, command) {
            (_, Command::VerifyHead { reply }) => self.verifications.push(reply),
            (Commands::None | Commands::Sets(_), Command::WriteSet { proposal, reply }) => {
                self.changes += proposal.items.len();
                let arrived_at = Instant::now();
                let pending = PendingSet { proposal, reply, arrived_at, place };
                match &mut self.commands {
                    Commands::Sets(sets) => sets.push(pending),
                    none => *none = Commands::Sets(vec![pending]),
                }
                return None;
            }
            (Commands::Writes(writes), Command::Write { proposal, reply }) => {
                writes.push((proposal, reply));
                self.changes += 1;
            }
            (Commands::Pins(pins), Command::Pin { pin, reply }) => {
                pins.push((pin, reply));
                self.changes += 1;
            }
            (none @ Commands::None, Command::Write { proposal, reply }) => {
                *none = Commands::Writes(vec![(proposal, reply)]);
                self.changes += 1;
            }
            (none @ Commands::None, Command::Pin { pin, reply }) => {
                *none = Commands::Pins(vec![(pin, reply)]);
                self.changes += 1;
            }
            (none @ Commands::None, command) => *none = Commands::Alone(command),
            (_, command) => return Some(Queued { command, place }),
        }
        self.places.push(place);
        None
    }

    /// Whether more would go with them.
    pub(super) fn has_room(&self) -> bool {
        !matches!(self.commands, Commands::Alone(_))
            && self.changes < BATCH_MAX_CHANGES
            && self.bytes < BATCH_CONTENT_MAX_BYTES
    }
}
