//! A `ReadSnapshotRequest` read where it lies, as far as a cache can answer it.

/// The fields that a cached answer depends on, named and encoded as in the message: what
/// is absent is empty or 0. Exactly one of `node_id` and `path` is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the message's")]
pub struct CachedReadRequest<'a> {
    pub node_id: &'a [u8],
    pub realm: &'a str,
    pub repo: &'a str,
    pub branch: &'a str,
    pub path: &'a str,
    pub min_revision: u64,
    pub min_epoch: u64,
    pub max_age_ms: Option<u64>,
}

impl<'a> CachedReadRequest<'a> {
    /// `None` for a message that is malformed, asks for what no cache has (another
    /// revision, a proven head), or has fields that are not known here.
    pub fn decode(message: &'a [u8]) -> Option<Self> {
        let mut request = Self::default();
        let mut rest = message;
        while !rest.is_empty() {
            let tag = varint(&mut rest)?;
            match (tag >> 3, tag & 7) {
                (1, 2) => request.node_id = bytes(&mut rest)?,
                (2, 2) => request.repo = text(&mut rest)?,
                (3, 2) => request.branch = text(&mut rest)?,
                (4, 2) => request.path = text(&mut rest)?,
                (6, 0) => request.min_revision = varint(&mut rest)?,
                (7, 0) => request.min_epoch = varint(&mut rest)?,
                (8, 2) => request.realm = text(&mut rest)?,
                (9, 0) => request.max_age_ms = Some(varint(&mut rest)?),
                _ => return None,
            }
        }
        let names_one_node = request.node_id.is_empty() != request.path.is_empty();
        (names_one_node && request.max_age_ms != Some(0)).then_some(request)
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        // Of the tenth byte one bit is left.
        if shift == 63 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (field, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(bytes(rest)?).ok()
}
