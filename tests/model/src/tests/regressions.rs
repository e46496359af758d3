//! Scenarios that once failed, or that the shrinker came near to, by what they protect.

use crate::driver::run;
use crate::steps::Action::*;
use crate::steps::At::*;
use crate::steps::Edit::*;
use crate::steps::OnConflict::{Merge, Overwrite, Reject};
use crate::steps::Resolution::*;
use crate::steps::Seen::*;
use crate::steps::Step::*;
use crate::steps::{Action, Scenario, Step, Who, Write};

/// Every answer of the scenario is what the model says.
fn holds(scenario: &Scenario) {
    if let Some((step, why)) = run(scenario).failure {
        panic!("step {step}: {why}");
    }
}

#[test]
fn a_fork_at_revision_0_of_a_compacted_branch_shows_nothing_of_it() {
    holds(&Scenario {
        seed: 0, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Compact { keep: 0 }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Fork { from: Some(0), back: Some(9), named: false }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Tree { at: Known }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Tree { at: Confirmed }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Write(Write { path: 0, seen: Nothing, edit: Line(2, 2), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 1 }, History { path: None }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Compact { keep: 0 }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Tree { at: Back(100) }),
        ],
    });
}

#[test]
fn a_fork_is_opened_by_a_gateway_that_has_not_heard_of_where_it_begins() {
    holds(&Scenario {
        seed: 0, gateways: 2, delay_ms: 0, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Confirmed }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Fork { from: Some(0), back: Some(0), named: true }),
            Call(Who { gateway: 1, client: 0, branch: 1 }, Tree { at: Confirmed }),
            Call(Who { gateway: 1, client: 0, branch: 1 }, Write(Write { path: 1, seen: AllBut(0), edit: Line(3, 3), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Tree { at: Confirmed }),
            Call(Who { gateway: 1, client: 0, branch: 1 }, Read { path: 0, by_id: false, at: Back(50) }),
        ],
    });
}

#[test]
fn a_conflict_is_resolved_by_one_of_two() {
    holds(&Scenario {
        seed: 0, gateways: 2, delay_ms: 3, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 1, branch: 0 }, Write(Write { path: 0, seen: AllBut(1), edit: Line(1, 2), on_conflict: Reject, keep: true, named: false, second_actor: false })),
            Race((Who { gateway: 0, client: 0, branch: 0 }, Resolve { which: 0, resolution: Ours, named: true }), (Who { gateway: 1, client: 1, branch: 0 }, Resolve { which: 0, resolution: Theirs, named: true })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Conflicts),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Confirmed }),
            Retry { gateway: 0, back: 0, altered: false },
        ],
    });
}

#[test]
fn a_confirmed_read_knows_of_a_deletion_elsewhere() {
    holds(&Scenario {
        seed: 0, gateways: 2, delay_ms: 0, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Confirmed }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, DeleteBranch { named: true }),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Read { path: 0, by_id: false, at: Confirmed }),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Confirmed }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Confirmed }),
        ],
    });
}

#[test]
fn a_set_deletes_what_is_at_a_path_and_creates_there() {
    holds(&Scenario {
        seed: 0, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Set { items: vec![Write { path: 0, seen: AllBut(0), edit: Delete, on_conflict: Reject, keep: false, named: false, second_actor: false }, Write { path: 0, seen: Nothing, edit: Line(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false }, Write { path: 1, seen: AllBut(0), edit: Rename(2, None), on_conflict: Reject, keep: false, named: false, second_actor: false }, Write { path: 1, seen: Nothing, edit: Line(2, 2), on_conflict: Reject, keep: false, named: false, second_actor: false }], named: true, expected: true }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Tree { at: Known }),
            Retry { gateway: 0, back: 0, altered: false },
            Call(Who { gateway: 0, client: 0, branch: 0 }, Set { items: vec![Write { path: 2, seen: AllBut(0), edit: Rename(3, None), on_conflict: Reject, keep: false, named: false, second_actor: false }, Write { path: 0, seen: AllBut(0), edit: Rename(2, Some((3, 3))), on_conflict: Reject, keep: false, named: false, second_actor: false }, Write { path: 0, seen: Nothing, edit: Line(4, 1), on_conflict: Reject, keep: false, named: false, second_actor: false }], named: true, expected: false }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Revert { back: 0, count: 3, on_conflict: Reject, named: false }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Tree { at: Back(50) }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, History { path: Some(0) }),
        ],
    });
}

