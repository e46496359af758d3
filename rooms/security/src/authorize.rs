//! Grants rights: a [`Permit`] is the only way into a room's store.

use std::collections::BTreeSet;
use std::sync::Arc;

use vdom_core::access::{Action, Resource, decide};
use vdom_core::{Error, RealmName, RepoName, Result};
use vdom_edge::Caller;

/// A duty of the gateway itself, which no caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Derive views from logs.
    Derive,
    /// Compact histories as retention says.
    Compact,
}

/// A granted right; only [`Authority::authorize`] and [`Permit::system`] make
/// one.
#[derive(Clone, Debug)]
pub struct Permit {
    subject: Arc<str>,
    realm: Option<RealmName>,
}

impl Permit {
    /// A right of the gateway itself.
    pub fn system(duty: Duty) -> Self {
        Self { subject: format!("system/{duty:?}").to_lowercase().into(), realm: None }
    }

    /// Who was authenticated.
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// The only realm it is good for; `None`: all.
    pub fn realm(&self) -> Option<&RealmName> {
        self.realm.as_ref()
    }
}

/// Knows the realms and the rules.
#[derive(Clone, Debug)]
pub struct Authority {
    realms: Arc<BTreeSet<RealmName>>,
}

impl Authority {
    /// An authority over these realms.
    pub fn new(realms: impl IntoIterator<Item = RealmName>) -> Self {
        Self { realms: Arc::new(realms.into_iter().collect()) }
    }

    /// Grants `action` on a repo (`None`: the realm as a whole), or names the
    /// rule that denies it. Rights come before existence: who may not enter a
    /// realm does not learn whether it exists.
    pub fn authorize(
        &self,
        caller: &Caller,
        action: Action,
        realm: &RealmName,
        repo: Option<&RepoName>,
    ) -> Result<Permit> {
        decide(caller.grant(), action, Resource { realm, repo })?;
        if !self.realms.contains(realm) {
            return Err(Error::not_found(format!(
                "realm `{realm}` is not known here: name one of the gateway's `realms`"
            ))
            .resource(match repo {
                Some(repo) => format!("{realm}/{repo}"),
                None => realm.to_string(),
            }));
        }
        Ok(Permit { subject: caller.subject.clone(), realm: Some(realm.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use vdom_core::ErrorCode;
    use vdom_core::access::Scopes;

    use super::*;

    fn caller(realm: Option<&str>, scopes: &str) -> Caller {
        Caller {
            subject: "anna".into(),
            realm: realm.map(|name| RealmName::parse(name).expect("valid")),
            scopes: Scopes::parse(scopes),
            deadline: None,
            expires_at: None,
            received_at: SystemTime::now(),
            request_id: "r".into(),
            bearer: None,
        }
    }

    #[test]
    fn a_denial_names_its_rule_and_hides_what_exists() {
        let realm = |name| RealmName::parse(name).expect("valid");
        let authority = Authority::new([realm("known")]);
        let ask = |caller: &Caller, action, name| {
            authority.authorize(caller, action, &realm(name), None).map(|_| ())
        };
        let rule = |result: Result<()>| result.expect_err("denied").rule;

        let reader = caller(Some("known"), "dom.read");
        assert_eq!(ask(&reader, Action::Read, "known"), Ok(()));
        assert_eq!(rule(ask(&reader, Action::Write, "known")).as_deref(), Some("dom.write"));
        assert_eq!(rule(ask(&reader, Action::Read, "other")).as_deref(), Some("realm"));

        let writer = caller(Some("known"), "dom.write");
        assert_eq!(rule(ask(&writer, Action::Read, "known")).as_deref(), Some("dom.read"));
        assert_eq!(rule(ask(&writer, Action::WriteAs, "known")).as_deref(), Some("dom.author"));

        let anywhere = caller(None, "dom.read");
        let unknown = ask(&anywhere, Action::Read, "other").expect_err("unknown realm");
        assert_eq!(unknown.code, ErrorCode::NotFound);
    }
}
