//! How a moment of a branch is named on the command line.

use std::str::FromStr;

use vdom_client::BranchSpec;
use vdom_core::BranchName;

/// `REVISION`, `BRANCH` or `BRANCH@REVISION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RevisionSpec {
    /// `None`: the branch that the verb is about.
    pub(crate) branch: Option<String>,
    /// `None`: the latest; 0: before the first change.
    pub(crate) revision: Option<u64>,
}

impl RevisionSpec {
    /// The branch that is meant where the verb is about `branch`.
    pub(crate) fn of(&self, branch: &BranchSpec) -> BranchSpec {
        let name = self.branch.clone().unwrap_or_else(|| branch.branch.clone());
        BranchSpec { repo: branch.repo.clone(), branch: name }
    }
}

impl FromStr for RevisionSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(revision) = text.parse() {
            return Ok(Self { branch: None, revision: Some(revision) });
        }
        let (branch, revision) = match text.split_once('@') {
            None => (text, None),
            Some((branch, revision)) => match revision.parse() {
                Ok(revision) => (branch, Some(revision)),
                Err(_) => return Err(format!("{revision:?} is no revision: give a number")),
            },
        };
        BranchName::parse(branch).map_err(|error| error.message)?;
        Ok(Self { branch: Some(branch.to_owned()), revision })
    }
}

/// Revisions `FIRST..LAST`, both of them included, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RevisionRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl FromStr for RevisionRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err("give FIRST..LAST, two revisions as `vdom log` prints them".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_revision_or_a_branch_or_both() {
        let point = |branch: Option<&str>, revision| {
            Ok(RevisionSpec { branch: branch.map(str::to_owned), revision })
        };
        assert_eq!("7".parse(), point(None, Some(7)));
        assert_eq!("topic/a".parse(), point(Some("topic/a"), None));
        assert_eq!("topic/a@7".parse(), point(Some("topic/a"), Some(7)));
        assert!("topic@x".parse::<RevisionSpec>().is_err_and(|problem| problem.contains("number")));
        assert!("a..b".parse::<RevisionSpec>().is_err());
    }

    #[test]
    fn revisions_have_both_ends() {
        assert_eq!("3..9".parse(), Ok(RevisionRange { first: 3, last: 9 }));
        assert_eq!("3".parse(), Ok(RevisionRange { first: 3, last: 3 }));
        for wrong in ["9..3", "0..3", "..", "a", "1.."] {
            assert!(wrong.parse::<RevisionRange>().is_err(), "{wrong}");
        }
    }
}
