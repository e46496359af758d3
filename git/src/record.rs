//! What a repo keeps of a commit, a tag or a ref, beside the files: a document
//! from which git's own bytes come back. A text is a string where it is UTF-8, and
//! a binary where it is not.

use bytes::Bytes;
use vdom_core::document::{self, DocumentBuilder, Element};

use crate::command::Signature;
use crate::commit_object::CommitHeader;

/// Where the record of a branch's last commit is.
pub const COMMIT_PATH: &str = ".vdom/git-commit";
/// What begins the paths of the parts of a record that is too long for one document.
pub const PART_PATHS: &str = ".vdom/git-commit-parts/";
/// The metadata of a change set that is a commit: the commit's id.
pub const COMMIT_METADATA: &str = "git-commit";
/// The metadata of a change set that only prepares a commit: the commit's id.
pub const AHEAD_METADATA: &str = "git-commit-ahead";

/// The metadata of a change set that is a commit whose parents were not there: the
/// repository was shallow.
pub const CUT_METADATA: &str = "git-commit-cut";

/// A commit, without its files. Ids are hexadecimal digits, persons and times
/// `Name <email> seconds zone`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CommitRecord {
    pub id: Bytes,
    pub parents: Vec<Bytes>,
    /// The repository was shallow, and had none of the parents: all files are in this commit.
    pub is_cut: bool,
    /// `None`: as the committer.
    pub author: Option<Bytes>,
    pub committer: Bytes,
    /// Signatures, where git told of them.
    pub signatures: Vec<Signature>,
    /// Of the message, where it is not UTF-8.
    pub encoding: Option<Bytes>,
    /// Headers that streams do not carry.
    pub headers: Vec<CommitHeader>,
    pub message: Bytes,
}

/// A ref, and the annotated tags that it points to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefRecord {
    /// The whole name, such as `refs/heads/main`.
    pub name: Bytes,
    /// The id of the commit that it comes to; `None` of a symbolic ref.
    pub commit: Option<Bytes>,
    /// The ref that a symbolic ref names.
    pub symbolic: Option<Bytes>,
    /// The branch of the repo that holds a branch of git.
    pub branch: Option<String>,
    /// The tags that lead to the commit, the one nearest to it first.
    pub tags: Vec<TagRecord>,
}

/// An annotated tag: its object id in hexadecimal digits, its tagger as
/// `Name <email> seconds zone`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TagRecord {
    pub id: Bytes,
    /// Without `refs/tags/`.
    pub name: Bytes,
    pub tagger: Option<Bytes>,
    /// The message, with the signature where it has one.
    pub message: Bytes,
}

impl CommitRecord {
    /// The BSON document that a repo keeps.
    pub fn to_document(&self) -> Bytes {
        let mut record = DocumentBuilder::new();
        append(&mut record, "commit", &self.id);
        record
            .append_array("parents", &array(&self.parents, |list, key, id| append(list, key, id)));
        if self.is_cut {
            record.append_bool("cut", true);
        }
        append_optional(&mut record, "author", self.author.as_ref());
        append(&mut record, "committer", &self.committer);
        append_optional(&mut record, "encoding", self.encoding.as_ref());
        let signatures = array(&self.signatures, |list, key, signature| {
            let mut entry = DocumentBuilder::new();
            append(&mut entry, "kind", &signature.kind);
            append(&mut entry, "data", &signature.data);
            list.append_document(key, &entry.finish());
        });
        if !self.signatures.is_empty() {
            record.append_array("signatures", &signatures);
        }
        let headers = array(&self.headers, |list, key, header| {
            let mut entry = DocumentBuilder::new();
            append(&mut entry, "name", &header.name);
            append(&mut entry, "value", &header.value);
            list.append_document(key, &entry.finish());
        });
        if !self.headers.is_empty() {
            record.append_array("headers", &headers);
        }
        append(&mut record, "message", &self.message);
        record.finish()
    }

