//! HTTP/2 as the load generator speaks it: its frames made and taken apart with
//! as little work as the protocol allows.
//!
//! A client library costs more for a call than the servers here do, and would
//! measure itself. Headers go into the compression table with the first call and
//! are one byte each afterwards, as gRPC clients in C++ and Go send them. Headers
//! of answers are not decoded.

pub(super) const FRAME_HEADER_BYTES: usize = 9;
/// The largest frame that every server takes.
pub(super) const FRAME_MAX_BYTES: usize = 16_384;
/// Of gRPC, before a message: whether it is compressed, and its length.
pub(super) const MESSAGE_HEADER_BYTES: usize = 5;
/// Of every connection and stream before anything is said about it.
pub(super) const DEFAULT_WINDOW_BYTES: i64 = 65_535;
/// How much is received before it is given back.
pub(super) const CREDIT_PART_BYTES: u32 = 1 << 20;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTING_ENABLE_PUSH: u16 = 2;
const SETTING_INITIAL_WINDOW: u16 = 4;
/// Of the connection, for answers; given back whenever a part is used.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 28;

/// A frame that has come whole.
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame, once all of it is there.
    pub(super) fn next(input: &'a [u8]) -> Option<Self> {
        let (header, rest) = input.split_at_checked(FRAME_HEADER_BYTES)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = number(&header[5..]) & 0x7fff_ffff;
        let payload = rest.get(..length)?;
        Some(Self { kind: header[3], flags: header[4], stream, payload })
    }

    /// How long it was on the wire.
    pub(super) fn length(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload.len()
    }

    /// The payload of a `DATA` frame without what only fills it.
    pub(super) fn data(&self) -> &'a [u8] {
        match self.payload.split_first() {
            Some((&padding, rest)) if self.flags & PADDED != 0 => {
                &rest[..rest.len().saturating_sub(padding.into())]
            }
            _ => self.payload,
        }
    }

    /// Why a server ends the connection, where this says so.
    pub(super) fn going_away(&self) -> String {
        let why = String::from_utf8_lossy(self.payload.get(8..).unwrap_or_default());
        format!("a server said GOAWAY: {why}")
    }
}

/// What a client says first; `stream_window` is each stream's for answers.
pub(super) fn start(stream_window: u32, out: &mut Vec<u8>) {
    out.extend(PREFACE);
    let settings = [(SETTING_ENABLE_PUSH, 0), (SETTING_INITIAL_WINDOW, stream_window)];
    frame_header(out, settings.len() * 6, SETTINGS, 0, 0);
    for (setting, value) in settings {
        out.extend(setting.to_be_bytes());
        out.extend(value.to_be_bytes());
    }
    window_update(out, 0, CONNECTION_WINDOW_BYTES);
}

/// Acknowledges settings. The window that each stream of ours now begins with,
/// where they name one.
pub(super) fn acknowledge(frame: &Frame<'_>, out: &mut Vec<u8>) -> Option<i64> {
    if frame.flags & ACK != 0 {
        return None;
    }
    frame_header(out, 0, SETTINGS, ACK, 0);
    let mut windows = frame.payload.chunks_exact(6).filter_map(|setting| {
        let is_window = u16::from_be_bytes([setting[0], setting[1]]) == SETTING_INITIAL_WINDOW;
        is_window.then(|| i64::from(number(&setting[2..])))
    });
    windows.next_back()
}

/// Answers a ping; an answer to one needs nothing.
pub(super) fn pong(frame: &Frame<'_>, out: &mut Vec<u8>) {
    if frame.flags & ACK == 0 {
        frame_header(out, frame.payload.len(), PING, ACK, 0);
        out.extend(frame.payload);
    }
}

/// Received bytes that were not given back yet.
#[derive(Clone, Copy, Default)]
pub(super) struct Received(u32);

impl Received {
    /// Counts them, and gives all back once there are enough.
    pub(super) fn count(&mut self, bytes: usize, stream: u32, part: u32, out: &mut Vec<u8>) {
        self.0 += bytes as u32;
        if self.0 >= part {
            window_update(out, stream, self.0);
            self.0 = 0;
        }
    }
}

pub(super) fn frame_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend(&(length as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
}

/// A gRPC message in one frame.
pub(super) fn message(out: &mut Vec<u8>, message: &[u8], flags: u8, stream: u32) {
    frame_header(out, MESSAGE_HEADER_BYTES + message.len(), DATA, flags, stream);
    out.push(0);
    out.extend((message.len() as u32).to_be_bytes());
    out.extend(message);
}

/// The first four bytes, as a number.
pub(super) fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, &byte| number << 8 | u32::from(byte))
}

fn window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    frame_header(out, 4, WINDOW_UPDATE, 0, stream);
    out.extend(bytes.to_be_bytes());
}

/// The request headers of the calls on one connection.
pub(super) struct RequestHeaders {
    first: Vec<u8>,
    next: Vec<u8>,
    were_sent: bool,
}

impl RequestHeaders {
    /// `method` is `/package.Service/Method`; `token` is sent with every call.
    pub(super) fn new(method: &str, authority: &str, token: Option<&str>) -> Self {
        // What goes into the table last is found first, after the 61 static ones.
        let mut first = vec![POST, SCHEME_HTTP];
        let mut indexed = 0;
        let mut add = |name: Name, value: &str| {
            literal(&mut first, &name, value);
            indexed += 1;
        };
        add(Name::Static(4), method);
        add(Name::Static(1), authority);
        add(Name::Static(31), "application/grpc");
        add(Name::Text("te"), "trailers");
        if let Some(token) = token {
            add(Name::Static(23), &format!("Bearer {token}"));
        }
        let next = [POST, SCHEME_HTTP]
            .into_iter()
            .chain((0..indexed).rev().map(|age| 0x80 | (FIRST_DYNAMIC + age)))
            .collect();
        Self { first, next, were_sent: false }
    }

    pub(super) fn write(&mut self, stream: u32, out: &mut Vec<u8>) {
        let headers = if self.were_sent { &self.next } else { &self.first };
        frame_header(out, headers.len(), HEADERS, END_HEADERS, stream);
        out.extend(headers);
        self.were_sent = true;
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
