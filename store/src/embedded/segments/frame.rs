//! The stored form of segments: a header, then frames.
//!
//! ```text
//! header: "vdom seg" │ version (u32 LE) │ segment (u32 LE) │ CRC-32 of that
//! frame:  CRC-32 │ length of the body (u32 LE) │ id (32) │ number (u64 LE) │ body
//! seal:   a frame of length 0, its id all zeros, its number where it stands
//! ```
//!
//! The checksum of a frame covers where it stands besides what it holds, so that no frame passes
//! for another. After the last frame of a segment that is not sealed there are zeros.

use bytes::Bytes;

const MAGIC: [u8; 8] = *b"vdom seg";
const VERSION: u32 = 1;

/// Where the first frame of a segment stands.
pub(in crate::embedded) const HEADER_BYTES: u32 = 20;

/// What a frame takes besides its body.
pub(super) const FRAME_HEAD_BYTES: u32 = 4 + 4 + 32 + 8;

/// A place in the segments; frames are appended in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::embedded) struct SegmentPosition {
    pub(in crate::embedded) segment: u32,
    pub(in crate::embedded) offset: u32,
}

impl SegmentPosition {
    /// The stored form: that of a location without a length.
    pub(in crate::embedded) fn encode(self) -> [u8; 12] {
        Location { at: self, length: 0 }.encode()
    }
}

/// What a frame is known by: two that hold the same have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) struct FrameKey {
    pub(in crate::embedded) id: [u8; 32],
    pub(in crate::embedded) number: u64,
}

/// Where a frame stands, and how long its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) struct Location {
    pub(in crate::embedded) at: SegmentPosition,
    pub(in crate::embedded) length: u32,
}

impl Location {
    /// What the whole frame takes.
    pub(in crate::embedded) fn frame_bytes(self) -> u32 {
        FRAME_HEAD_BYTES + self.length
    }

    /// Where the frame has ended.
    pub(in crate::embedded) fn end(self) -> SegmentPosition {
        SegmentPosition { offset: self.at.offset + self.frame_bytes(), ..self.at }
    }

    pub(in crate::embedded) fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        for (part, value) in
            bytes.chunks_exact_mut(4).zip([self.at.segment, self.at.offset, self.length])
        {
            part.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// `None` where the bytes are not what [`Self::encode`] makes.
    pub(in crate::embedded) fn decode(bytes: &[u8]) -> Option<Self> {
        let ([segment, offset, length], []) = bytes.as_chunks() else { return None };
        let [segment, offset, length] =
            [segment, offset, length].map(|part| u32::from_le_bytes(*part));
        Some(Self { at: SegmentPosition { segment, offset }, length })
    }
}

/// What the head of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) struct FrameHead {
    checksum: u32,
    pub(in crate::embedded) length: u32,
    pub(in crate::embedded) key: FrameKey,
}

impl FrameHead {
    pub(in crate::embedded) fn decode(bytes: &[u8; FRAME_HEAD_BYTES as usize]) -> Self {
        let four = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (mut id, mut number) = ([0; 32], [0; 8]);
        id.copy_from_slice(&bytes[8..40]);
        number.copy_from_slice(&bytes[40..48]);
        let key = FrameKey { id, number: u64::from_le_bytes(number) };
        Self { checksum: four(0), length: four(4), key }
    }

    /// Whether this is the head of a frame that stands there and holds this body.
    pub(super) fn is_of(&self, at: SegmentPosition, body: &[u8]) -> bool {
        self.length as usize == body.len() && self.checksum == checksum(at, self.key, &[body])
    }

    /// Whether the segment ends here.
    pub(super) fn is_seal(&self, at: SegmentPosition) -> bool {
        self.key == FrameKey::seal(at) && self.is_of(at, &[])
    }
}

impl FrameKey {
    fn seal(at: SegmentPosition) -> Self {
        Self { id: [0; 32], number: u64::from(at.offset) }
    }
}

/// What comes before the body of a frame that will stand there; the body is in parts.
pub(in crate::embedded) fn frame_head(
    at: SegmentPosition,
    key: FrameKey,
    body: &[&[u8]],
) -> ([u8; FRAME_HEAD_BYTES as usize], Location) {
    // Whoever appends holds it to a few MiB.
    let length = body.iter().map(|part| part.len()).sum::<usize>() as u32;
    let mut head = [0; FRAME_HEAD_BYTES as usize];
    head[..4].copy_from_slice(&checksum(at, key, body).to_le_bytes());
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8..40].copy_from_slice(&key.id);
    head[40..].copy_from_slice(&key.number.to_le_bytes());
    (head, Location { at, length })
}

/// Adds a frame that will stand there.
pub(in crate::embedded) fn push_frame(
    frames: &mut Vec<u8>,
    at: SegmentPosition,
    key: FrameKey,
    body: &[u8],
) -> Location {
    let (head, location) = frame_head(at, key, &[body]);
    frames.extend_from_slice(&head);
    frames.extend_from_slice(body);
    location
}

/// The seal that will stand there.
pub(super) fn seal(at: SegmentPosition) -> [u8; FRAME_HEAD_BYTES as usize] {
    frame_head(at, FrameKey::seal(at), &[]).0
}

/// The body of a frame that was read from there; `None` where it is another, or damaged.
pub(in crate::embedded) fn body_of(
    frame: &Bytes,
    location: Location,
    key: FrameKey,
) -> Option<Bytes> {
    let head = FrameHead::decode(frame.first_chunk()?);
    let body = frame.slice(FRAME_HEAD_BYTES as usize..);
    (head.key == key && head.is_of(location.at, &body)).then_some(body)
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

fn checksum(at: SegmentPosition, key: FrameKey, body: &[&[u8]]) -> u32 {
    let length = body.iter().map(|part| part.len()).sum::<usize>() as u32;
    let mut hash = crc32fast::Hasher::new();
    let mut head = [0; 4 + 4 + 4 + 32 + 8];
    head[..4].copy_from_slice(&at.segment.to_le_bytes());
    head[4..8].copy_from_slice(&at.offset.to_le_bytes());
    head[8..12].copy_from_slice(&length.to_le_bytes());
    head[12..44].copy_from_slice(&key.id);
    head[44..].copy_from_slice(&key.number.to_le_bytes());
    hash.update(&head);
    for part in body {
        hash.update(part);
    }
    hash.finalize()
}
