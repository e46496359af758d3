//! What is taken from a branch's queue at once: commands that can be answered together.

use tokio::sync::{OwnedSemaphorePermit, oneshot};
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
pub(super) type PendingSet = (Box<SetProposal>, Reply<SetOutcome>);

/// Commands of one kind, and whoever wants the head proven.
#[derive(Default)]
pub(super) struct Gathered {
    pub commands: Option<Commands>,
    pub verifications: Vec<Reply<()>>,
    places: Vec<OwnedSemaphorePermit>,
    changes: usize,
    bytes: usize,
}

/// Commands that go into a batch together.
pub(super) enum Commands {
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
        let bytes = command.bytes();
        match (&mut self.commands, command) {
            (_, Command::VerifyHead { reply }) => self.verifications.push(reply),
            (Some(Commands::Writes(writes)), Command::Write { proposal, reply }) => {
                writes.push((proposal, reply));
                self.changes += 1;
            }
            (Some(Commands::Sets(sets)), Command::WriteSet { proposal, reply }) => {
                self.changes += proposal.items.len();
                sets.push((proposal, reply));
            }
            (Some(Commands::Pins(pins)), Command::Pin { pin, reply }) => {
                pins.push((pin, reply));
                self.changes += 1;
            }
            (Some(_), command) => return Some(Queued { command, place }),
            (none, command) => {
                self.changes += 1;
                *none = Some(match command {
                    Command::Write { proposal, reply } => Commands::Writes(vec![(proposal, reply)]),
                    Command::WriteSet { proposal, reply } => {
                        Commands::Sets(vec![(proposal, reply)])
                    }
                    Command::Pin { pin, reply } => Commands::Pins(vec![(pin, reply)]),
                    command => Commands::Alone(command),
                });
            }
        }
        self.places.push(place);
        self.bytes += bytes;
        None
    }

    /// Whether more would go with them.
    pub(super) fn has_room(&self) -> bool {
        !matches!(self.commands, Some(Commands::Alone(_)))
            && self.changes < BATCH_MAX_CHANGES
            && self.bytes < BATCH_CONTENT_MAX_BYTES
    }
}
