//! Keeps a directory in step with a branch, both ways: what changes in the directory
//! goes to the branch, what changes in the branch goes to the directory, changes of
//! both sides to one text are merged, and what cannot be merged waits for a person.
//!
//! [`Mirror::open`] takes the directory, [`Mirror::run`] compares both sides and then
//! follows them, and an [`Observer`] is told what happens. Not a word is printed here.

pub mod confined_dir;
pub mod directory_walk;

mod branch_overlay;
mod branch_side;
mod deletion_guard;
mod error;
mod fingerprint;
mod local_directory;
mod local_path;
mod log_position;
mod observer;
mod report;
mod secret_name;
mod session;
mod state;
mod state_dir;
mod sync_pass;
mod sync_plan;

use std::path::{Path, PathBuf};

use vdom_client::{BranchSpec, Client};

pub use self::deletion_guard::ManyDeletions;
pub use self::error::{Error, ErrorKind, Result};
pub use self::local_path::belongs_to_mirror;
pub use self::log_position::LogPosition;
pub use self::observer::{Direction, Event, FileChange, InStep, Observer};
pub use self::secret_name::looks_secret;
pub use self::session::Outcome;

use self::branch_side::BranchSide;
use self::deletion_guard::DeletionGuard;
use self::local_directory::LocalDirectory;
use self::local_path::PathMapping;
use self::report::EventReporter;
use self::session::MirrorSession;
use self::state::{MirrorIdentity, MirrorState};

/// Which part of which branch is mirrored where, and as whom.
#[derive(Debug)]
pub struct MirrorOptions {
    /// The directory; it is made where there is none.
    pub directory: PathBuf,
    /// The branch; the first file makes it.
    pub branch: BranchSpec,
    /// The path below which the branch is mirrored; empty: all of it.
    pub prefix: String,
    /// Who writes, where that is another than the token says; empty: the token's.
    pub author: String,
    /// Kept with every change that comes from the directory.
    pub message: String,
    /// What becomes of deletions that would delete more than half of a branch of more than
    /// 20 files.
    pub many_deletions: ManyDeletions,
}

/// A directory that is ready to be mirrored. No other mirror takes it meanwhile.
pub struct Mirror {
    directory: LocalDirectory,
    side: BranchSide,
    state: MirrorState,
    many_deletions: ManyDeletions,
}

impl Mirror {
    /// Takes the directory, and reads what an earlier mirror of it left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] where another mirror has it or it belongs to another
    /// branch, [`ErrorKind::Usage`] where the prefix cannot be mirrored.
    pub fn open(client: Client, options: MirrorOptions) -> Result<Self> {
        let MirrorOptions { directory, branch, prefix, author, message, many_deletions } = options;
        let names = PathMapping::new(&prefix)?;
        let identity = MirrorIdentity {
            realm: client.realm(),
            repo: branch.repo.clone(),
            branch: branch.branch.clone(),
            prefix,
        };
        let directory = LocalDirectory::open(&directory)?;
        let state = MirrorState::load(&directory.state_dir().state_file(), identity)?;
        let side = BranchSide::new(client, branch, names, author, message);
        Ok(Self { directory, side, state, many_deletions })
    }

    /// The directory, without symbolic links on the way to it.
    pub fn directory(&self) -> &Path {
        self.directory.root()
    }

    /// Brings both sides in step; then, but for `once`, keeps them so until `stop`
    /// ends. What is known by then is written down for the next run.
    ///
    /// # Errors
    ///
    /// What the mirror cannot go on with: the directory or the branch is gone, the
    /// rights are, or the observer is. A server that is away is waited for, but with
    /// `once`.
    pub async fn run(
        self,
        once: bool,
        observer: &mut dyn Observer,
        stop: impl Future<Output = ()>,
    ) -> Result<Outcome> {
        let report = EventReporter::new(observer);
        let mut session = MirrorSession::new(self.directory, self.side, self.state, report)?;
        session.deletions = DeletionGuard::new(self.many_deletions);
        let outcome = tokio::select! {
            outcome = session.run(once) => outcome,
            () = stop => Ok(Outcome::Stopped),
        };
        let saved = session.end();
        outcome.and_then(|outcome| saved.map(|()| outcome))
    }
}
