//! The document under patch: containers are opened only where an operation
//! passes, and all else stays a slice of the bytes it came from.

use crate::document::{self, tag};
use crate::limits::BSON_MAX_DEPTH;

/// A value of the document. Operations keep it at most [`BSON_MAX_DEPTH`] deep,
/// so cloning and dropping it cannot exhaust the stack.
#[derive(Clone, Debug)]
pub(super) enum Tree<'a> {
    /// As it stands in the bytes.
    Raw { tag: u8, bytes: &'a [u8] },
    /// An opened document.
    Document(Vec<(&'a str, Tree<'a>)>),
    /// An opened array; written, it gets the keys 0, 1, 2 …
    Array(Vec<Tree<'a>>),
}

/// Why an operation cannot be done.
#[derive(Debug)]
pub(super) enum Stop {
    /// The document does not allow it.
    Refused(String),
    /// The patch has used up its work.
    TooMuchWork,
}

/// What an operation comes to.
pub(super) type Outcome<T> = std::result::Result<T, Stop>;

/// How much a patch may still do, so that a small patch cannot occupy its
/// branch: a unit is about a nanosecond.
pub(super) struct Work {
    left: u64,
}

impl Work {
    const TOTAL: u64 = 200_000_000;
    /// For each value made; bounds the memory of the tree, too.
    const PER_VALUE: u64 = 64;
    /// How many bytes one unit walks.
    const WALKED_BYTES: u64 = 2;
    /// How many bytes one unit moves within a container.
    const MOVED_BYTES: u64 = 32;

    pub(super) fn new() -> Self {
        Self { left: Self::TOTAL }
    }

    /// For so many keys compared, or values visited.
    pub(super) fn spend_visits(&mut self, values: usize) -> Outcome<()> {
        self.spend(values as u64)
    }

    /// For so many values made.
    pub(super) fn spend_values(&mut self, values: usize) -> Outcome<()> {
        self.spend(values as u64 * Self::PER_VALUE)
    }

    /// For so many bytes of BSON walked.
    pub(super) fn spend_walk(&mut self, bytes: usize) -> Outcome<()> {
        self.spend(bytes as u64 / Self::WALKED_BYTES + 1)
    }

    /// For these values moved.
    pub(super) fn spend_move<T>(&mut self, values: &[T]) -> Outcome<()> {
        self.spend(size_of_val(values) as u64 / Self::MOVED_BYTES + 1)
    }

    fn spend(&mut self, units: u64) -> Outcome<()> {
        self.left = self.left.checked_sub(units).ok_or(Stop::TooMuchWork)?;
        Ok(())
    }
}

impl Tree<'_> {
    pub(super) fn tag(&self) -> u8 {
        match self {
            Self::Raw { tag, .. } => *tag,
            Self::Document(_) => tag::DOCUMENT,
            Self::Array(_) => tag::ARRAY,
        }
    }

    /// Makes the values of a container reachable; anything else stays raw.
    pub(super) fn open(&mut self, work: &mut Work) -> Outcome<()> {
        let Self::Raw { tag: tag @ (tag::DOCUMENT | tag::ARRAY), bytes } = *self else {
            return Ok(());
        };
        let mut fields = Vec::new();
        for element in document::elements(bytes) {
            work.spend_values(1)?;
            fields.push((element.key, Self::Raw { tag: element.tag, bytes: element.value }));
        }
        *self = if tag == tag::DOCUMENT {
            Self::Document(fields)
        } else {
            Self::Array(fields.into_iter().map(|(_, value)| value).collect())
        };
        Ok(())
    }

    /// A copy, at its price.
    pub(super) fn copied(&self, work: &mut Work) -> Outcome<Self> {
        let mut values = 0;
        self.walk(&mut |_, _| values += 1);
        work.spend_values(values)?;
        Ok(self.clone())
    }

    /// How deep the value nests; 0 for what is no container.
    pub(super) fn depth(&self, work: &mut Work) -> Outcome<usize> {
        let (mut bytes_walked, mut values, mut deepest) = (0, 0, 0);
        self.walk(&mut |tree, above| {
            values += 1;
            let own = match tree {
                Self::Raw { tag, bytes } => {
                    bytes_walked += bytes.len();
                    raw_depth(*tag, bytes)
                }
                Self::Document(_) | Self::Array(_) => 1,
            };
            deepest = deepest.max(above + own);
        });
        work.spend_visits(values)?;
        work.spend_walk(bytes_walked)?;
        Ok(deepest)
    }

    /// Visits every value of the tree with the number of containers above it.
    pub(super) fn walk(&self, visit: &mut impl FnMut(&Self, usize)) {
        let mut left = vec![(self, 0)];
        while let Some((tree, above)) = left.pop() {
            visit(tree, above);
            match tree {
                Self::Raw { .. } => {}
                Self::Document(fields) => {
                    left.extend(fields.iter().map(|(_, value)| (value, above + 1)));
                }
                Self::Array(items) => left.extend(items.iter().map(|item| (item, above + 1))),
            }
        }
    }
}

/// How deep a value nests that is not opened.
fn raw_depth(tag: u8, bytes: &[u8]) -> usize {
    let container = match tag {
        tag::DOCUMENT | tag::ARRAY => bytes,
        tag::CODE_WITH_SCOPE => document::scope(bytes).unwrap_or(&document::EMPTY),
        _ => return 0,
    };
    // A part of a document that passed the guard is a valid document.
    document::depth(container).unwrap_or(BSON_MAX_DEPTH)
}
