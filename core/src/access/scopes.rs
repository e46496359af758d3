//! The rights that a token carries.

use std::fmt;

/// A right that a token carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `dom.read`: read and watch.
    Read,
    /// `dom.write`: write diffs.
    Write,
    /// `dom.author`: write in another's name.
    Author,
    /// `dom.admin`: branches, quotas, retention.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Author, Self::Admin];

    /// The scope's name in a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "dom.read",
            Self::Write => "dom.write",
            Self::Author => "dom.author",
            Self::Admin => "dom.admin",
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Scopes by their names, separated by spaces; unknown ones are left out.
    pub fn parse(names: &str) -> Self {
        names
            .split_ascii_whitespace()
            .filter_map(|name| Scope::ALL.into_iter().find(|scope| scope.name() == name))
            .collect()
    }

    /// Whether the set has this scope.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u8))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::name);
        formatter.debug_set().entries(names).finish()
    }
}
