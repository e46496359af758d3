//! Page tokens: the name after which a listing goes on, and a check that tells our tokens, of
//! this very listing, from others. Opaque to clients.

use sha2::{Digest, Sha256};

use crate::error::Error;

const CHECK_BYTES: usize = 8;

/// Which listing a token is of.
pub(super) struct Listing<'a> {
    /// The call, and the version of its tokens.
    pub call: &'static str,
    /// The names of what is listed; none holds a zero byte.
    pub scope: &'a [&'a str],
}

impl Listing<'_> {
    /// The token of the page after a name.
    pub(super) fn token_after(&self, name: &str) -> String {
        let mut token = self.check(name.as_bytes()).to_vec();
        token.extend_from_slice(name.as_bytes());
        hex::encode(token)
    }

    /// The name in a token of this listing; `None` where it is not one.
    pub(super) fn name_in(&self, token: &str) -> Option<String> {
        let token = hex::decode(token).ok()?;
        let (check, name) = token.split_first_chunk::<CHECK_BYTES>()?;
        let is_ours = *check == self.check(name);
        String::from_utf8(name.to_vec()).ok().filter(|_| is_ours)
    }

    fn check(&self, name: &[u8]) -> [u8; CHECK_BYTES] {
        let mut hasher = Sha256::new_with_prefix(self.call);
        for part in self.scope {
            hasher.update(part);
            hasher.update([0]);
        }
        hasher.update(name);
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&hasher.finalize()[..CHECK_BYTES]);
        check
    }
}

/// The refusal of a token that is none of this listing.
pub(super) fn not_ours() -> Error {
    Error::invalid(
        "page_token is not one that this list gave out: take next_page_token of the page before, \
         or none for the first page",
    )
}
