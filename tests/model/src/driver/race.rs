//! Two calls at the same time: their answers must be those of one order or the other.

use vdom_core::ErrorCode;
use vdom_core::dom::calls::OnConflict;

use super::Driver;
use crate::meetings::Feature;
use crate::model::World;
use crate::model::answers::{Answer, Asked, Call, Explained};
use crate::steps::{Action, Who};

impl Driver {
    pub(super) async fn race(&mut self, one: (Who, &Action), other: (Who, &Action)) -> Explained {
        let left = self.requests.call(&self.world, self.placed(one.0), one.1);
        let right = self.requests.call(&self.world, self.placed(other.0), other.1);
        let (Some(left), Some(right)) = (left, right) else { return Ok(()) };
        // What is in flight may overrun a quota.
        let overruns =
            self.scenario.quota_nodes > 0 && left.call.is_write() && right.call.is_write();
        if overruns
            || !self.is_clear(&left)
            || !self.is_clear(&right)
            || !self.may_race(&left, &right)
        {
            return Ok(());
        }
        let (first, second) = tokio::join!(self.ask(&left), self.ask(&right));
        let (first, second) = (first?, second?);
        self.world.is_racing = true;
        self.world.also_kept = match (&left.call, &right.call) {
            (Call::Compact(_, left), Call::Compact(_, right)) => Some(*left.min(right)),
            _ => None,
        };
        let before = self.world.clone();
        // A call may find its branch deleted where it would begin the next one.
        let deletes = matches!(left.call, Call::Delete(_)) || matches!(right.call, Call::Delete(_));
        let forks = matches!(left.call, Call::Fork(_)) || matches!(right.call, Call::Fork(_));
        let in_order = |world: &mut World, order: [(&Asked, &Answer); 2]| {
            order.into_iter().try_for_each(|(asked, answer)| {
                // It had begun a branch that another call has begun by now.
                if forks && answer.error() == Some(ErrorCode::Unavailable) {
                    return Ok(());
                }
                let may_be_deleted = deletes && !matches!(asked.call, Call::Delete(_));
                if may_be_deleted && answer.error() == Some(ErrorCode::NotFound) {
                    return Ok(());
                }
                world.explain(asked, answer)
            })
        };
        let (left_first, right_first) =
            ([(&left, &first), (&right, &second)], [(&right, &second), (&left, &first)]);
        let order = match in_order(&mut self.world, left_first) {
            Ok(()) => left_first,
            Err(why) => {
                self.world = before.clone();
                in_order(&mut self.world, right_first)
                    .map_err(|also| format!("in one order: {why}\nin the other: {also}"))?;
                right_first
            }
        };
        self.world.is_racing = false;
        self.world.also_kept = None;
        for (asked, answer) in order {
            self.met(asked, answer, &before);
            self.touch_call(asked, Feature::Race);
            self.remember(asked);
            self.after(asked, answer).await?;
        }
        Ok(())
    }

    /// Whether it can be said of both orders what becomes of two calls.
    fn may_race(&self, left: &Asked, right: &Asked) -> bool {
        let compacts = |asked: &Asked| matches!(asked.call, Call::Compact(..));
        // What one that fails has done is found out afterwards.
        if self.world.is_flaky && (compacts(left) || compacts(right)) {
            return false;
        }
        let changes = |asked: &Asked| asked.call.is_write() || compacts(asked);
        let merges = |asked: &Asked| match &asked.call {
            Call::Set(_, items) => items.iter().any(|item| item.on_conflict == OnConflict::Merge),
            Call::Revert(revert) => revert.on_conflict == OnConflict::Merge,
            _ => false,
        };
        !((merges(left) && changes(right)) || (merges(right) && changes(left)))
    }
}
