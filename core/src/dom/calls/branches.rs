//! Repos and branches.

use sha2::{Digest, Sha256};

use super::checks::checked_branch_page_size;
use crate::error::{Error, Result};
use crate::identifiers::{Hash, OperationId};
use crate::names::{BranchAddress, BranchName, RealmName, RepoName};

/// What a page token has beside the name: it tells our tokens from others.
const TOKEN_CHECK_BYTES: usize = 8;

/// A repo as it is listed, and how many branches it has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RepoSummary {
    pub name: String,
    pub branches: u32,
}

/// A branch as it is listed, and where its head is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BranchSummary {
    pub name: String,
    pub epoch: u64,
    pub revision: u64,
    pub head_hash: Hash,
    /// The branch that it was created from, and at which revision.
    pub origin: Option<(BranchName, u64)>,
}

/// Which branches of a repo to list, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ListBranches {
    pub realm: RealmName,
    pub repo: RepoName,
    /// Only the branch of this name.
    pub branch: Option<BranchName>,
    /// So many at most.
    pub page_size: u32,
    /// Only those after this name.
    pub after: Option<BranchName>,
}

/// A page of branches by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BranchPage {
    pub branches: Vec<BranchSummary>,
    /// Where the next page begins; empty: there is none.
    pub next_page_token: String,
}

impl ListBranches {
    /// Checks a page size, where 0 stands for the largest, and a token, where none stands for
    /// the first page.
    ///
    /// # Errors
    /// `InvalidArgument` above 10,000 branches, and where the token is none that a listing of
    /// this repo gave out.
    pub fn new(
        realm: RealmName,
        repo: RepoName,
        branch: Option<BranchName>,
        page_size: u32,
        page_token: &str,
    ) -> Result<Self> {
        let page_size = checked_branch_page_size(page_size)?;
        let mut request = Self { realm, repo, branch, page_size, after: None };
        if !page_token.is_empty() {
            request.after = Some(request.name_in(page_token).ok_or_else(|| {
                Error::invalid(
                    "page_token is not one that this repo's list gave out: take \
                     next_page_token of the page before, or none for the first page",
                )
            })?);
        }
        Ok(request)
    }

    /// The token of the page after the branch of this name.
    pub fn page_token_after(&self, name: &str) -> String {
        let mut token = self.token_check(name.as_bytes()).to_vec();
        token.extend_from_slice(name.as_bytes());
        hex::encode(token)
    }

    /// The token that this page was asked for with; empty for the first page.
    pub fn page_token(&self) -> String {
        let after = self.after.as_ref();
        after.map(|name| self.page_token_after(name.as_str())).unwrap_or_default()
    }

    fn name_in(&self, page_token: &str) -> Option<BranchName> {
        let token = hex::decode(page_token).ok()?;
        let (check, name) = token.split_first_chunk::<TOKEN_CHECK_BYTES>()?;
        let is_ours = *check == self.token_check(name);
        BranchName::parse(std::str::from_utf8(name).ok().filter(|_| is_ours)?).ok()
    }

    fn token_check(&self, name: &[u8]) -> [u8; TOKEN_CHECK_BYTES] {
        let mut hasher = Sha256::new_with_prefix(b"vdom.list_branches.1");
        // No name holds a zero byte.
        for part in [self.realm.as_str(), self.repo.as_str()] {
            hasher.update(part);
            hasher.update([0]);
        }
        hasher.update(name);
        let mut check = [0; TOKEN_CHECK_BYTES];
        check.copy_from_slice(&hasher.finalize()[..TOKEN_CHECK_BYTES]);
        check
    }
}

/// A branch to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateBranch {
    /// The new branch.
    pub address: BranchAddress,
    /// The branch of the same repo that it continues; `None`: it begins empty.
    pub from: Option<BranchName>,
    /// Where it leaves that branch; `None`: at the latest revision.
    pub at_revision: Option<u64>,
    /// Makes the call safe to repeat.
    pub operation_id: Option<OperationId>,
}

impl CreateBranch {
    /// A branch that leaves another at a revision of that, if it names one.
    ///
    /// # Errors
    /// `InvalidArgument` for a revision without the branch that it belongs to.
    pub fn new(
        address: BranchAddress,
        from: Option<BranchName>,
        at_revision: Option<u64>,
        operation_id: Option<OperationId>,
    ) -> Result<Self> {
        if from.is_none() && at_revision.is_some() {
            return Err(Error::invalid(
                "at_revision without from_branch: a revision belongs to a branch, name both",
            ));
        }
        Ok(Self { address, from, at_revision, operation_id })
    }
}

/// A branch to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DeleteBranch {
    pub address: BranchAddress,
    /// Makes the call safe to repeat.
    pub operation_id: Option<OperationId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(repo: &str, page_size: u32, token: &str) -> Result<ListBranches> {
        let (realm, repo) = (RealmName::parse("acme")?, RepoName::parse(repo)?);
        ListBranches::new(realm, repo, None, page_size, token)
    }

    #[test]
    fn a_page_goes_on_where_its_token_says_and_no_other_token_is_taken() {
        let first = list("web", 0, "").expect("the first page");
        assert_eq!((first.page_token(), &first.after), (String::new(), &None));
        let token = first.page_token_after("feature/x");
        let next = list("web", 7, &token).expect("the next page");
        assert_eq!(next.after.as_ref().map(BranchName::as_str), Some("feature/x"));
        assert_eq!(next.page_token(), token);
        let cut = &token[..token.len() - 2];
        for (repo, other) in [("api", &*token), ("web", cut), ("web", "main"), ("web", "00")] {
            let error = list(repo, 0, other).expect_err("not its token");
            assert!(error.message.contains("page_token"), "{error}");
        }
        assert!(list("web", 10_001, "").is_err());
    }
}
