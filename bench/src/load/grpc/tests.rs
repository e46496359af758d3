//! A call as it looks on the wire, and answers in pieces.

use super::*;
use crate::load::http2::{ACK, END_HEADERS, FRAME_HEADER_BYTES, frame_header};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame_header(&mut out, payload.len(), kind, flags, stream);
    out.extend(payload);
    out
}

fn connection(streams: usize) -> Grpc {
    Grpc::new("/a.B/C", "localhost", Some("secret"), streams)
}

/// Bytes done with, answers by slot, and what is said in return.
type Received = (usize, Vec<(usize, Vec<u8>)>, Vec<u8>);

fn receive(connection: &mut Grpc, input: &[u8]) -> Received {
    let (mut out, mut answers) = (Vec::new(), Vec::new());
    let done = connection
        .receive(input, &mut out, &mut |slot, answer| answers.push((slot, answer.to_vec())))
        .expect("no GOAWAY");
    (done, answers, out)
}

#[test]
fn headers_are_one_byte_each_from_the_second_call_on() {
    let mut connection = connection(2);
    let mut out = Vec::new();
    assert!(connection.call(0, b"hi", &mut out));
    let first = Frame::next(&out).expect("headers");
    assert!(first.payload.windows(6).any(|window| window == b"/a.B/C"));
    assert!(first.payload.windows(6).any(|window| window == b"secret"));
    out.clear();
    assert!(connection.call(1, b"hi", &mut out));
    let second = Frame::next(&out).expect("headers");
    // POST, http, then path, authority, content type, te and authorization, the
    // oldest being entry 66 of the table.
    assert_eq!(second.payload, [0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe]);
    assert_eq!(second.stream, 3);
    let data = Frame::next(&out[FRAME_HEADER_BYTES + second.payload.len()..]).expect("data");
    assert_eq!((data.kind, data.flags, data.payload), (DATA, END_STREAM, &b"\0\0\0\0\x02hi"[..]));
}

#[test]
fn an_answer_may_come_in_pieces() {
    let mut connection = connection(1);
    assert!(connection.call(0, b"", &mut Vec::new()));
    let mut input = frame(HEADERS, END_HEADERS, 1, b"..");
    input.extend(frame(DATA, 0, 1, b"\0\0\0\0\x04he"));
    let whole = input.len();
    input.extend(&frame(DATA, 0, 1, b"re")[..5]);
    let (done, answers, _) = receive(&mut connection, &input);
    assert_eq!((done, answers.len()), (whole, 0));
    let mut rest = frame(DATA, 0, 1, b"re");
    rest.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, b".."));
    assert_eq!(receive(&mut connection, &rest).1, [(0, b"here".to_vec())]);
}

#[test]
fn a_refused_call_has_an_empty_answer() {
    let mut connection = connection(1);
    assert!(connection.call(0, b"", &mut Vec::new()));
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"..");
    assert_eq!(receive(&mut connection, &trailers).1, [(0, Vec::new())]);
    assert!(connection.call(0, b"", &mut Vec::new()));
    let reset = frame(RST_STREAM, 0, 3, &[0; 4]);
    assert_eq!(receive(&mut connection, &reset).1, [(0, Vec::new())]);
}

#[test]
fn flow_control_is_respected() {
    let mut connection = connection(8);
    let message = [0; 16_000];
    let calls = (0..8).filter(|&slot| connection.call(slot, &message, &mut Vec::new())).count();
    assert_eq!(calls, 4, "65,535 bytes hold four of them");
    receive(&mut connection, &frame(WINDOW_UPDATE, 0, 0, &20_000_u32.to_be_bytes()));
    assert!(connection.call(7, &message, &mut Vec::new()));
}

#[test]
fn a_ping_and_settings_are_acknowledged() {
    let mut connection = connection(1);
    let (_, _, out) = receive(&mut connection, &frame(PING, 0, 0, b"12345678"));
    assert_eq!(out, frame(PING, ACK, 0, b"12345678"));
    let (_, _, out) = receive(&mut connection, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]));
    assert_eq!(out, frame(SETTINGS, ACK, 0, b""));
    assert!(!connection.call(0, b"", &mut Vec::new()), "a window of one byte");
}