#[test]
fn a_content_above_1_mib_is_refused_for_a_document() {
    holds(&Scenario {
        seed: 0, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Field(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Large(1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Large(2), on_conflict: Overwrite, keep: true, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Field(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(1), edit: Large(3), on_conflict: Merge, keep: true, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Conflicts),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Tree { at: Known }),
            Collect,
        ],
    });
}

#[test]
fn a_revert_overwrites_changes_that_its_gateway_has_not_heard_of() {
    holds(&Scenario {
        seed: 0, gateways: 2, delay_ms: 0, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Confirmed }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(2, 2), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Revert { back: 1, count: 1, on_conflict: Overwrite, named: true }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Tree { at: Confirmed }),
            Retry { gateway: 0, back: 0, altered: false },
        ],
    });
}

#[test]
fn a_gateway_that_is_behind_tells_the_history_of_a_path() {
    holds(&Scenario {
        seed: 0, gateways: 2, delay_ms: 0, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Confirmed }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: AllBut(0), edit: Rename(2, None), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, History { path: Some(1) }),
            Call(Who { gateway: 1, client: 0, branch: 0 }, History { path: Some(2) }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Rename(1, Some((1, 1))), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, History { path: Some(0) }),
            Call(Who { gateway: 1, client: 0, branch: 0 }, History { path: Some(1) }),
        ],
    });
}

#[test]
fn two_gateways_compact_a_branch_at_once() {
    holds(&Scenario {
        seed: 0, gateways: 2, delay_ms: 3, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: AllBut(0), edit: Line(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Confirmed }),
            Race((Who { gateway: 0, client: 0, branch: 0 }, Compact { keep: 2 }), (Who { gateway: 1, client: 0, branch: 0 }, Compact { keep: 0 })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Tree { at: Back(0) }),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Tree { at: Back(100) }),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(3, 3), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Rebuild,
            Call(Who { gateway: 0, client: 0, branch: 0 }, Tree { at: Back(25) }),
            Verify,
        ],
    });
}

#[test]
fn answers_and_conflicts_outlive_a_restore_and_a_compaction() {
    holds(&Scenario {
        seed: 0, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(1, 1), on_conflict: Reject, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(1), edit: Line(1, 2), on_conflict: Reject, keep: true, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Compact { keep: 1 }),
            Backup,
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: true, second_actor: false })),
            Restore,
            Retry { gateway: 0, back: 1, altered: false },
            Retry { gateway: 0, back: 2, altered: false },
            Call(Who { gateway: 0, client: 0, branch: 0 }, Conflicts),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(5, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Compact { keep: 0 }),
            Retry { gateway: 0, back: 1, altered: false },
            Call(Who { gateway: 0, client: 0, branch: 0 }, Resolve { which: 0, resolution: Theirs, named: true }),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Conflicts),
            Collect,
            Call(Who { gateway: 0, client: 0, branch: 0 }, Tree { at: Known }),
        ],
    });
}

#[test]
fn a_restored_fork_says_where_it_began() {
    holds(&Scenario {
        seed: 0, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Fork { from: Some(0), back: None, named: true }),
            Backup,
            Restore,
            Call(Who { gateway: 0, client: 0, branch: 1 }, Branches),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(1, 1), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Compact { keep: 0 }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Branches),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Tree { at: Known }),
        ],
    });
}