    /// Reads the document; `None` where it is something else.
    pub fn from_document(record: &[u8]) -> Option<Self> {
        let mut read = Self::default();
        let mut fields = 0;
        for field in checked(record)? {
            match field.key {
                "commit" => read.id = text(&field)?,
                "parents" => read.parents = list(&field, text)?,
                "cut" => read.is_cut = field.as_bool()?,
                "author" => read.author = Some(text(&field)?),
                "committer" => read.committer = text(&field)?,
                "encoding" => read.encoding = Some(text(&field)?),
                "signatures" => read.signatures = list(&field, signature)?,
                "headers" => read.headers = list(&field, header)?,
                "message" => read.message = text(&field)?,
                _ => continue,
            }
            fields += u8::from(matches!(field.key, "commit" | "parents" | "committer" | "message"));
        }
        let is_id = |id: &Bytes| !id.is_empty() && id.iter().all(u8::is_ascii_hexdigit);
        (fields == 4 && is_id(&read.id) && read.parents.iter().all(is_id)).then_some(read)
    }
}

impl RefRecord {
    /// The BSON document that a repo keeps.
    pub fn to_document(&self) -> Bytes {
        let mut record = DocumentBuilder::new();
        append(&mut record, "ref", &self.name);
        append_optional(&mut record, "commit", self.commit.as_ref());
        append_optional(&mut record, "symbolic", self.symbolic.as_ref());
        if let Some(branch) = &self.branch {
            record.append_str("branch", branch);
        }
        let tags = array(&self.tags, |list, key, tag| {
            let mut entry = DocumentBuilder::new();
            append(&mut entry, "tag", &tag.id);
            append(&mut entry, "name", &tag.name);
            append_optional(&mut entry, "tagger", tag.tagger.as_ref());
            append(&mut entry, "message", &tag.message);
            list.append_document(key, &entry.finish());
        });
        if !self.tags.is_empty() {
            record.append_array("tags", &tags);
        }
        record.finish()
    }

    /// Reads the document; `None` where it is something else.
    pub fn from_document(record: &[u8]) -> Option<Self> {
        let mut read = Self::default();
        for field in checked(record)? {
            match field.key {
                "ref" => read.name = text(&field)?,
                "commit" => read.commit = Some(text(&field)?),
                "symbolic" => read.symbolic = Some(text(&field)?),
                "branch" => read.branch = Some(field.as_str()?.to_owned()),
                "tags" => read.tags = list(&field, tag)?,
                _ => {}
            }
        }
        (!read.name.is_empty()).then_some(read)
    }
}

/// A document as parts of at most `part_bytes`, and the one that stands for it.
pub fn split_document(document: &Bytes, part_bytes: usize) -> (Bytes, Vec<Bytes>) {
    let parts: Vec<_> = document
        .chunks(part_bytes)
        .map(|part| {
            let mut record = DocumentBuilder::new();
            record.append_bytes("part", part);
            record.finish()
        })
        .collect();
    let mut whole = DocumentBuilder::new();
    whole.append_i64("parts", i64::try_from(parts.len()).unwrap_or(i64::MAX));
    (whole.finish(), parts)
}

/// How many parts a document stands for; `None`: it is whole.
pub fn part_count(document: &[u8]) -> Option<usize> {
    let parts = checked(document)?.find(|field| field.key == "parts")?;
    parts.as_integer().and_then(|parts| usize::try_from(parts).ok())
}

/// What a part has of its document; `None` where it is something else.
pub fn part_data(part: &[u8]) -> Option<&[u8]> {
    checked(part)?.find(|field| field.key == "part")?.as_bytes()
}

fn append(record: &mut DocumentBuilder, key: &str, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(text) => record.append_str(key, text),
        Err(_) => record.append_bytes(key, value),
    };
}

fn append_optional(record: &mut DocumentBuilder, key: &str, value: Option<&Bytes>) {
    if let Some(value) = value {
        append(record, key, value);
    }
}

fn array<T>(items: &[T], mut add: impl FnMut(&mut DocumentBuilder, &str, &T)) -> Bytes {
    let mut list = DocumentBuilder::new();
    for (index, item) in items.iter().enumerate() {
        add(&mut list, &index.to_string(), item);
    }
    list.finish()
}

