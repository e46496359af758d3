//! The guard: nothing from outside is read as BSON before it has passed here.

use std::fmt;

use crate::error::{Error, Result};
use crate::limits::BSON_MAX_DEPTH;

use super::tag;

/// Checks that the bytes are exactly one valid BSON document that nests at most
/// [`BSON_MAX_DEPTH`] deep: lengths, types, UTF-8, NUL, booleans. Array keys may
/// be anything.
///
/// One pass, no allocation. `InvalidArgument` says what is wrong and where, by
/// byte and by dotted field.
pub fn check(bytes: &[u8]) -> Result<()> {
    depth(bytes).map(drop)
}

/// How deep a document nests, itself included; checks it on the way.
pub(crate) fn depth(bytes: &[u8]) -> Result<usize> {
    let mut walk = Walk::new(bytes);
    walk.open(0, bytes.len())?;
    while walk.depth > 0 {
        walk.step()?;
    }
    match bytes.len() - walk.at {
        0 => Ok(walk.deepest),
        trailing => {
            let why = format_args!("document length {} leaves {trailing} bytes after it", walk.at);
            Err(walk.refuse(0, why))
        }
    }
}

/// How many bytes a value has, from its start on; `None` where that cannot be
/// read.
pub(super) fn value_length(tag: u8, value: &[u8]) -> Option<usize> {
    let length = || i32_at(value, 0).and_then(|length| usize::try_from(length).ok());
    Some(match tag {
        tag::STRING | tag::CODE | tag::SYMBOL => length()?.checked_add(4)?,
        tag::DOCUMENT | tag::ARRAY | tag::CODE_WITH_SCOPE => length()?,
        tag::BINARY => length()?.checked_add(5)?,
        tag::DB_POINTER => length()?.checked_add(16)?,
        tag::REGEX => {
            let pattern = value.iter().position(|byte| *byte == 0)? + 1;
            pattern + value[pattern..].iter().position(|byte| *byte == 0)? + 1
        }
        fixed => return fixed_length(fixed),
    })
}

pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(i32::from_le_bytes)
}

/// An error of the document's layout: what is wrong at which byte and field.
pub(crate) fn refusal(at: usize, field: &str, why: impl fmt::Display) -> Error {
    if field.is_empty() {
        Error::invalid(format!("at byte {at}: {why}"))
    } else {
        Error::invalid(format!("at byte {at} ({field}): {why}"))
    }
}

/// The size of the types that have one.
fn fixed_length(tag: u8) -> Option<usize> {
    Some(match tag {
        tag::UNDEFINED | tag::NULL | tag::MIN_KEY | tag::MAX_KEY => 0,
        tag::BOOLEAN => 1,
        tag::INT32 => 4,
        tag::DOUBLE | tag::DATETIME | tag::TIMESTAMP | tag::INT64 => 8,
        tag::OBJECT_ID => 12,
        tag::DECIMAL128 => 16,
        _ => return None,
    })
}