#[test]
fn a_revert_reaches_into_what_a_fork_of_a_fork_continues() {
    holds(&Scenario {
        seed: 0, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Fork { from: Some(0), back: Some(1), named: false }),
            Call(Who { gateway: 0, client: 0, branch: 2 }, Fork { from: Some(1), back: None, named: false }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Write(Write { path: 1, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Compact { keep: 0 }),
            Call(Who { gateway: 0, client: 0, branch: 3 }, Fork { from: Some(2), back: None, named: false }),
            Call(Who { gateway: 0, client: 0, branch: 3 }, Write(Write { path: 2, seen: Nothing, edit: Line(0, 0), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 0, branch: 3 }, Revert { back: 0, count: 3, on_conflict: Reject, named: true }),
            Call(Who { gateway: 0, client: 0, branch: 3 }, Tree { at: Known }),
        ],
    });
}

#[test]
fn a_fork_of_what_a_deleted_branch_inherits_is_refused() {
    holds(&Scenario {
        seed: 3262, gateways: 2, delay_ms: 0, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 1, client: 2, branch: 0 }, Write(Write { path: 0, seen: AllBut(1), edit: Line(6, 2), on_conflict: Merge, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 1 }, Fork { from: Some(0), back: None, named: true }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, DeleteBranch { named: false }),
            Call(Who { gateway: 1, client: 1, branch: 2 }, Fork { from: Some(1), back: None, named: false }),
        ],
    });
}

#[test]
fn a_fork_at_the_limit_through_a_gateway_that_is_behind_is_made() {
    holds(&Scenario {
        seed: 16861, gateways: 2, delay_ms: 0, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 1, client: 0, branch: 0 }, Write(Write { path: 1, seen: Nothing, edit: Line(5, 3), on_conflict: Reject, keep: true, named: true, second_actor: false })),
            Call(Who { gateway: 2, client: 2, branch: 0 }, Write(Write { path: 1, seen: AllBut(3), edit: Insert(14, 2), on_conflict: Overwrite, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 2, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(2), edit: Line(6, 2), on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 1, branch: 0 }, Compact { keep: 2 }),
            Call(Who { gateway: 1, client: 1, branch: 1 }, Fork { from: Some(0), back: Some(2), named: true }),
        ],
    });
}

#[test]
fn deleted_forks_of_a_compacted_branch_do_not_stop_a_rebuild() {
    holds(&Scenario {
        seed: 9288, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 1, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(2), edit: Line(2, 1), on_conflict: Merge, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(1), edit: Line(5, 3), on_conflict: Overwrite, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 1, branch: 1 }, Fork { from: Some(0), back: Some(1), named: false }),
            Call(Who { gateway: 0, client: 1, branch: 1 }, Revert { back: 0, count: 4, on_conflict: Overwrite, named: false }),
            Call(Who { gateway: 2, client: 0, branch: 2 }, Fork { from: Some(1), back: None, named: true }),
            Call(Who { gateway: 1, client: 2, branch: 1 }, DeleteBranch { named: true }),
            Call(Who { gateway: 0, client: 0, branch: 2 }, DeleteBranch { named: true }),
            Call(Who { gateway: 0, client: 1, branch: 0 }, Compact { keep: 0 }),
        ],
    });
}

