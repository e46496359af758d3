//! Segments from inside: frames and their places.

use super::frame::{body_of, push_frame};
use super::segment::{Found, FrameReader};
use super::*;

impl SegmentFolder {
    /// What its segments take.
    pub(in crate::embedded) fn bytes(&self) -> u64 {
        let segments = self.segments().unwrap().into_iter();
        segments.map(|number| fs::metadata(self.segment(number)).unwrap().len()).sum()
    }
}

/// The file that is appended to, and where its frames end.
pub(in crate::embedded) fn last_segment(folder: &SegmentFolder) -> (PathBuf, u64) {
    let number = folder.segments().unwrap().pop().unwrap();
    let path = folder.segment(number);
    let file = fs::File::open(&path).unwrap();
    let start = SegmentPosition { segment: number, offset: HEADER_BYTES };
    let mut frames = FrameReader::new(&file, start, folder).unwrap();
    while let Found::Frame { .. } = frames.next().unwrap() {}
    (path, frames.position().offset.into())
}

#[test]
fn a_frame_belongs_to_its_place() {
    let body = &b"what the frame holds"[..];
    let key = FrameKey { id: [5; 32], number: 1 };
    let at = SegmentPosition { segment: 3, offset: 700 };
    let mut frame = Vec::new();
    let location = push_frame(&mut frame, at, key, body);
    assert_eq!(frame.len(), location.frame_bytes() as usize);
    assert_eq!(frame_head(at, key, &[&body[..5], &body[5..]]).0, frame[..frame.len() - body.len()]);
    let read = |frame: Vec<u8>, location, key| body_of(&frame.into(), location, key);
    assert_eq!(read(frame.clone(), location, key).unwrap(), body);
    for at in 0..frame.len() {
        let mut flipped = frame.clone();
        flipped[at] ^= 0x10;
        assert_eq!(read(flipped, location, key), None, "{at}");
    }
    let elsewhere = |segment, offset| {
        let at = SegmentPosition { segment, offset };
        Location { at, ..location }
    };
    for other in [elsewhere(3, 701), elsewhere(4, 700)] {
        assert_eq!(read(frame.clone(), other, key), None);
    }
    assert_eq!(read(frame.clone(), location, FrameKey { id: [6; 32], ..key }), None);
    assert_eq!(read(frame, location, FrameKey { number: 2, ..key }), None);
}