/// A container that is being walked. BSON lengths are 31 bits wide, so `u32`
/// holds every offset.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// Where its closing NUL stands.
    end: u32,
    /// Where its key starts; 0 of the outermost, which has none.
    key: u32,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the key of the element at hand starts; 0 before the first.
    key: usize,
    frames: [Frame; BSON_MAX_DEPTH],
    depth: usize,
    deepest: usize,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let frames = [Frame::default(); BSON_MAX_DEPTH];
        Self { bytes, at: 0, key: 0, frames, depth: 0, deepest: 0 }
    }

    /// Enters the container that starts at `start` and must end by `limit`.
    fn open(&mut self, start: usize, limit: usize) -> Result<()> {
        let length = self.length_at(start, limit, "document")?;
        if length < super::EMPTY.len() {
            return Err(self.refuse(
                start,
                format_args!("document length {length} is below the least one, 5"),
            ));
        }
        let end = self.end_of("document", start, 0, length, limit)? - 1;
        if self.bytes[end] != 0 {
            return Err(self.refuse(end, "the document does not end with NUL"));
        }
        if self.depth == BSON_MAX_DEPTH {
            return Err(self.refuse(
                start,
                format_args!("documents nest deeper than {BSON_MAX_DEPTH} levels"),
            ));
        }
        self.frames[self.depth] = Frame { end: end as u32, key: self.key as u32 };
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        self.at = start + 4;
        Ok(())
    }

    /// Passes one element, or the end of the container at hand.
    fn step(&mut self) -> Result<()> {
        let frame = self.frames[self.depth - 1];
        let end = frame.end as usize;
        if self.at == end {
            self.at = end + 1;
            self.depth -= 1;
            self.key = frame.key as usize;
            return Ok(());
        }
        let tag_at = self.at;
        let tag = self.bytes[tag_at];
        if tag == 0 {
            self.key = 0;
            return Err(self.refuse(
                tag_at,
                format_args!("the document ends {} bytes before its length says", end - tag_at),
            ));
        }
        self.key = tag_at + 1;
        let value = self.text_until_nul(self.key, end, "key")?;
        match fixed_length(tag) {
            Some(length) => {
                self.at = self.end_of(tag::name(tag).unwrap_or_default(), value, 0, length, end)?;
                if tag == tag::BOOLEAN && self.bytes[value] > 1 {
                    let found = self.bytes[value];
                    return Err(
                        self.refuse(value, format_args!("boolean {found:#04x} is neither 0 nor 1"))
                    );
                }
                Ok(())
            }
            None => self.sized_value(tag_at, tag, value, end),
        }
    }

    /// Passes, or enters, a value that says its own size.
    fn sized_value(&mut self, tag_at: usize, tag: u8, start: usize, end: usize) -> Result<()> {
        match tag {
            tag::STRING | tag::CODE | tag::SYMBOL => self.at = self.string(start, end)?,
            tag::DOCUMENT | tag::ARRAY => return self.open(start, end),
            tag::BINARY => self.at = self.binary(start, end)?,
            tag::REGEX => {
                let options = self.text_until_nul(start, end, "regular expression")?;
                self.at = self.text_until_nul(options, end, "regular expression's options")?;
            }
            tag::DB_POINTER => {
                let id = self.string(start, end)?;
                self.at = self.end_of("db pointer", id, 0, 12, end)?;
            }
            tag::CODE_WITH_SCOPE => {
                let length = self.length_at(start, end, "code with scope")?;
                let limit = self.end_of("code with scope", start, 0, length, end)?;
                let scope = self.string(start + 4, limit)?;
                let scope_length = self.length_at(scope, limit, "scope")?;
                if scope_length != limit - scope {
                    return Err(self.refuse(
                        scope,
                        format_args!("scope length {scope_length} does not fill the value"),
                    ));
                }
                return self.open(scope, limit);
            }
            unknown => {
                return Err(self.refuse(
                    tag_at,
                    format_args!("{unknown:#04x} is not a BSON type (01 to 13, 7f and ff are)"),
                ));
            }
        }
        Ok(())
    }

    /// Passes a string with its length; answers where it ends.
    fn string(&self, start: usize, limit: usize) -> Result<usize> {
        let length = self.length_at(start, limit, "string")?;
        if length == 0 {
            return Err(self.refuse(start, "string length 0 leaves no room for the closing NUL"));
        }
        let end = self.end_of("string", start, 4, length, limit)?;
        if self.bytes[end - 1] != 0 {
            return Err(self.refuse(end - 1, "the string does not end with NUL"));
        }
        self.utf8(start + 4, end - 1, "string")?;
        Ok(end)
    }

    /// Passes a binary; answers where it ends.
    fn binary(&self, start: usize, limit: usize) -> Result<usize> {
        let length = self.length_at(start, limit, "binary")?;
        let end = self.end_of("binary", start, 5, length, limit)?;
        let subtype = start + 4;
        if self.bytes[subtype] == 2 {
            let inner = self.length_at(subtype + 1, end, "inner binary")?;
            if inner + 4 != length {
                return Err(self.refuse(
                    subtype + 1,
                    format_args!("a binary of subtype 2 and length {length} says it holds {inner}"),
                ));
            }
        }
        Ok(end)
    }

    /// Passes text that ends with the first NUL; answers where it ends.
    fn text_until_nul(&self, start: usize, limit: usize, what: &str) -> Result<usize> {
        let Some(length) = self.bytes[start..limit].iter().position(|byte| *byte == 0) else {
            return Err(self.refuse(start, format_args!("the {what} does not end with NUL")));
        };
        self.utf8(start, start + length, what)?;
        Ok(start + length + 1)
    }

    fn utf8(&self, start: usize, end: usize, what: &str) -> Result<()> {
        match std::str::from_utf8(&self.bytes[start..end]) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refuse(
                start + error.valid_up_to(),
                format_args!("the {what} is not valid UTF-8 from here on"),
            )),
        }
    }

    fn length_at(&self, at: usize, limit: usize, what: &str) -> Result<usize> {
        let room = self.bytes.get(at..limit).unwrap_or_default();
        match i32_at(room, 0).map(|length| (length, usize::try_from(length))) {
            Some((_, Ok(length))) => Ok(length),
            Some((length, Err(_))) => {
                Err(self.refuse(at, format_args!("{what} length {length} is negative")))
            }
            None => Err(self.refuse(at, format_args!("no room for the {what}'s length"))),
        }
    }

    /// Where the value at `start` ends, that is, `head` bytes and then `length`
    /// more; it must end by `limit`.
    fn end_of(
        &self,
        what: &str,
        start: usize,
        head: usize,
        length: usize,
        limit: usize,
    ) -> Result<usize> {
        match (start + head).checked_add(length) {
            Some(end) if end <= limit => Ok(end),
            _ => {
                Err(self.refuse(start, format_args!("{what} length {length} exceeds the document")))
            }
        }
    }

    #[cold]
    fn refuse(&self, at: usize, why: impl fmt::Display) -> Error {
        refusal(at, &self.field(), why)
    }

    /// The dotted path of the element at hand, cut where it gets long.
    fn field(&self) -> String {
        const SHOWN_MAX_BYTES: usize = 256;
        let frames = self.frames.get(1..self.depth).unwrap_or_default();
        let keys = frames.iter().map(|frame| frame.key as usize).chain([self.key]);
        let mut field = String::new();
        for key in keys.filter(|key| *key != 0) {
            let rest = &self.bytes[key.min(self.bytes.len())..];
            let length = rest.iter().take(SHOWN_MAX_BYTES).position(|byte| *byte == 0);
            let shown = String::from_utf8_lossy(&rest[..length.unwrap_or(rest.len().min(32))]);
            if !field.is_empty() {
                field.push('.');
            }
            if field.len() + shown.len() > SHOWN_MAX_BYTES {
                field.push('…');
                break;
            }
            field.extend(shown.escape_debug());
        }
        field
    }
}
