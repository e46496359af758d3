//! A commit as the object that git keeps, with what its streams leave out.

use bytes::Bytes;

/// What of a commit's object no stream tells.
///
/// ```
/// use vdom_git::commit_object::CommitObject;
///
/// let object = b"tree aa\nparent bb\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\
///     gpgsig one\n two\nchange-id x\n\nm\n";
/// let commit = CommitObject::parse(object);
/// assert_eq!(commit.parents, [b"bb".as_slice()]);
/// assert_eq!(commit.headers[0].name, "gpgsig");
/// assert_eq!(commit.headers[0].value, "one\ntwo");
/// assert_eq!(commit.headers[1].name, "change-id");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitObject {
    /// The ids of its parents, in hexadecimal digits: also those that are not there because
    /// the repository is shallow.
    pub parents: Vec<Bytes>,
    /// Headers that streams do not carry.
    pub headers: Vec<CommitHeader>,
}

/// A header of a commit, such as `gpgsig`, `mergetag` or `change-id`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CommitHeader {
    pub name: Bytes,
    /// Its lines, without the spaces that git begins all but the first with.
    pub value: Bytes,
}

impl CommitObject {
    /// Reads as much as there is of it.
    pub fn parse(object: &[u8]) -> Self {
        let mut read = Self::default();
        let mut value: Option<(Bytes, Vec<u8>)> = None;
        let mut streamed = Vec::new();
        for line in object.split(|byte| *byte == b'\n') {
            if let Some(more) = line.strip_prefix(b" ") {
                if let Some((_, value)) = &mut value {
                    value.push(b'\n');
                    value.extend_from_slice(more);
                }
                continue;
            }
            read.headers.extend(value.take().map(header));
            if line.is_empty() {
                break;
            }
            let (name, rest) = split(line);
            let is_streamed = matches!(name, b"tree" | b"author" | b"committer" | b"encoding")
                && !streamed.contains(&name);
            if name == b"parent" {
                read.parents.push(Bytes::copy_from_slice(rest));
            } else if is_streamed {
                streamed.push(name);
            } else {
                value = Some((Bytes::copy_from_slice(name), rest.to_vec()));
            }
        }
        read.headers.extend(value.map(header));
        read
    }
}

fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}

fn header((name, value): (Bytes, Vec<u8>)) -> CommitHeader {
    CommitHeader { name, value: value.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_message_or_twice_is_told_apart() {
        let object = b"tree a\nparent b\nparent b\nauthor A\ncommitter C\nencoding x\nauthor B\n\
            empty\n\ngpgsig no\n\nparent no\n";
        let commit = CommitObject::parse(object);
        assert_eq!(commit.parents, [b"b".as_slice(), b"b"]);
        let headers: Vec<_> = commit
            .headers
            .iter()
            .map(|header| (header.name.as_ref(), header.value.as_ref()))
            .collect();
        assert_eq!(headers, [(b"author".as_slice(), b"B".as_slice()), (b"empty", b"")]);
        assert_eq!(CommitObject::parse(b""), CommitObject::default());
        assert_eq!(CommitObject::parse(b" x\nh").headers.len(), 1);
    }
}
