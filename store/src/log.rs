//! Logs: how they are named, and how they are listed.

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use sha2::{Digest, Sha256};

use crate::hex_id::shown_as_hex;

#[cfg(test)]
mod tests;

/// Identifies a log: a hash of its name and incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 32]);

shown_as_hex!(LogId);

/// What the incarnations of a log are called. No part of a name holds a zero byte.
///
/// The store gives no meaning to rooms and segments. The logs of the first release name
/// no room and have two segments each; their ids and stored forms stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogName {
    /// The tenant, whose chunks the log may name.
    pub realm: String,
    /// Who writes logs of this kind; empty for the room that needs no name.
    pub room: String,
    /// The rest of the name, from the general to the particular: two where the room is
    /// empty, else any number.
    pub segments: Vec<String>,
}

/// What a log is about; carried by its first batch, so that logs can be listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogDescriptor {
    /// The same for all incarnations.
    pub name: LogName,
    /// 1 for the first log of that name, then one more after each closing batch.
    pub incarnation: u64,
}

/// Which logs to list: those of one realm and one room (empty for the room that needs no
/// name) whose names begin with these segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LogFilter {
    pub realm: String,
    pub room: String,
    /// The logs of every room, whatever else the filter says but for the realm.
    pub every_room: bool,
    pub segments: Vec<String>,
    /// Only names whose segments, all of them, come after these; empty: all.
    pub after: Vec<String>,
    /// So many of the first logs at most; of the last name there may be any.
    pub limit: Option<usize>,
}

impl LogName {
    /// The descriptor of one of the logs of this name.
    #[must_use]
    pub fn incarnation(&self, incarnation: u64) -> LogDescriptor {
        LogDescriptor { name: self.clone(), incarnation }
    }

    /// The id of one of the logs of this name.
    pub fn log_id(&self, incarnation: u64) -> LogId {
        let Self { realm, room, segments } = self;
        let mut hash = Sha256::new();
        if room.is_empty() {
            hash.update(b"vdom log");
            add_text(&mut hash, realm);
        } else {
            hash.update(b"vdom room log");
            add_text(&mut hash, room);
            add_text(&mut hash, realm);
            // Two names of a room may have unlike numbers of segments.
            hash.update((segments.len() as u64).to_be_bytes());
        }
        for segment in segments {
            add_text(&mut hash, segment);
        }
        hash.update(incarnation.to_be_bytes());
        LogId(hash.finalize().into())
    }

    /// Why no log can have this name.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let Self { realm, room, segments } = self;
        if [realm, room].into_iter().chain(segments).any(|part| part.contains('\0')) {
            return Some("a name of the log holds a zero byte");
        }
        let is_unnamed = room.is_empty() && segments.len() != 2;
        is_unnamed.then_some("a log of no room must have two segments")
    }
}

impl LogDescriptor {
    /// The id of the log that this describes.
    pub fn log_id(&self) -> LogId {
        self.name.log_id(self.incarnation)
    }
}

impl LogFilter {
    /// All logs of a realm that name no room.
    pub fn of_realm(realm: impl Into<String>) -> Self {
        Self { realm: realm.into(), ..Self::default() }
    }

    /// All logs of a realm, those of rooms that the caller does not know among them.
    pub fn of_every_room(realm: impl Into<String>) -> Self {
        Self { realm: realm.into(), every_room: true, ..Self::default() }
    }

    /// Whether the filter takes in the logs of this name.
    pub fn matches(&self, name: &LogName) -> bool {
        let is_named = self.room == name.room
            && name.segments.starts_with(&self.segments)
            && (self.after.is_empty() || name.segments > self.after);
        self.realm == name.realm && (self.every_room || is_named)
    }

    /// Whether what a backend has by name has the order of the answer: names of no room have
    /// as many segments each.
    pub(crate) fn is_in_order_of_names(&self) -> bool {
        self.room.is_empty() && !self.every_room
    }

    /// Whole names of no room after which the listing goes on.
    pub(crate) fn after_whole_name(&self) -> Option<&[String]> {
        Some(&self.after[..]).filter(|after| self.is_in_order_of_names() && after.len() == 2)
    }
}

fn add_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

/// `[realm, segment, segment, incarnation]` where the room is empty, else
/// `[realm, [segment, …], room, incarnation]`: releases that know no rooms refuse the
/// second form.
impl<C> Encode<C> for LogDescriptor {
    fn encode<W: encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let LogName { realm, room, segments } = &self.name;
        encoder.array(4)?.str(realm)?;
        match &segments[..] {
            [first, second] if room.is_empty() => encoder.str(first)?.str(second)?,
            _ => encoder.encode_with(segments, context)?.str(room)?,
        };
        encoder.u64(self.incarnation)?;
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for LogDescriptor {
    fn decode(decoder: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        if decoder.array()? != Some(4) {
            return Err(decode::Error::message("a log's description has not four parts"));
        }
        let realm = decoder.str()?.to_owned();
        let (room, segments) = if decoder.datatype()? == Type::Array {
            let segments = decoder.decode_with(context)?;
            (decoder.str()?.to_owned(), segments)
        } else {
            (String::new(), vec![decoder.str()?.to_owned(), decoder.str()?.to_owned()])
        };
        let name = LogName { realm, room, segments };
        Ok(Self { name, incarnation: decoder.u64()? })
    }
}