#[test]
fn a_backup_of_a_half_done_compaction_opens_under_a_quota() {
    holds(&Scenario {
        seed: 4289, gateways: 1, delay_ms: 3, lost_views: 0, lose_hints: false, quota_nodes: 4,
        steps: vec![
            Restart { gateway: 0, orderly: false },
            Call(Who { gateway: 0, client: 2, branch: 0 }, Write(Write { path: 0, seen: AllBut(2), edit: Line(0, 3), on_conflict: Reject, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 0, client: 2, branch: 1 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(1, 2), on_conflict: Merge, keep: true, named: true, second_actor: false })),
            Restart { gateway: 0, orderly: true },
            Call(Who { gateway: 2, client: 2, branch: 1 }, Write(Write { path: 0, seen: AllBut(0), edit: Delete, on_conflict: Reject, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 1 }, Set { items: vec![Write { path: 0, seen: AllBut(3), edit: Line(6, 3), on_conflict: Reject, keep: false, named: true, second_actor: false }, Write { path: 0, seen: AllBut(0), edit: Line(6, 3), on_conflict: Overwrite, keep: false, named: false, second_actor: false }, Write { path: 0, seen: AllBut(2), edit: Rename(0, Some((7, 2))), on_conflict: Merge, keep: false, named: true, second_actor: false }, Write { path: 0, seen: AllBut(0), edit: Line(8, 0), on_conflict: Merge, keep: false, named: true, second_actor: false }], named: true, expected: false }),
            Crash { who: Who { gateway: 0, client: 1, branch: 1 }, action: Compact { keep: 1 }, at: 6 },
            Restart { gateway: 0, orderly: false },
        ],
    });
}

#[test]
fn a_fork_that_stands_is_answered() {
    holds(&Scenario {
        seed: 15002, gateways: 2, delay_ms: 20, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 1, branch: 0 }, Write(Write { path: 0, seen: Nothing, edit: Rename(1, None), on_conflict: Overwrite, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 1, client: 1, branch: 0 }, Write(Write { path: 0, seen: AllBut(3), edit: Line(4, 3), on_conflict: Merge, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 0, branch: 1 }, Fork { from: Some(0), back: None, named: false }),
            Restart { gateway: 0, orderly: false },
            Call(Who { gateway: 2, client: 2, branch: 0 }, Write(Write { path: 0, seen: AllBut(3), edit: Insert(18, 3), on_conflict: Merge, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 2, client: 2, branch: 1 }, Set { items: vec![Write { path: 0, seen: AllBut(0), edit: Delete, on_conflict: Merge, keep: false, named: false, second_actor: false }, Write { path: 0, seen: AllBut(1), edit: Line(5, 3), on_conflict: Overwrite, keep: false, named: true, second_actor: false }], named: false, expected: true }),
            Call(Who { gateway: 2, client: 1, branch: 0 }, Compact { keep: 1 }),
            Call(Who { gateway: 0, client: 1, branch: 1 }, Write(Write { path: 0, seen: AllBut(0), edit: Line(8, 2), on_conflict: Overwrite, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 0, client: 1, branch: 1 }, DeleteBranch { named: true }),
            Call(Who { gateway: 1, client: 1, branch: 2 }, Write(Write { path: 1, seen: AllBut(0), edit: Line(0, 1), on_conflict: Overwrite, keep: true, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 1, branch: 1 }, Fork { from: Some(2), back: Some(0), named: true }),
            Call(Who { gateway: 2, client: 1, branch: 1 }, Write(Write { path: 1, seen: Nothing, edit: Rename(0, Some((1, 2))), on_conflict: Merge, keep: false, named: true, second_actor: false })),
        ],
    });
}

#[test]
fn an_old_revision_of_a_branch_made_again_elsewhere_is_asked_for() {
    holds(&Scenario {
        seed: 68406, gateways: 2, delay_ms: 0, lost_views: 0, lose_hints: true, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(3), edit: Line(8, 3), on_conflict: Merge, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 0, client: 1, branch: 0 }, Write(Write { path: 5, seen: AllBut(2), edit: Line(2, 1), on_conflict: Overwrite, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 1, branch: 0 }, Write(Write { path: 5, seen: AllBut(3), edit: Line(8, 2), on_conflict: Merge, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 1, branch: 1 }, Fork { from: Some(0), back: Some(0), named: true }),
            Call(Who { gateway: 0, client: 1, branch: 0 }, Compact { keep: 2 }),
            Call(Who { gateway: 2, client: 2, branch: 1 }, Write(Write { path: 0, seen: AllBut(0), edit: Insert(7, 0), on_conflict: Merge, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 2, client: 0, branch: 1 }, Revert { back: 0, count: 3, on_conflict: Overwrite, named: false }),
            Call(Who { gateway: 0, client: 2, branch: 1 }, DeleteBranch { named: true }),
            Call(Who { gateway: 1, client: 2, branch: 0 }, Write(Write { path: 5, seen: AllBut(0), edit: Line(7, 1), on_conflict: Overwrite, keep: true, named: true, second_actor: false })),
            Call(Who { gateway: 2, client: 0, branch: 0 }, Compact { keep: 2 }),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Write(Write { path: 4, seen: AllBut(0), edit: Line(3, 1), on_conflict: Overwrite, keep: true, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 2, branch: 1 }, Compact { keep: 3 }),
        ],
    });
}

#[test]
fn a_large_refused_content_does_not_become_a_document() {
    holds(&Scenario {
        seed: 473, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 1, client: 1, branch: 1 }, Write(Write { path: 0, seen: AllBut(0), edit: Field(1, 2), on_conflict: Merge, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 2, client: 1, branch: 1 }, Write(Write { path: 0, seen: Nothing, edit: Large(1), on_conflict: Reject, keep: true, named: true, second_actor: false })),
            Call(Who { gateway: 2, client: 1, branch: 1 }, Resolve { which: 3, resolution: Theirs, named: true }),
        ],
    });
}

#[test]
fn two_compactions_at_once_end_well() {
    holds(&Scenario {
        seed: 136, gateways: 1, delay_ms: 20, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            Call(Who { gateway: 0, client: 0, branch: 0 }, Write(Write { path: 0, seen: AllBut(1), edit: Line(2, 3), on_conflict: Reject, keep: false, named: true, second_actor: false })),
            Call(Who { gateway: 1, client: 2, branch: 0 }, Write(Write { path: 0, seen: AllBut(3), edit: Line(4, 0), on_conflict: Overwrite, keep: false, named: false, second_actor: false })),
            Call(Who { gateway: 0, client: 1, branch: 0 }, Write(Write { path: 0, seen: AllBut(1), edit: Line(6, 2), on_conflict: Merge, keep: true, named: true, second_actor: false })),
            Call(Who { gateway: 2, client: 2, branch: 0 }, Write(Write { path: 0, seen: AllBut(1), edit: Attribute(2, 1), on_conflict: Merge, keep: false, named: true, second_actor: false })),
            Race((Who { gateway: 2, client: 0, branch: 0 }, Compact { keep: 2 }), (Who { gateway: 3, client: 0, branch: 0 }, Compact { keep: 3 })),
        ],
    });
}

