//! The one rule of rights: what a token permits, decided by gateway and sidecar alike.
//! Policies will be evaluated here too.

mod scopes;

pub use scopes::{Scope, Scopes};

use crate::{Error, ErrorCode, RealmName, RepoName, Result};

/// What a caller wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read, list or watch.
    Read,
    /// Write diffs in one's own name.
    Write,
    /// Write diffs in another's name.
    WriteAs,
    /// Take away what others rely on.
    Administer,
}

impl Action {
    /// The scopes that a token must have, all of them.
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Read => &[Scope::Read],
            Self::Write => &[Scope::Write],
            Self::WriteAs => &[Scope::Write, Scope::Author],
            Self::Administer => &[Scope::Admin],
        }
    }
}

/// What a verified token permits.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The only realm it is good for; `None`: all.
    pub realm: Option<&'a RealmName>,
    /// Its scopes.
    pub scopes: Scopes,
}

/// What an action is about: a repo, or a realm as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// The tenant.
    pub realm: &'a RealmName,
    /// `None`: the realm as a whole.
    pub repo: Option<&'a RepoName>,
}

/// Permits `action` on `resource`, or names the rule that denies it.
///
/// # Errors
/// `PermissionDenied` with the rule `realm` where the token is for another realm, else with
/// the name of the first scope that it lacks.
///
/// ```
/// use vdom_core::access::{Action, Grant, Resource, Scopes, decide};
/// use vdom_core::{RealmName, RepoName};
///
/// let realm = RealmName::parse("acme")?;
/// let grant = Grant { realm: Some(&realm), scopes: Scopes::parse("dom.read") };
/// let resource = Resource { realm: &realm, repo: None };
/// decide(grant, Action::Read, resource)?;
/// let denied = decide(grant, Action::Write, resource).expect_err("no scope for it");
/// assert_eq!(denied.rule.as_deref(), Some("dom.write"));
/// # Ok::<_, vdom_core::Error>(())
/// ```
pub fn decide(grant: Grant<'_>, action: Action, resource: Resource<'_>) -> Result<()> {
    let Resource { realm, repo } = resource;
    let denied = |message: String, rule: &str| {
        let error = Error::new(ErrorCode::PermissionDenied, message).rule(rule);
        match repo {
            Some(repo) => error.resource(format_args!("{realm}/{repo}")),
            None => error.resource(realm),
        }
    };
    if let Some(own) = grant.realm.filter(|own| *own != realm) {
        return Err(denied(
            format!("the token is for realm `{own}`, the request for realm `{realm}`"),
            "realm",
        ));
    }
    match action.scopes().iter().find(|scope| !grant.scopes.has(**scope)) {
        None => Ok(()),
        Some(scope) => {
            let name = scope.name();
            Err(denied(format!("the token lacks scope `{name}`: ask for one that has it"), name))
        }
    }
}

#[cfg(test)]
mod tests;
