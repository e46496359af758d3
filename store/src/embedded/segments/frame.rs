//! The stored form of segments: a header, then frames of one batch each.
//!
//! ```text
//! header: "vdom seg" │ version (u32 LE) │ segment (u32 LE) │ CRC-32 of that
//! frame:  CRC-32 │ length (u32 LE) │ log (32) │ number (u64 LE) │ batch in its stored form
//! seal:   a frame of length 0, its log all zeros, its number where it stands
//! ```
//!
//! The checksum of a frame covers where it stands besides what it holds, so that no frame passes
//! for another. After the last frame of a segment that is not sealed there are zeros.

use bytes::Bytes;

use crate::batch::BATCH_MAX_BYTES;
use crate::log::LogId;

const MAGIC: [u8; 8] = *b"vdom seg";
const VERSION: u32 = 1;

/// Where the first frame of a segment stands.
pub(super) const HEADER_BYTES: u32 = 20;

/// What a frame takes besides its batch.
pub(super) const FRAME_HEAD_BYTES: u32 = 4 + 4 + 32 + 8;

/// A place in the segments; frames are appended in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogPosition {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

/// Where the frame of a batch stands, and how long the batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) at: LogPosition,
    pub(super) length: u32,
}

impl Location {
    /// What the whole frame takes.
    pub(super) fn frame_bytes(self) -> u32 {
        FRAME_HEAD_BYTES + self.length
    }

    /// Where the frame has ended.
    pub(super) fn end(self) -> LogPosition {
        LogPosition { offset: self.at.offset + self.frame_bytes(), ..self.at }
    }

    pub(super) fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        for (part, value) in
            bytes.chunks_exact_mut(4).zip([self.at.segment, self.at.offset, self.length])
        {
            part.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// `None` where the bytes are not what [`Self::encode`] makes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let ([segment, offset, length], []) = bytes.as_chunks() else { return None };
        let [segment, offset, length] =
            [segment, offset, length].map(|part| u32::from_le_bytes(*part));
        Some(Self { at: LogPosition { segment, offset }, length })
    }
}

/// What the head of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    checksum: u32,
    pub(super) length: u32,
    pub(super) log: LogId,
    pub(super) number: u64,
}

impl FrameHead {
    pub(super) fn decode(bytes: &[u8; FRAME_HEAD_BYTES as usize]) -> Self {
        let four = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (mut log, mut number) = ([0; 32], [0; 8]);
        log.copy_from_slice(&bytes[8..40]);
        number.copy_from_slice(&bytes[40..48]);
        Self {
            checksum: four(0),
            length: four(4),
            log: LogId(log),
            number: u64::from_le_bytes(number),
        }
    }

    /// Whether a frame can have such a length; what is longer is not read.
    pub(super) fn is_plausible(&self) -> bool {
        0 < self.length && self.length as usize <= BATCH_MAX_BYTES
    }

    /// Whether this is the head of a frame that stands there and holds this batch.
    pub(super) fn is_of(&self, at: LogPosition, batch: &[u8]) -> bool {
        self.length as usize == batch.len()
            && self.checksum == checksum(at, self.log, self.number, batch)
    }

    /// Whether the segment ends here.
    pub(super) fn is_seal(&self, at: LogPosition) -> bool {
        self.log == LogId([0; 32]) && self.number == u64::from(at.offset) && self.is_of(at, &[])
    }
}

/// Adds the frame of a batch that will stand there.
pub(super) fn push_frame(
    frames: &mut Vec<u8>,
    at: LogPosition,
    log: LogId,
    number: u64,
    batch: &[u8],
) -> Location {
    // A batch has at most 4 MiB.
    let length = batch.len() as u32;
    frames.extend_from_slice(&checksum(at, log, number, batch).to_le_bytes());
    frames.extend_from_slice(&length.to_le_bytes());
    frames.extend_from_slice(&log.0);
    frames.extend_from_slice(&number.to_le_bytes());
    frames.extend_from_slice(batch);
    Location { at, length }
}

/// Adds the seal that will stand there.
pub(super) fn push_seal(frames: &mut Vec<u8>, at: LogPosition) {
    push_frame(frames, at, LogId([0; 32]), u64::from(at.offset), &[]);
}

/// The batch of a frame that was read from there; `None` where it is another, or damaged.
pub(super) fn batch_of(
    frame: &Bytes,
    location: Location,
    log: LogId,
    number: u64,
) -> Option<Bytes> {
    let head = FrameHead::decode(frame.first_chunk()?);
    let batch = frame.slice(FRAME_HEAD_BYTES as usize..);
    let is_it = head.log == log && head.number == number && head.is_of(location.at, &batch);
    is_it.then_some(batch)
}

/// What a segment begins with.
pub(super) fn header(segment: u32) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&segment.to_le_bytes());
    let checksum = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn checksum(at: LogPosition, log: LogId, number: u64, batch: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    let mut head = [0; 4 + 4 + 4 + 32 + 8];
    head[..4].copy_from_slice(&at.segment.to_le_bytes());
    head[4..8].copy_from_slice(&at.offset.to_le_bytes());
    head[8..12].copy_from_slice(&(batch.len() as u32).to_le_bytes());
    head[12..44].copy_from_slice(&log.0);
    head[44..].copy_from_slice(&number.to_le_bytes());
    hash.update(&head);
    hash.update(batch);
    hash.finalize()
}
