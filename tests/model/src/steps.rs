//! What a scenario is made of: plain data, whose `Debug` form is a regression test.
//!
//! Nothing in a step depends on what earlier steps answered: branches, paths, clients and
//! gateways are small numbers, and what a writer has seen is found when the step is
//! taken. So any part of a scenario is a scenario.

/// A store, its gateways, and what is done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Decides what is not a step: identities, delays, late view writes.
    pub seed: u64,
    /// How many gateways stand over the store.
    pub gateways: u8,
    /// How long a store call takes at most, in ms.
    pub delay_ms: u8,
    /// Of a hundred view writes, so many are lost, and so many come late.
    pub lost_views: u8,
    /// Whether gateways hear of each other's appends by polling alone.
    pub lose_hints: bool,
    /// How many live nodes the realm may have; 0: any number.
    pub quota_nodes: u8,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// Who asks which gateway about which branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// Which gateway.
    pub gateway: u8,
    /// Which client.
    pub client: u8,
    /// Which branch.
    pub branch: u8,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call, to its answer.
    Call(Who, Action),
    /// Two calls at the same time.
    Race((Who, Action), (Who, Action)),
    /// A call whose gateway ends at its `at`-th store call, is started anew, and is asked again.
    Crash {
        /// Who asks.
        who: Who,
        /// For what.
        action: Action,
        /// Which store call is the last.
        at: u8,
    },
    /// A call that was made before, once more, with its operation id.
    Retry {
        /// Which gateway is asked.
        gateway: u8,
        /// How many calls before the last one.
        back: u8,
        /// Whether it asks for something else under the same id.
        altered: bool,
    },
    /// A subscription, in place of the one with this number.
    Subscribe {
        /// Who.
        who: Who,
        /// Its number.
        number: u8,
        /// How many revisions back it resumes; `None`: from now.
        back: Option<u8>,
        /// The one path that is wanted; `None`: all.
        path: Option<u8>,
    },
    /// A subscriber takes so many events.
    Take {
        /// Its number.
        number: u8,
        /// How many.
        events: u8,
    },
    /// Nothing happens for so many seconds.
    Idle {
        /// How long.
        seconds: u8,
    },
    /// A gateway ends, orderly or not, and another starts in its place.
    Restart {
        /// Which.
        gateway: u8,
        /// Whether it completes its views first.
        orderly: bool,
    },
    /// The answers to the next appends are lost, before or after they took effect.
    LoseAnswers {
        /// How many.
        appends: u8,
        /// Whether the batches stand.
        after: bool,
    },
    /// A backup is made.
    Backup,
    /// The last backup is restored into an empty store, and the gateways start on it.
    Restore,
    /// The store is verified.
    Verify,
    /// All gateways end, the views are built anew, and they start again.
    Rebuild,
    /// Chunks that nothing names are deleted, as if two days had passed.
    Collect,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A diff.
    Write(Write),
    /// Several diffs as one.
    Set {
        /// The diffs; their operation ids and `keep` say nothing.
        items: Vec<Write>,
        /// With an operation id.
        named: bool,
        /// Whether the branch must be where the writer believes it is.
        expected: bool,
    },
    /// The inverse of changes.
    Revert {
        /// How many revisions before the head the last one is.
        back: u8,
        /// How many changes.
        count: u8,
        /// What to do where nodes have changed since.
        on_conflict: OnConflict,
        /// With an operation id.
        named: bool,
    },
    /// A kept conflict ends.
    Resolve {
        /// Which of those that are open.
        which: u8,
        /// How.
        resolution: Resolution,
        /// With an operation id.
        named: bool,
    },
    /// The branch is created.
    Fork {
        /// From this one; `None`: empty.
        from: Option<u8>,
        /// So many revisions before its head; `None`: its head.
        back: Option<u8>,
        /// With an operation id.
        named: bool,
    },
    /// The branch is deleted.
    DeleteBranch {
        /// With an operation id.
        named: bool,
    },
    /// A node is read.
    Read {
        /// At this path.
        path: u8,
        /// By its id.
        by_id: bool,
        /// When.
        at: At,
    },
    /// The whole tree is read.
    Tree {
        /// When.
        at: At,
    },
    /// The history is read.
    History {
        /// Of this path; `None`: of the branch.
        path: Option<u8>,
    },
    /// Kept conflicts are listed.
    Conflicts,
    /// Branches are listed.
    Branches,
    /// All but so many changes of the branch are compacted.
    Compact {
        /// How many are kept.
        keep: u8,
    },
}

/// One diff and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which path it is about.
    pub path: u8,
    /// What the writer has seen of the node there.
    pub seen: Seen,
    /// What it changes.
    pub edit: Edit,
    /// What to do where something else stands there.
    pub on_conflict: OnConflict,
    /// Whether a conflict is kept.
    pub keep: bool,
    /// With an operation id.
    pub named: bool,
    /// Under a second actor name of the client's.
    pub second_actor: bool,
}

/// What a writer has seen of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: there shall be no node.
    Nothing,
    /// All but so many of its changes.
    AllBut(u8),
    /// More than there is.
    Ahead,
}

/// How a node changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// One line of what was seen is another.
    Line(u8, u8),
    /// Text is inserted into what was seen, after so many bytes.
    Insert(u8, u8),
    /// A content above 1 MiB.
    Large(u8),
    /// A document with one field changed, in a META node.
    Field(u8, u8),
    /// An attribute is set.
    Attribute(u8, u8),
    /// An attribute is unset.
    NoAttribute(u8),
    /// The node is deleted.
    Delete,
    /// The node moves, perhaps with one line changed.
    Rename(u8, Option<(u8, u8)>),
}

/// As in the call.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    Reject,
    Merge,
    Overwrite,
}

/// As in the call.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    Ours,
    Theirs,
    Merge,
    Manual(u8),
}

/// When a read is as of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// As of a head that is known.
    Known,
    /// As of a head that is proven after the call.
    Confirmed,
    /// At least as of the newest revision.
    AtLeastNewest,
    /// So many revisions before the newest, in hundredths of what there are.
    Back(u8),
    /// After the last write of the client that has an operation id.
    AfterOperation,
}
