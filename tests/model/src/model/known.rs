//! Faults of the room that are known and not mended yet, and what is left out because of
//! them. An entry goes when its fault does: then the driver looks for it.

/// The number of a fault, and what is neither generated nor compared while it stands.
pub const KNOWN_FAULTS: &[(u8, &str)] = &[
    (1, "two gateways do not compact one branch"),
    (2, "branches with forks are not compacted"),
    (3, "what a gateway reads below a limit that it has not heard of"),
    (4, "no branch is created from a branch below the revision where that begins"),
    (5, "creators of one branch do not race, and do not crash"),
    (6, "a conflict above 1 MiB is not kept"),
    (7, "what a gateway makes of views that are ahead of the log as it knows it"),
    (8, "after a restore, calls of before are not repeated, and conflicts of before not listed"),
    (10, "the revisions of a set of one that changes nothing"),
    (12, "a subscriber of a gateway that is behind a compaction"),
    (13, "calls other than an accepted write or set are not repeated, and do not crash"),
    (14, "a kept text diff is not resolved with THEIRS"),
    (16, "with a quota, no branch is deleted or restored"),
    (101, "a refused write to a branch that does not exist: it hides the branch once it does"),
    (102, "a read of the newest revision of a branch that another gateway has deleted"),
    (103, "a conflict whose diff does not fit what its writer had seen, where it is kept"),
    (104, "a revert or a resolution through a gateway that has not heard of the newest revision"),
    (106, "quotas where views lag when a gateway starts"),
    (107, "a branch that is made again of one that continues it"),
    (108, "a set in which a node leaves a path after another came there"),
    (109, "a branch through a gateway that has not heard of the revision where it begins"),
    (110, "a content above 1 MiB for a document"),
    (111, "a branch made again through a gateway that has not heard of its deletion"),
    (112, "a merge through a gateway that is behind a compaction"),
    (113, "the base of a merge where views lag"),
    (114, "views that were written in part when their gateway ended"),
    (105, "the history of a path that a gateway has not heard of"),
];

/// Whether a fault is not mended yet.
pub fn is_known(fault: u8) -> bool {
    static MENDED: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let mended = std::env::var("VDOM_MODEL_MENDED").unwrap_or_default();
        mended.split(',').filter_map(|number| number.parse().ok()).collect()
    });
    !MENDED.contains(&fault) && KNOWN_FAULTS.iter().any(|(known, _)| *known == fault)
}
