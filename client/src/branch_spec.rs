//! How a branch is named: `REPO[@BRANCH]`.

use std::fmt;
use std::str::FromStr;

use vdom_core::{BranchName, RepoName};

/// The branch where none is named.
pub const DEFAULT_BRANCH: &str = "main";

/// A branch of the realm that the connection works in: `REPO[@BRANCH]`, without
/// `@BRANCH` the branch [`DEFAULT_BRANCH`].
///
/// ```
/// use vdom_client::BranchSpec;
///
/// let branch: BranchSpec = "site".parse()?;
/// assert_eq!(branch.to_string(), "site@main");
/// # Ok::<(), vdom_client::InvalidBranchSpec>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BranchSpec {
    pub repo: String,
    pub branch: String,
}

/// Which name is wrong, and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBranchSpec(String);

impl BranchSpec {
    /// The branch with these names.
    ///
    /// # Errors
    ///
    /// Where one of the names breaks the rule of [`RepoName`] or [`BranchName`].
    pub fn new(repo: &str, branch: &str) -> Result<Self, InvalidBranchSpec> {
        let refused = |error: vdom_core::Error| InvalidBranchSpec(error.message);
        RepoName::parse(repo).map_err(refused)?;
        BranchName::parse(branch).map_err(refused)?;
        Ok(Self { repo: repo.to_owned(), branch: branch.to_owned() })
    }
}

impl FromStr for BranchSpec {
    type Err = InvalidBranchSpec;

    fn from_str(text: &str) -> Result<Self, InvalidBranchSpec> {
        let (repo, branch) = text.split_once('@').unwrap_or((text, DEFAULT_BRANCH));
        Self::new(repo, branch)
    }
}

impl fmt::Display for BranchSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.repo, self.branch)
    }
}

impl fmt::Display for InvalidBranchSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidBranchSpec {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_defaults_to_main_and_may_have_slashes() {
        let parse = |text: &str| text.parse::<BranchSpec>();
        assert_eq!(parse("site"), BranchSpec::new("site", "main"));
        assert_eq!(parse("site@feature/a"), BranchSpec::new("site", "feature/a"));
        assert_eq!(
            parse("site@feature/a").map(|branch| branch.to_string()),
            Ok("site@feature/a".into())
        );
    }

    #[test]
    fn a_bad_name_says_what_is_wrong_with_it() {
        let refused = |text: &str| text.parse::<BranchSpec>().expect_err(text).to_string();
        assert!(refused("").contains("repo is empty"), "{}", refused(""));
        assert!(refused("a@").contains("branch is empty"), "{}", refused("a@"));
        assert!(refused("a@b@c").contains("branch"), "{}", refused("a@b@c"));
        assert!(refused("a/b").contains("repo"), "{}", refused("a/b"));
    }
}
