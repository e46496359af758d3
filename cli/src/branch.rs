//! How a branch is named on the command line: `REPO[@BRANCH]`.

use std::fmt;
use std::str::FromStr;

use vdom_core::{BranchName, NodePath, RepoName};

/// The branch where none is named.
pub(crate) const DEFAULT_BRANCH: &str = "main";

/// A branch of the realm that the call goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) repo: String,
    pub(crate) branch: String,
}

impl Branch {
    /// Checks both names.
    pub(crate) fn new(repo: &str, branch: &str) -> Result<Self, String> {
        RepoName::parse(repo).map_err(|error| error.message)?;
        BranchName::parse(branch).map_err(|error| error.message)?;
        Ok(Self { repo: repo.to_owned(), branch: branch.to_owned() })
    }
}

impl FromStr for Branch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (repo, branch) = text.split_once('@').unwrap_or((text, DEFAULT_BRANCH));
        Self::new(repo, branch)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.repo, self.branch)
    }
}

/// Reads the path of a node.
pub(crate) fn parse_path(text: &str) -> Result<String, String> {
    match NodePath::parse(text) {
        Ok(path) => Ok(path.as_str().to_owned()),
        Err(error) => Err(error.message),
    }
}

/// Reads a prefix of whole segments; a trailing `/` is fine.
pub(crate) fn parse_prefix(text: &str) -> Result<String, String> {
    vdom_core::names::parse_prefix(text).map_err(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_defaults_to_main_and_may_have_slashes() {
        let parse = |text: &str| text.parse::<Branch>();
        assert_eq!(parse("site"), Branch::new("site", "main"));
        assert_eq!(parse("site@feature/a"), Branch::new("site", "feature/a"));
        assert_eq!(
            parse("site@feature/a").map(|branch| branch.to_string()),
            Ok("site@feature/a".into())
        );
    }

    #[test]
    fn a_bad_name_says_what_is_wrong_with_it() {
        let refused = |text: &str| text.parse::<Branch>().expect_err(text);
        assert!(refused("").contains("repo is empty"), "{}", refused(""));
        assert!(refused("a@").contains("branch is empty"), "{}", refused("a@"));
        assert!(refused("a@b@c").contains("branch"), "{}", refused("a@b@c"));
        assert!(refused("a/b").contains("repo"), "{}", refused("a/b"));
        assert!(parse_path("/etc").is_err());
        assert_eq!(parse_prefix("lib/"), Ok("lib".to_owned()));
    }
}
