//! Repos and branches.

use crate::error::{Error, Result};
use crate::identifiers::{Hash, OperationId};
use crate::names::{BranchAddress, BranchName};

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
