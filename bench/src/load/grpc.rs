//! gRPC over HTTP/2 as the load generator speaks it: unary calls of one method,
//! their frames made with as little work as the protocol allows.
//!
//! A client library costs more for a call than the servers here do, and would
//! measure itself. Headers go into the compression table with the first call and
//! are one byte each afterwards, as gRPC clients in C++ and Go send them. Headers
//! of answers are not decoded: a refused call is known by its missing message.

use super::Conversation;
use crate::Result;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
/// The largest frame that every server takes.
const FRAME_MAX_BYTES: usize = 16_384;
/// Of gRPC, before a message: whether it is compressed, and its length.
const MESSAGE_HEADER_BYTES: usize = 5;
/// Of each stream, for answers.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Of the connection, for answers; given back whenever a part is used.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 28;
const CREDIT_PART_BYTES: u32 = 1 << 20;
/// Of every connection and stream before anything is said about it.
const DEFAULT_WINDOW_BYTES: i64 = 65_535;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

const SETTING_ENABLE_PUSH: u16 = 2;
const SETTING_INITIAL_WINDOW: u16 = 4;

/// One connection that calls one method.
pub(crate) struct Grpc {
    first_headers: Vec<u8>,
    next_headers: Vec<u8>,
    has_called: bool,
    next_stream: u32,
    slots: Vec<Slot>,
    /// How much the server takes on this connection, and at first on a stream.
    credit: i64,
    stream_window: i64,
    /// Received, but not given back yet.
    used: u32,
}

#[derive(Clone, Default)]
struct Slot {
    /// 0: free.
    stream: u32,
    /// With the header of the message.
    answer: Vec<u8>,
}

struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

impl Grpc {
    /// `method` is `/package.Service/Method`; `token` is sent with every call.
    pub(crate) fn new(method: &str, authority: &str, token: Option<&str>, streams: usize) -> Self {
        // What goes into the table last is found first, after the 61 static ones.
        let mut first_headers = vec![POST, SCHEME_HTTP];
        let mut indexed = 0;
        let mut add = |name: Name, value: &str| {
            literal(&mut first_headers, &name, value);
            indexed += 1;
        };
        add(Name::Static(4), method);
        add(Name::Static(1), authority);
        add(Name::Static(31), "application/grpc");
        add(Name::Text("te"), "trailers");
        if let Some(token) = token {
            add(Name::Static(23), &format!("Bearer {token}"));
        }
        let next_headers = [POST, SCHEME_HTTP]
            .into_iter()
            .chain((0..indexed).rev().map(|age| 0x80 | (FIRST_DYNAMIC + age)))
            .collect();
        Self {
            first_headers,
            next_headers,
            has_called: false,
            next_stream: 1,
            slots: vec![Slot::default(); streams],
            credit: DEFAULT_WINDOW_BYTES,
            stream_window: DEFAULT_WINDOW_BYTES,
            used: 0,
        }
    }

    fn slot_of(&mut self, stream: u32) -> Option<usize> {
        self.slots.iter().position(|slot| slot.stream == stream)
    }

    fn settings(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) {
        if frame.flags & ACK != 0 {
            return;
        }
        for setting in frame.payload.chunks_exact(6) {
            if u16::from_be_bytes([setting[0], setting[1]]) == SETTING_INITIAL_WINDOW {
                self.stream_window = i64::from(number(&setting[2..]));
            }
        }
        frame_header(out, 0, SETTINGS, ACK, 0);
    }

    fn give_back(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.used += bytes as u32;
        if self.used >= CREDIT_PART_BYTES {
            frame_header(out, 4, WINDOW_UPDATE, 0, 0);
            out.extend(self.used.to_be_bytes());
            self.used = 0;
        }
    }
}

impl Conversation for Grpc {
    fn greet(&mut self, out: &mut Vec<u8>) {
        out.extend(PREFACE);
        let settings = [(SETTING_ENABLE_PUSH, 0), (SETTING_INITIAL_WINDOW, STREAM_WINDOW_BYTES)];
        frame_header(out, settings.len() * 6, SETTINGS, 0, 0);
        for (setting, value) in settings {
            out.extend(setting.to_be_bytes());
            out.extend(value.to_be_bytes());
        }
        frame_header(out, 4, WINDOW_UPDATE, 0, 0);
        out.extend(CONNECTION_WINDOW_BYTES.to_be_bytes());
    }

