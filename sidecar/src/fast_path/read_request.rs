//! Reads a `ReadSnapshotRequest` where it lies, as far as memory can answer it.

/// The fields that a cached answer depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadRequest<'a> {
    pub(super) node_id: &'a [u8],
    pub(super) realm: &'a str,
    pub(super) repo: &'a str,
    pub(super) branch: &'a str,
    pub(super) path: &'a str,
    pub(super) min_revision: u64,
    pub(super) min_epoch: u64,
    pub(super) max_age_ms: Option<u64>,
}

impl<'a> ReadRequest<'a> {
    /// `None` for a message that is malformed, asks for what memory does not
    /// have, or has fields that are not known here.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use prost::Message;
    use vdom_proto::v1 as wire;

    use super::*;

    fn request() -> wire::ReadSnapshotRequest {
        wire::ReadSnapshotRequest {
            repo: "app".into(),
            branch: "main".into(),
            path: "src/lib.rs".into(),
            realm: "acme".into(),
            min_revision: 300,
            min_epoch: 1 << 40,
            max_age_ms: Some(1_000),
            ..Default::default()
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let bytes = request().encode_to_vec();
        let expected = ReadRequest {
            node_id: &[],
            realm: "acme",
            repo: "app",
            branch: "main",
            path: "src/lib.rs",
            min_revision: 300,
            min_epoch: 1 << 40,
            max_age_ms: Some(1_000),
        };
        assert_eq!(ReadRequest::parse(&bytes), Some(expected));
        for length in 0..bytes.len() {
            // Whatever breaks off is either refused or has fewer fields.
            assert_ne!(ReadRequest::parse(&bytes[..length]), Some(expected));
        }
    }

    #[test]
    fn what_memory_cannot_answer_is_left_alone() {
        let changes: [fn(&mut wire::ReadSnapshotRequest); 6] = [
            |request| request.revision = 5,
            |request| request.epoch = 5,
            |request| request.after_operation = vec![1; 16].into(),
            |request| request.max_age_ms = Some(0),
            |request| request.node_id = vec![1; 16].into(),
            |request| request.path.clear(),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut request = request();
            change(&mut request);
            assert_eq!(ReadRequest::parse(&request.encode_to_vec()), None, "change {number}");
        }
        assert_eq!(ReadRequest::parse(&[0xff; 12]), None, "a number without an end");
        assert_eq!(ReadRequest::parse(&[0x22, 2, 0xff, 0xfe]), None, "text that is none");
    }
}
