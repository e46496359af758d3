//! Where watching goes on, and what it prints twice: nothing.

use super::*;
use vdom_proto::v1::ChangeSetPosition;

fn change(revision: u64, position: Option<(u32, u32)>) -> ChangeEvent {
    ChangeEvent {
        r#type: Type::Update.into(),
        epoch: 5,
        revision,
        hash: Bytes::from(vec![revision as u8; 32]),
        change_set: position.map(|(index, size)| ChangeSetPosition {
            id: Bytes::from_static(&[1; 16]),
            index,
            size,
        }),
        ..ChangeEvent::default()
    }
}

fn progress(revision: u64) -> ChangeEvent {
    ChangeEvent { r#type: Type::Progress.into(), epoch: 5, revision, ..ChangeEvent::default() }
}

fn fresh() -> Watch {
    Watch { resume: None, printed: None }
}

#[test]
fn a_cut_change_set_is_resumed_from_its_beginning_and_printed_once() {
    let mut watch = fresh();
    assert!(watch.take(&change(3, None), false));
    assert!(watch.take(&change(4, Some((0, 2))), false));
    assert_eq!(watch.resume.as_ref().map(|resume| resume.revision), Some(3));
    assert!(!watch.take(&change(4, Some((0, 2))), false), "printed before the cut");
    assert!(watch.take(&change(5, Some((1, 2))), false));
    assert_eq!(watch.resume.as_ref().map(|resume| resume.revision), Some(5));
}

#[test]
fn progress_moves_the_resume_point_and_keeps_a_known_hash() {
    let mut watch = fresh();
    assert!(!watch.take(&progress(2), false));
    assert_eq!(watch.resume.as_ref().map(|resume| resume.revision), Some(2));
    assert!(watch.take(&progress(2), true));
    assert!(watch.take(&change(3, None), false));
    assert!(!watch.take(&progress(3), false));
    assert_eq!(watch.resume.map(|resume| resume.hash.len()), Some(32));
}

#[test]
fn a_position_has_two_numbers() {
    let position = "17.4".parse::<Position>();
    assert_eq!(position, Ok(Position { epoch: 17, revision: 4, hash: Bytes::new() }));
    for text in ["17", "0.4", "a.b", "1.2.3", ""] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
}