    fn call(&mut self, slot: usize, message: &[u8], out: &mut Vec<u8>) -> bool {
        let length = MESSAGE_HEADER_BYTES + message.len();
        let needed = i64::from(length as u32);
        debug_assert!(length <= FRAME_MAX_BYTES, "one frame holds a request");
        if needed > self.credit || needed > self.stream_window {
            return false;
        }
        self.credit -= needed;
        let stream = self.next_stream;
        self.next_stream += 2;
        self.slots[slot].stream = stream;
        self.slots[slot].answer.clear();
        let headers = if self.has_called { &self.next_headers } else { &self.first_headers };
        frame_header(out, headers.len(), HEADERS, END_HEADERS, stream);
        out.extend(headers);
        self.has_called = true;
        frame_header(out, length, DATA, END_STREAM, stream);
        out.push(0);
        out.extend((message.len() as u32).to_be_bytes());
        out.extend(message);
        true
    }

    fn hear(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<usize> {
        let mut done = 0;
        while let Some(frame) = next_frame(&input[done..]) {
            done += FRAME_HEADER_BYTES + frame.payload.len();
            match frame.kind {
                DATA | HEADERS | RST_STREAM => {
                    if frame.kind == DATA {
                        self.give_back(frame.payload.len(), out);
                    }
                    let Some(index) = self.slot_of(frame.stream) else { continue };
                    let slot = &mut self.slots[index];
                    match frame.kind {
                        DATA => slot.answer.extend(unpadded(&frame)),
                        RST_STREAM => slot.answer.clear(),
                        _ => {}
                    }
                    if frame.kind == RST_STREAM || frame.flags & END_STREAM != 0 {
                        slot.stream = 0;
                        answered(
                            index,
                            slot.answer.get(MESSAGE_HEADER_BYTES..).unwrap_or_default(),
                        );
                    }
                }
                SETTINGS => self.settings(&frame, out),
                PING if frame.flags & ACK == 0 => {
                    frame_header(out, frame.payload.len(), PING, ACK, 0);
                    out.extend(frame.payload);
                }
                WINDOW_UPDATE if frame.stream == 0 => {
                    self.credit += i64::from(number(frame.payload));
                }
                GOAWAY => {
                    let why = String::from_utf8_lossy(frame.payload.get(8..).unwrap_or_default());
                    return Err(format!("a server said GOAWAY: {why}").into());
                }
                _ => {}
            }
        }
        Ok(done)
    }
}

/// Static entries 3 and 6 of the compression table, whole.
const POST: u8 = 0x83;
const SCHEME_HTTP: u8 = 0x86;
/// The newest entry of the dynamic table.
const FIRST_DYNAMIC: u8 = 62;

enum Name {
    /// By its place in the static table.
    Static(u8),
    Text(&'static str),
}

/// A header that goes into the compression table.
fn literal(out: &mut Vec<u8>, name: &Name, value: &str) {
    match name {
        Name::Static(index) => out.push(0x40 | index),
        Name::Text(name) => {
            out.push(0x40);
            string(out, name);
        }
    }
    string(out, value);
}

/// A length in 7 bits and what they cannot hold, then the bytes as they are.
fn string(out: &mut Vec<u8>, text: &str) {
    if text.len() < 0x7f {
        out.push(text.len() as u8);
    } else {
        out.push(0x7f);
        let mut rest = text.len() - 0x7f;
        while rest >= 0x80 {
            out.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend(text.as_bytes());
}

fn frame_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend(&(length as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
}

/// The first frame, once all of it is there.
fn next_frame(input: &[u8]) -> Option<Frame<'_>> {
    let (header, rest) = input.split_at_checked(FRAME_HEADER_BYTES)?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    let stream = number(&header[5..]) & 0x7fff_ffff;
    let payload = rest.get(..length)?;
    Some(Frame { kind: header[3], flags: header[4], stream, payload })
}

fn unpadded<'a>(frame: &Frame<'a>) -> &'a [u8] {
    match frame.payload.split_first() {
        Some((&padding, rest)) if frame.flags & PADDED != 0 => {
            &rest[..rest.len().saturating_sub(padding.into())]
        }
        _ => frame.payload,
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, &byte| number << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests;
