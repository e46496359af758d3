//! Branches of git as branches of a repo. Git's are almost any bytes; what a
//! branch cannot be named is escaped.

use sha2::{Digest, Sha256};
use vdom_core::BranchName;
use vdom_core::limits::NAME_MAX_BYTES;

/// Where the refs and tags are kept, and what begins the names of our own branches.
pub const REFS_BRANCH: &str = "git/refs";
/// The branch for commits that only a detached HEAD leads to.
pub const DETACHED_BRANCH: &str = "git/HEAD";
/// What begins the names of branches whose ref is gone.
pub const SIDE_BRANCHES: &str = "git/side/";

const OWN_FOLDER: &str = "git/";
/// `_h` and half a hash.
const HASH_BYTES: usize = 2 + 32;

/// The branch for `refs/heads/NAME`. Different names get different branches:
/// `_x` and two hexadecimal digits stand for a byte, `_h` and a hash for the end
/// of a name that is too long.
pub fn encode_branch(name: &[u8]) -> String {
    let mut escaped = String::with_capacity(name.len() + 16);
    for (at, &byte) in name.iter().enumerate() {
        let begins_own = at == 0 && (name.starts_with(OWN_FOLDER.as_bytes()) || byte == b'-');
        let looks_escaped = byte == b'_' && matches!(name.get(at + 1), Some(b'x' | b'h'));
        let is_allowed = byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
        if is_allowed && !begins_own && !looks_escaped {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(["_x", &hex::encode([byte])]);
        }
    }
    if escaped.len() <= NAME_MAX_BYTES && BranchName::parse(&escaped).is_ok() {
        return escaped;
    }
    let mut kept = &escaped[..escaped.len().min(NAME_MAX_BYTES - HASH_BYTES)];
    if let Some(at) = kept.rfind('_').filter(|at| kept.len() - at < 4) {
        kept = &kept[..at];
    }
    let hash = hex::encode(&Sha256::digest(name)[..16]);
    let shortened = format!("{kept}_h{hash}");
    if BranchName::parse(&shortened).is_ok() { shortened } else { format!("_h{hash}") }
}

/// The branch of a chain of commits that no ref names, by its first commit.
pub fn side_branch(first_commit: &[u8]) -> String {
    let start = String::from_utf8_lossy(&first_commit[..first_commit.len().min(12)]);
    format!("{SIDE_BRANCHES}{start}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ordinary_names_stay() {
        for name in ["main", "feature/a.b-c_d", "v1", "gitx/a", "git"] {
            assert_eq!(encode_branch(name.as_bytes()), name);
        }
        assert_eq!(
            side_branch(b"9223a7da1efd7ef7266fefad8ba66876ada0429e"),
            "git/side/9223a7da1efd"
        );
    }

    #[test]
    fn others_are_escaped_and_never_meet() {
        assert_eq!(encode_branch(b"fix#1"), "fix_x231");
        assert_eq!(encode_branch("über".as_bytes()), "_xc3_xbcber");
        assert_eq!(encode_branch(b"git/refs"), "_x67it/refs");
        let long = [b'n'; 300];
        let mut names: Vec<Vec<u8>> = vec![long.to_vec(), long[..299].to_vec(), b"a.lock".to_vec()];
        let alphabet = [b'_', b'x', b'h', b'2', b'3', b'#', b'-', 0xff];
        for one in alphabet {
            for two in alphabet {
                names.extend(alphabet.map(|three| vec![one, two, three, b'3']));
            }
        }
        let mut met = HashSet::new();
        for name in names {
            let branch = encode_branch(&name);
            BranchName::parse(&branch).expect("a branch");
            assert!(met.insert(branch.clone()), "{name:?} meets another at {branch}");
        }
    }
}
