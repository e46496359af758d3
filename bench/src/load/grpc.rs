//! Unary gRPC calls of one method. A refused call is known by its missing
//! message.

use super::Protocol;
use super::http2::{
    self, CREDIT_PART_BYTES, DATA, DEFAULT_WINDOW_BYTES, END_STREAM, FRAME_MAX_BYTES, Frame,
    GOAWAY, HEADERS, MESSAGE_HEADER_BYTES, PING, RST_STREAM, Received, RequestHeaders, SETTINGS,
    WINDOW_UPDATE,
};
use crate::Result;

/// Of each stream, for answers.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// One connection that calls one method.
pub(crate) struct Grpc {
    headers: RequestHeaders,
    next_stream: u32,
    slots: Vec<Slot>,
    /// How much the server takes on this connection, and at first on a stream.
    credit: i64,
    stream_window: i64,
    received: Received,
}

#[derive(Clone, Default)]
struct Slot {
    /// 0: free.
    stream: u32,
    /// With the header of the message.
    answer: Vec<u8>,
}

impl Grpc {
    /// `method` is `/package.Service/Method`; `token` is sent with every call.
    pub(crate) fn new(method: &str, authority: &str, token: Option<&str>, streams: usize) -> Self {
        Self {
            headers: RequestHeaders::new(method, authority, token),
            next_stream: 1,
            slots: vec![Slot::default(); streams],
            credit: DEFAULT_WINDOW_BYTES,
            stream_window: DEFAULT_WINDOW_BYTES,
            received: Received::default(),
        }
    }

    fn slot_of(&mut self, stream: u32) -> Option<usize> {
        self.slots.iter().position(|slot| slot.stream == stream)
    }
}

impl Protocol for Grpc {
    fn start(&mut self, out: &mut Vec<u8>) {
        http2::start(STREAM_WINDOW_BYTES, out);
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
        self.headers.write(stream, out);
        http2::message(out, message, END_STREAM, stream);
        true
    }

    fn receive(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<usize> {
        let mut done = 0;
        while let Some(frame) = Frame::next(&input[done..]) {
            done += frame.length();
            match frame.kind {
                DATA | HEADERS | RST_STREAM => {
                    if frame.kind == DATA {
                        self.received.count(frame.payload.len(), 0, CREDIT_PART_BYTES, out);
                    }
                    let Some(index) = self.slot_of(frame.stream) else { continue };
                    let slot = &mut self.slots[index];
                    match frame.kind {
                        DATA => slot.answer.extend(frame.data()),
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
                SETTINGS => {
                    if let Some(window) = http2::acknowledge(&frame, out) {
                        self.stream_window = window;
                    }
                }
                PING => http2::pong(&frame, out),
                WINDOW_UPDATE if frame.stream == 0 => {
                    self.credit += i64::from(http2::number(frame.payload));
                }
                GOAWAY => return Err(frame.going_away().into()),
                _ => {}
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests;
