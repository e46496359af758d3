//! A bearer token that is never printed by accident.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A bearer token, without the white space around it. Its debug output does not
/// show it.
///
/// ```
/// use vdom_client::Token;
///
/// let token = Token::new(" very-private\n");
/// assert_eq!(token.reveal(), "very-private");
/// assert!(!format!("{token:?}").contains("private"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token in this text. Whether a server takes it is known from its answer.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The token as it is sent. Nothing may print it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        let token = "very-private".parse::<Token>();
        assert!(!format!("{token:?}").contains("private"));
    }
}
