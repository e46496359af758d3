//! Appends whose answer is lost.

use super::fixtures::{LogWriter, assert_kind};
use super::{Outcome, Subject};
use crate::error::StoreErrorKind;
use crate::store::Append;

const CANNOT: Outcome = Outcome::Skipped("this backend loses no answers on request");

pub async fn a_lost_answer_is_settled_by_appending_again(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    writer.append_many(&*store, 1).await;
    for with_effect in [true, false] {
        let batch = writer.batch(1);
        if !subject.lose_next_answer(with_effect) {
            return CANNOT;
        }
        let answer = store.append(writer.log, writer.next, &batch).await;
        assert_kind(answer, StoreErrorKind::OutcomeUnknown);
        let stands = !store.read(writer.log, writer.next, 0).await.unwrap().is_empty();
        assert_eq!(stands, with_effect);
        writer.append(&*store, batch.clone()).await;
        assert_eq!(store.last(writer.log).await.unwrap().unwrap().batch, batch);
    }
    Outcome::Passed
}

pub async fn a_lost_race_behind_a_lost_answer_is_found(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    writer.append_many(&*store, 1).await;
    let ours = writer.batch(1);
    if !subject.lose_next_answer(false) {
        return CANNOT;
    }
    let answer = store.append(writer.log, writer.next, &ours).await;
    assert_kind(answer, StoreErrorKind::OutcomeUnknown);
    let theirs = writer.batch(1);
    let answer = store.append(writer.log, writer.next, &theirs).await;
    assert_eq!(answer.unwrap(), Append::Committed);
    let answer = store.append(writer.log, writer.next, &ours).await;
    assert_eq!(answer.unwrap(), Append::Conflict);
    Outcome::Passed
}
