//! JSON Pointer (RFC 6901).

use std::fmt;

use crate::error::{Error, Result};

/// A place in a document: field names and array positions from the root down.
/// The empty pointer is the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer {
    tokens: Vec<String>,
}

impl Pointer {
    /// Reads `/`-separated tokens, in which `~1` stands for `/` and `~0` for
    /// `~`. Refuses NUL: no BSON key can contain it.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| Err(Error::invalid(format!("\"{}\" {why}", text.escape_debug())));
        if text.contains('\0') {
            return refuse("contains NUL, which no key can");
        }
        let Some(tokens) = text.strip_prefix('/') else {
            return match text {
                "" => Ok(Self::default()),
                _ => refuse("is no JSON Pointer: it must be empty or start with `/`"),
            };
        };
        let tokens: Option<Vec<_>> = tokens.split('/').map(unescape).collect();
        match tokens {
            Some(tokens) => Ok(Self { tokens }),
            None => refuse("is no JSON Pointer: `~` must be followed by 0 or 1"),
        }
    }

    /// The place that these tokens lead to.
    pub fn from_tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        Self { tokens: tokens.into_iter().map(str::to_owned).collect() }
    }

    /// The tokens, unescaped.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// True for the whole document.
    pub fn is_root(&self) -> bool {
        self.tokens.is_empty()
    }

    /// True where `other` is a place within this one.
    pub fn is_above(&self, other: &Self) -> bool {
        other.tokens.len() > self.tokens.len() && other.tokens.starts_with(&self.tokens)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|token| {
            write!(formatter, "/{}", token.replace('~', "~0").replace('/', "~1"))
        })
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut pieces = token.split('~');
    let mut unescaped = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        unescaped.push(match piece.as_bytes().first() {
            Some(b'0') => '~',
            Some(b'1') => '/',
            _ => return None,
        });
        unescaped.push_str(&piece[1..]);
    }
    Some(unescaped)
}
