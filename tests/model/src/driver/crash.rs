//! A gateway that ends within a call: what has become of the call is found out by asking
//! again.

use std::time::Duration;

use vdom_core::dom::calls::{NodeSelector, ReadAt, ReadSnapshot};
use vdom_core::{BranchAddress, ErrorCode};

use super::{Driver, requests};
use crate::meetings::Feature;
use crate::model::answers::{Answer, Asked, Call, Explained};
use crate::steps::{Action, Who};

/// How often a call is asked again at most, a second apart.
const ASKED_AGAIN_MAX: u32 = 30;

impl Driver {
    pub(super) async fn crash(&mut self, who: Who, action: &Action, at: u8) -> Explained {
        let who = self.placed(who);
        let Some(asked) = self.requests.call(&self.world, who, &named(action)) else {
            return Ok(());
        };
        if !self.is_clear(&asked) {
            return Ok(());
        }
        let store = self.gateways[usize::from(who.gateway)].store.clone();
        store.end_at(u64::from(at));
        let answer = tokio::select! {
            biased;
            answer = self.ask(&asked) => Some(answer?),
            () = store.ended.notified() => None,
        };
        store.go_on();
        // It may have ended once it had answered.
        if store.has_ended() {
            self.restart(who.gateway, false).await?;
        }
        if let Some(answer) = answer {
            return self.explain(&asked, &answer).await;
        }
        self.touch_call(&asked, Feature::Crash);
        if let Call::Compact(of, keep) = &asked.call {
            return self.find_limit(&asked, of, *keep).await;
        }
        // What has become of the call is not known until there is another answer.
        let answer = self.ask_again(&asked).await?;
        self.explain(&asked, &answer).await
    }

    /// Asks until the answer is another than that the store cannot be used now.
    async fn ask_again(&mut self, asked: &Asked) -> Result<Answer, String> {
        let mut answer = self.ask(asked).await?;
        for _ in 0..ASKED_AGAIN_MAX {
            if answer.error() != Some(ErrorCode::Unavailable) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer = self.ask(asked).await?;
        }
        Ok(answer)
    }

    /// After a compaction that nobody has the answer to: what is the oldest revision?
    pub(super) async fn find_limit(
        &mut self,
        by: &Asked,
        of: &BranchAddress,
        keep: u64,
    ) -> Explained {
        let Some(log) = self.world.open(&of.branch) else { return Ok(()) };
        let before = self.world.logs[log].limit.max(self.world.inherited(log));
        let at = ReadAt { revision: Some(before), max_age_ms: Some(0), ..ReadAt::default() };
        let read =
            ReadSnapshot { address: of.clone(), node: NodeSelector::Path(requests::path(0)), at };
        let asked = Asked { call: Call::Read(read), ..by.clone() };
        let max = self.world.limit_max(log, keep);
        match self.ask_again(&asked).await? {
            Answer::Read(Err(error)) if error.code == ErrorCode::Compacted => {
                let limit = error.oldest_revision.ok_or("no oldest revision")?;
                self.world.logs[log].is_half_compacted = true;
                self.world.limit_is(log, before, max, limit)
            }
            answer => self.world.explain(&asked, &answer),
        }
    }
}

/// The same action with an operation id.
fn named(action: &Action) -> Action {
    let mut action = action.clone();
    match &mut action {
        Action::Write(write) => write.named = true,
        Action::Set { named, .. }
        | Action::Revert { named, .. }
        | Action::Resolve { named, .. }
        | Action::Fork { named, .. }
        | Action::DeleteBranch { named } => *named = true,
        _ => {}
    }
    action
}
