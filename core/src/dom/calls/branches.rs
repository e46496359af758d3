//! Repos and branches.

use super::checks::checked_list_page_size;
use super::page_token::{Listing, not_ours};
use crate::error::{Error, Result};
use crate::identifiers::{Hash, OperationId};
use crate::names::{BranchAddress, BranchName, RealmName, RepoName};

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
        let page_size = checked_list_page_size(page_size)?;
        let mut request = Self { realm, repo, branch, page_size, after: None };
        if !page_token.is_empty() {
            let name = request.tokens(|tokens| tokens.name_in(page_token)).ok_or_else(not_ours)?;
            request.after = Some(BranchName::parse(&name)?);
        }
        Ok(request)
    }

    /// The token of the page after the branch of this name.
    pub fn page_token_after(&self, name: &str) -> String {
        self.tokens(|tokens| tokens.token_after(name))
    }

    /// The token that this page was asked for with; empty for the first page.
    pub fn page_token(&self) -> String {
        let after = self.after.as_ref();
        after.map(|name| self.page_token_after(name.as_str())).unwrap_or_default()
    }

    fn tokens<T>(&self, use_them: impl FnOnce(Listing<'_>) -> T) -> T {
        let scope = [self.realm.as_str(), self.repo.as_str()];
        use_them(Listing { call: "vdom.list_branches.1", scope: &scope })
    }
}

/// Which repos of a realm to list, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ListRepos {
    pub realm: RealmName,
    /// So many at most.
    pub page_size: u32,
    /// Only those after this name.
    pub after: Option<RepoName>,
}

/// A page of repos by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RepoPage {
    pub repos: Vec<RepoSummary>,
    /// Where the next page begins; empty: there is none.
    pub next_page_token: String,
}

impl ListRepos {
    /// Checks a page size, where 0 stands for the largest, and a token, where none stands for
    /// the first page.
    ///
    /// # Errors
    /// `InvalidArgument` above 10,000 repos, and where the token is none that a listing of
    /// this realm gave out.
    pub fn new(realm: RealmName, page_size: u32, page_token: &str) -> Result<Self> {
        let page_size = checked_list_page_size(page_size)?;
        let mut request = Self { realm, page_size, after: None };
        if !page_token.is_empty() {
            let name = request.tokens(|tokens| tokens.name_in(page_token)).ok_or_else(not_ours)?;
            request.after = Some(RepoName::parse(&name)?);
        }
        Ok(request)
    }

    /// The token of the page after the repo of this name.
    pub fn page_token_after(&self, name: &str) -> String {
        self.tokens(|tokens| tokens.token_after(name))
    }

    /// The token that this page was asked for with; empty for the first page.
    pub fn page_token(&self) -> String {
        let after = self.after.as_ref();
        after.map(|name| self.page_token_after(name.as_str())).unwrap_or_default()
    }

    fn tokens<T>(&self, use_them: impl FnOnce(Listing<'_>) -> T) -> T {
        use_them(Listing { call: "vdom.list_repos.1", scope: &[self.realm.as_str()] })
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
        let realm = || RealmName::parse("acme").expect("valid");
        assert!(ListRepos::new(realm(), 0, &token).is_err(), "a token of another list");
        let repos = ListRepos::new(realm(), 0, "").expect("the first page");
        let next = ListRepos::new(realm(), 0, &repos.page_token_after("web")).expect("the next");
        assert_eq!(next.after.as_ref().map(RepoName::as_str), Some("web"));
    }
}
