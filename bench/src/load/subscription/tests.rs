//! Messages that come in any pieces, and streams that end.

use super::*;
use crate::load::http2::{END_HEADERS, frame_header};

fn subscription() -> Subscription {
    let mut subscription = Subscription::of_one_request("/a.B/C", "localhost", None, 2);
    assert!(subscription.call(0, b"from", &mut Vec::new()));
    assert!(subscription.call(1, b"from", &mut Vec::new()));
    subscription
}

fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame_header(&mut out, payload.len(), DATA, 0, stream);
    out.extend(payload);
    out
}

fn receive(subscription: &mut Subscription, input: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut received = Vec::new();
    let done = subscription
        .receive(input, &mut Vec::new(), &mut |slot, message| {
            received.push((slot, message.to_vec()));
        })
        .expect("no end");
    assert_eq!(done, input.len());
    received
}

#[test]
fn messages_are_whole_wherever_frames_cut_them() {
    let mut messages = Vec::new();
    for text in ["first", "", "a longer one"] {
        messages.push(0);
        messages.extend((text.len() as u32).to_be_bytes());
        messages.extend(text.as_bytes());
    }
    for cut in 0..=messages.len() {
        for next in cut..=messages.len() {
            let mut subscription = subscription();
            let pieces = [&messages[..cut], &messages[cut..next], &messages[next..]];
            let received: Vec<_> = pieces
                .iter()
                .flat_map(|piece| receive(&mut subscription, &data(3, piece)))
                .map(|(slot, message)| (slot, String::from_utf8(message).expect("text")))
                .collect();
            let expected = ["first", "", "a longer one"].map(|text| (1, text.to_owned()));
            assert_eq!(received, expected, "cut at {cut} and {next}");
        }
    }
}

#[test]
fn an_end_is_told() {
    let mut subscription = subscription();
    let mut trailers = Vec::new();
    frame_header(&mut trailers, 0, HEADERS, END_HEADERS | END_STREAM, 1);
    let received = subscription.receive(&trailers, &mut Vec::new(), &mut |_, _| {});
    assert!(received.is_err());
}

#[test]
fn only_a_stream_of_one_request_is_closed_to_more() {
    let mut out = Vec::new();
    let mut many = Subscription::of_many_requests("/a.B/C", "localhost", 1);
    assert!(many.call(0, b"one", &mut out));
    assert!(many.call(0, b"two", &mut out));
    let mut kinds = Vec::new();
    let mut rest = &out[..];
    while let Some(frame) = Frame::next(rest) {
        kinds.push((frame.kind, frame.flags & END_STREAM));
        rest = &rest[frame.length()..];
    }
    assert_eq!(kinds, [(HEADERS, 0), (DATA, 0), (DATA, 0)]);
}