/// A write of a line to a path that is read before.
fn write(branch: u8, path: u8, line: u8) -> Step {
    let write = Write { path, seen: AllBut(0), edit: Line(line, 1), on_conflict: Merge, keep: false, named: false, second_actor: false };
    Call(Who { gateway: 0, client: 0, branch }, Write(write))
}

fn fork(branch: u8, from: u8, back: u8) -> (Who, Action) {
    (Who { gateway: 0, client: 0, branch }, Fork { from: Some(from), back: Some(back), named: true })
}

#[test]
fn what_a_fork_further_down_needs_does_not_hide_what_its_parent_needs() {
    let [whole, below] = [fork(2, 1, 0), fork(3, 2, 3)];
    holds(&Scenario {
        seed: 0, gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            write(0, 0, 0), write(0, 1, 0),
            Call(fork(1, 0, 0).0, fork(1, 0, 0).1),
            write(1, 0, 1), write(1, 2, 1),
            Call(Who { gateway: 0, client: 0, branch: 0 }, DeleteBranch { named: false }),
            Call(whole.0, whole.1),
            Call(below.0, below.1),
            write(1, 0, 2), write(1, 2, 2),
            Call(Who { gateway: 0, client: 0, branch: 1 }, Compact { keep: 0 }),
            Call(Who { gateway: 0, client: 0, branch: 2 }, Tree { at: Confirmed }),
            Call(Who { gateway: 0, client: 0, branch: 2 }, Read { path: 2, by_id: false, at: Confirmed }),
        ],
    });
}

#[test]
fn of_two_that_began_one_fork_the_one_that_came_first_is_protected_through_a_deleted_branch() {
    let race = |branch| {
        let (first, second) = (fork(branch, 1, branch % 2), fork(branch, 1, (branch + 1) % 2));
        Race(first, (Who { gateway: 1, ..second.0 }, second.1))
    };
    holds(&Scenario {
        seed: 0, gateways: 2, delay_ms: 3, lost_views: 0, lose_hints: false, quota_nodes: 0,
        steps: vec![
            write(0, 0, 0), write(0, 1, 0),
            Call(fork(1, 0, 0).0, fork(1, 0, 0).1),
            write(1, 0, 1), write(1, 2, 1),
            race(2), race(3),
            Call(Who { gateway: 0, client: 0, branch: 1 }, DeleteBranch { named: false }),
            write(0, 0, 2), write(0, 1, 2),
            Call(Who { gateway: 0, client: 0, branch: 0 }, Compact { keep: 0 }),
            Call(Who { gateway: 0, client: 0, branch: 2 }, Tree { at: Confirmed }),
            Call(Who { gateway: 1, client: 0, branch: 3 }, Tree { at: Confirmed }),
        ],
    });
}