fn checked(record: &[u8]) -> Option<document::Elements<'_>> {
    document::check(record).ok().map(|()| document::elements(record))
}

fn text(element: &Element<'_>) -> Option<Bytes> {
    let text = element.as_str().map(str::as_bytes).or_else(|| element.as_bytes())?;
    Some(Bytes::copy_from_slice(text))
}

fn list<T>(element: &Element<'_>, read: impl Fn(&Element<'_>) -> Option<T>) -> Option<Vec<T>> {
    element.as_array()?;
    element.elements().map(|item| read(&item)).collect()
}

fn header(element: &Element<'_>) -> Option<CommitHeader> {
    let [name, value] = pair(element, ["name", "value"])?;
    Some(CommitHeader { name, value })
}

fn signature(element: &Element<'_>) -> Option<Signature> {
    let [kind, data] = pair(element, ["kind", "data"])?;
    Some(Signature { kind, data })
}

fn pair(element: &Element<'_>, names: [&str; 2]) -> Option<[Bytes; 2]> {
    element.as_document()?;
    let field = |name: &str| text(&element.elements().find(|field| field.key == name)?);
    Some([field(names[0])?, field(names[1])?])
}

fn tag(element: &Element<'_>) -> Option<TagRecord> {
    let mut read = TagRecord::default();
    element.as_document()?;
    for field in element.elements() {
        match field.key {
            "tag" => read.id = text(&field)?,
            "name" => read.name = text(&field)?,
            "tagger" => read.tagger = Some(text(&field)?),
            "message" => read.message = text(&field)?,
            _ => {}
        }
    }
    (!read.name.is_empty()).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_comes_back_to_the_byte() {
        let record = CommitRecord {
            id: Bytes::from_static(b"9223a7da"),
            parents: vec![Bytes::from_static(b"aa"), Bytes::from_static(b"bb")],
            is_cut: true,
            author: Some(Bytes::from_static(b"J\xf6rg <j@x> 1 +0100")),
            committer: Bytes::from_static(b"Ann <a@x> 2 -0330"),
            signatures: vec![Signature {
                kind: Bytes::from_static(b"sha1 openpgp"),
                data: Bytes::from_static(b"\xff\0"),
            }],
            encoding: Some(Bytes::from_static(b"ISO-8859-1")),
            headers: vec![CommitHeader {
                name: Bytes::from_static(b"mergetag"),
                value: Bytes::from_static(b"object aa\n\xff"),
            }],
            message: Bytes::from_static(b"Gr\xfc\xdfe\n\0\n"),
        };
        assert_eq!(CommitRecord::from_document(&record.to_document()), Some(record));
        assert_eq!(CommitRecord::from_document(b""), None);
        assert_eq!(CommitRecord::from_document(&DocumentBuilder::new().finish()), None);
    }

    #[test]
    fn a_long_document_comes_back_from_its_parts() {
        let record = CommitRecord {
            id: "aa".into(),
            message: vec![b'x'; 1_000].into(),
            ..Default::default()
        };
        let document = record.to_document();
        let (whole, parts) = split_document(&document, 300);
        assert_eq!(part_count(&whole), Some(parts.len()));
        assert!(parts.iter().all(|part| part.len() < 330));
        let data: Vec<u8> =
            parts.iter().flat_map(|part| part_data(part).expect("a part")).copied().collect();
        assert_eq!(CommitRecord::from_document(&data), Some(record));
        assert_eq!((part_count(&document), part_data(&document)), (None, None));
    }

    #[test]
    fn a_ref_comes_back_to_the_byte() {
        let record = RefRecord {
            name: Bytes::from_static(b"refs/tags/v\xff"),
            commit: Some(Bytes::from_static(b"aa")),
            symbolic: None,
            branch: Some("main".to_owned()),
            tags: vec![TagRecord {
                id: Bytes::from_static(b"cc"),
                name: Bytes::from_static(b"v\xff"),
                tagger: None,
                message: Bytes::from_static(b"x"),
            }],
        };
        assert_eq!(RefRecord::from_document(&record.to_document()), Some(record));
        assert_eq!(RefRecord::from_document(b"garbage"), None);
    }
}
