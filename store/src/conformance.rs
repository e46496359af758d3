//! The suite that every backend passes.
//!
//! [`conformance_suite!`](crate::conformance_suite) makes one test of every check:
//!
//! ```ignore
//! mod memory {
//!     vdom_store::conformance_suite!(super::memory_subject());
//! }
//! ```
//!
//! where `memory_subject()` is a future of `Result<Box<dyn Subject>, String>`; the
//! error is the reason to skip.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(missing_docs, reason = "the names of the checks say what they hold a backend to")]

pub mod chunks;
pub mod compaction;
pub mod feed;
mod fixtures;
pub mod lasting;
pub mod logs;
pub mod outcomes;
pub mod paths;
pub mod views;

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::store::Store;

/// A check that takes longer has failed.
const CHECK_DEADLINE: Duration = Duration::from_secs(120);

/// A backend as the suite meets it: one empty store.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The store; after [`Subject::reopen`] the one that was opened last.
    fn store(&self) -> Arc<dyn Store>;

    /// The same content as another process has it; `None` where only one may.
    async fn peer(&self) -> Option<Arc<dyn Store>> {
        None
    }

    /// Closes the store and opens its content again; false where nothing lasts.
    async fn reopen(&mut self) -> bool {
        false
    }

    /// Makes the next append answer `OutcomeUnknown`, with or without effect;
    /// false where that cannot be arranged.
    fn lose_next_answer(&self, with_effect: bool) -> bool {
        let _ = with_effect;
        false
    }
}

/// What a check that did not panic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend keeps the contract here.
    Passed,
    /// The check does not apply, and why.
    Skipped(&'static str),
}

/// Runs one check, and prints by name what is skipped.
pub async fn run<F>(
    name: &str,
    make: impl Future<Output = Result<Box<dyn Subject>, String>>,
    check: impl FnOnce(Box<dyn Subject>) -> F,
) where
    F: Future<Output = Outcome>,
{
    let subject = match make.await {
        Ok(subject) => subject,
        Err(reason) => return skipped(name, &reason),
    };
    match tokio::time::timeout(CHECK_DEADLINE, check(subject)).await {
        Ok(Outcome::Passed) => {}
        Ok(Outcome::Skipped(reason)) => skipped(name, reason),
        Err(late) => panic!("{name} did not end within {CHECK_DEADLINE:?}: {late}"),
    }
}

/// Written past the test harness, which would keep it to itself.
fn skipped(name: &str, reason: &str) {
    let name = name.split_once("::").map_or(name, |(_crate, test)| test);
    // A test is not failed because nobody reads its remarks.
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {reason}");
}

/// One test per check of the suite, for the subject that an expression makes.
#[macro_export]
macro_rules! conformance_suite {
    ($subject:expr) => {
        $crate::conformance_suite! { @tests $subject;
            logs {
                the_first_append_creates_the_log
                one_of_many_creators_wins
                one_of_many_writers_wins_a_number
                the_same_batch_again_is_committed
                gaps_and_misplaced_batches_are_refused
                a_batch_that_names_another_digest_is_refused
                the_largest_batch_comes_back
                a_log_is_read_in_pages
                the_head_is_confirmed
                the_ends_of_many_logs
                revisions_find_their_batch
                operations_find_their_batch
                logs_are_listed_by_name
                logs_are_listed_in_pages
                logs_of_rooms_are_apart
                the_newest_log_of_a_name_is_found
                names_that_no_log_can_have_are_refused
                a_closed_log_takes_no_more
                neighbouring_ids_are_apart
            }
            feed {
                the_next_batches_of_many_logs
                polling_misses_nothing
                commits_of_others_are_hinted
            }
            outcomes {
                a_lost_answer_is_settled_by_appending_again
                a_lost_race_behind_a_lost_answer_is_found
            }
            views {
                rows_only_move_forward
                kinds_and_logs_are_apart
                many_rows_at_once
                the_newest_of_one_call_wins
                derivers_in_any_order_agree
                a_frozen_deriver_harms_nothing
                the_watermark_only_moves_forward
                rows_are_scanned_backwards
                rows_that_cannot_be_kept_are_refused
            }
            paths {
                a_tombstone_hides_and_stays
                a_rename_moves_the_row
                a_prefix_takes_whole_segments
                pages_follow_path_and_id
                paths_belong_to_a_kind
                kinds_without_paths_are_refused
                random_moves_agree_with_a_model
            }
            chunks {
                chunks_come_back
                chunks_belong_to_a_realm
                a_chunk_above_the_limit_is_refused
                realms_that_cannot_have_chunks_are_refused
                staged_chunks_go_with_the_last_upload_that_holds_them
                staged_chunks_that_somebody_puts_stay
                staged_chunks_that_were_collected_are_held_anew
                chunks_are_staged_and_discarded_at_once
            }
            compaction {
                a_compacted_batch_keeps_its_place
                a_log_whose_end_is_compacted_goes_on
                an_operation_used_again_finds_the_newer_batch
                removed_rows_are_gone_and_others_stay
                cleared_views_can_be_written_anew
                chunks_are_listed_and_collected
            }
            lasting {
                everything_is_there_after_reopening
                a_reopened_log_goes_on
            }
        }
    };
    (@tests $subject:expr; $($module:ident { $($check:ident)+ })+) => {$(
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    $crate::conformance::run(
                        concat!(module_path!(), "::", stringify!($check)),
                        $subject,
                        |mut subject| async move {
                            $crate::conformance::$module::$check(subject.as_mut()).await
                        },
                    )
                    .await;
                }
            )+
        }
    )+};
}
