//! Grants rights: a [`Permit`] is the only way into the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use vdom_core::access::{Action, Resource, decide};
use vdom_core::{Error, RealmName, RepoName, Result};
use vdom_edge::Caller;

/// What the gateway does by itself, without a caller who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Read logs and views for the branches that are open, and store the contents that
    /// evaluating a write makes.
    ServeBranches,
    /// Append batches, whose changes carry the permits of who proposed them.
    Append,
    /// Build views from logs.
    BuildViews,
    /// Compact histories as retention says.
    Compact,
    /// Follow what other gateways append. Reads alone.
    FollowFeed,
    /// Count what realms hold. Reads alone.
    CountUsage,
    /// Delete chunks that nothing names.
    Collect,
    /// Verify, back up, restore, rebuild and compact a whole store.
    Maintain,
}

impl Duty {
    const ALL: [Self; 8] = [
        Self::ServeBranches,
        Self::Append,
        Self::BuildViews,
        Self::Compact,
        Self::FollowFeed,
        Self::CountUsage,
        Self::Collect,
        Self::Maintain,
    ];

    fn subject(self) -> &'static str {
        match self {
            Self::ServeBranches => "system/serve_branches",
            Self::Append => "system/append",
            Self::BuildViews => "system/build_views",
            Self::Compact => "system/compact",
            Self::FollowFeed => "system/follow_feed",
            Self::CountUsage => "system/count_usage",
            Self::Collect => "system/collect",
            Self::Maintain => "system/maintain",
        }
    }
}

/// A granted right: [`Authority::authorize`] grants it to a caller, [`SystemPermits`] hold
/// those of the gateway itself. A clone allocates nothing.
#[derive(Clone, Debug)]
#[must_use = "a right that is not used was not needed: show it to the store"]
pub struct Permit {
    subject: Arc<str>,
    realm: Option<Arc<RealmName>>,
    may_write: bool,
    is_of_system: bool,
}

impl Permit {
    /// Who was authenticated, or `system/` and the duty.
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// The only realm it is good for; `None`: all.
    pub fn realm(&self) -> Option<&RealmName> {
        self.realm.as_deref()
    }

    /// Whether it is good for more than reading.
    pub fn may_write(&self) -> bool {
        self.may_write
    }

    /// Whether the gateway acts by itself: a caller may have any name.
    pub fn is_of_system(&self) -> bool {
        self.is_of_system
    }

    /// The same right within one realm; of one that is bound to a realm already, as it is.
    pub fn within(&self, realm: &RealmName) -> Self {
        let realm = self.realm.clone().or_else(|| Some(Arc::new(realm.clone())));
        Self { realm, ..self.clone() }
    }
}

/// The permits of the gateway itself, one per duty. They come with the authority, once,
/// and go from the wiring to the rooms.
#[derive(Debug)]
pub struct SystemPermits([Permit; Duty::ALL.len()]);

impl SystemPermits {
    fn new() -> Self {
        Self(Duty::ALL.map(|duty| Permit {
            subject: duty.subject().into(),
            realm: None,
            may_write: !matches!(duty, Duty::FollowFeed | Duty::CountUsage),
            is_of_system: true,
        }))
    }

    /// The permit for a duty; good for all realms.
    pub fn of(&self, duty: Duty) -> &Permit {
        &self.0[duty as usize]
    }
}

/// Knows the realms and the rules.
#[derive(Clone, Debug)]
pub struct Authority {
    realms: Arc<BTreeSet<Arc<RealmName>>>,
}

impl Authority {
    /// An authority over these realms, and the permits of the gateway itself. Only the
    /// wiring of a program makes one.
    pub fn new(realms: impl IntoIterator<Item = RealmName>) -> (Self, Arc<SystemPermits>) {
        let realms = Arc::new(realms.into_iter().map(Arc::new).collect());
        (Self { realms }, Arc::new(SystemPermits::new()))
    }

    /// The realms that are known here, in ascending order.
    pub fn realms(&self) -> impl Iterator<Item = &RealmName> {
        self.realms.iter().map(|realm| &**realm)
    }

    /// Grants `action` on a repo (`None`: the realm as a whole), or names the
    /// rule that denies it. Rights come before existence: who may not enter a
    /// realm does not learn whether it exists.
    ///
    /// # Errors
    /// `PermissionDenied` with the rule, `NotFound` where the realm is not known here.
    pub fn authorize(
        &self,
        caller: &Caller,
        action: Action,
        realm: &RealmName,
        repo: Option<&RepoName>,
    ) -> Result<Permit> {
        decide(caller.grant(), action, Resource { realm, repo })?;
        let Some(realm) = self.realms.get(realm) else {
            return Err(Error::not_found(format!(
                "realm `{realm}` is not known here: name one of the gateway's `realms`"
            ))
            .resource(match repo {
                Some(repo) => format!("{realm}/{repo}"),
                None => realm.to_string(),
            }));
        };
        Ok(Permit {
            subject: caller.subject.clone(),
            realm: Some(realm.clone()),
            may_write: action != Action::Read,
            is_of_system: false,
        })
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
        let (authority, _) = Authority::new([realm("known")]);
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
