//! gRPC calls whose answers have no end: every message of every stream is handed
//! out as it comes.

use super::Protocol;
use super::http2::{
    self, CREDIT_PART_BYTES, DATA, END_STREAM, Frame, GOAWAY, HEADERS, MESSAGE_HEADER_BYTES, PING,
    RST_STREAM, Received, RequestHeaders, SETTINGS,
};
use crate::Result;

/// Of each stream; a quarter of it is given back at a time.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// One connection with a stream in each slot.
pub(crate) struct Subscription {
    headers: RequestHeaders,
    streams: Vec<Stream>,
    received: Received,
    /// Whether a stream has one request, as opposed to more that may follow.
    one_request: bool,
}

/// A stream with its part of a message that has not come whole.
#[derive(Clone, Default)]
struct Stream {
    is_open: bool,
    partial: Vec<u8>,
    received: Received,
}

impl Subscription {
    /// Streams that are asked for by one request each.
    pub(crate) fn of_one_request(
        method: &str,
        authority: &str,
        token: Option<&str>,
        streams: usize,
    ) -> Self {
        Self {
            headers: RequestHeaders::new(method, authority, token),
            streams: vec![Stream::default(); streams],
            received: Received::default(),
            one_request: true,
        }
    }

    /// Streams on which any number of requests may be made.
    pub(crate) fn of_many_requests(method: &str, authority: &str, streams: usize) -> Self {
        Self { one_request: false, ..Self::of_one_request(method, authority, None, streams) }
    }
}

impl Protocol for Subscription {
    fn start(&mut self, out: &mut Vec<u8>) {
        http2::start(STREAM_WINDOW_BYTES, out);
    }

    /// Requests are small and few: the default window holds them all.
    fn call(&mut self, slot: usize, message: &[u8], out: &mut Vec<u8>) -> bool {
        let id = stream_id(slot);
        let stream = &mut self.streams[slot];
        if !stream.is_open {
            self.headers.write(id, out);
            stream.is_open = true;
        }
        http2::message(out, message, if self.one_request { END_STREAM } else { 0 }, id);
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
                DATA => {
                    let bytes = frame.payload.len();
                    self.received.count(bytes, 0, CREDIT_PART_BYTES, out);
                    let slot = slot_of(frame.stream);
                    let stream = self.streams.get_mut(slot).ok_or("a stream nobody opened")?;
                    stream.received.count(bytes, frame.stream, CREDIT_PART_BYTES, out);
                    stream.take(frame.data(), &mut |message| answered(slot, message));
                }
                SETTINGS => drop(http2::acknowledge(&frame, out)),
                PING => http2::pong(&frame, out),
                GOAWAY => return Err(frame.going_away().into()),
                _ => {}
            }
            let ends = frame.kind == RST_STREAM
                || (matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0);
            if ends {
                return Err("a server ended a subscription".into());
            }
        }
        Ok(done)
    }
}

impl Stream {
    /// Hands out each message that is whole now.
    fn take(&mut self, mut data: &[u8], answered: &mut dyn FnMut(&[u8])) {
        while !self.partial.is_empty() {
            let wanted = match message_length(&self.partial) {
                Some(length) => length - self.partial.len(),
                None => MESSAGE_HEADER_BYTES - self.partial.len(),
            };
            let (part, rest) = data.split_at(wanted.min(data.len()));
            self.partial.extend(part);
            data = rest;
            if message_length(&self.partial) == Some(self.partial.len()) {
                answered(&self.partial[MESSAGE_HEADER_BYTES..]);
                self.partial.clear();
            } else if data.is_empty() {
                return;
            }
        }
        while let Some(message) = message_length(data).and_then(|length| data.get(..length)) {
            answered(&message[MESSAGE_HEADER_BYTES..]);
            data = &data[message.len()..];
        }
        self.partial.extend(data);
    }
}

/// Of the message that begins here, with its header, once that is whole.
fn message_length(data: &[u8]) -> Option<usize> {
    let length = data.get(1..MESSAGE_HEADER_BYTES)?;
    Some(MESSAGE_HEADER_BYTES + http2::number(length) as usize)
}

fn stream_id(slot: usize) -> u32 {
    slot as u32 * 2 + 1
}

fn slot_of(stream: u32) -> usize {
    (stream as usize).saturating_sub(1) / 2
}

#[cfg(test)]
mod tests;
