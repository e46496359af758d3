//! The rule of rights, row by row.

use super::*;

fn realm(name: &str) -> RealmName {
    RealmName::parse(name).expect("valid")
}

fn rule(scopes: &str, action: Action, of: &str) -> Option<String> {
    let own = realm("own");
    let grant = Grant { realm: Some(&own), scopes: Scopes::parse(scopes) };
    let of = realm(of);
    let decided = decide(grant, action, Resource { realm: &of, repo: None });
    decided.err().map(|error| error.rule.unwrap_or_default())
}

#[test]
fn a_denial_names_its_rule() {
    assert_eq!(rule("dom.read", Action::Read, "own"), None);
    assert_eq!(rule("dom.read", Action::Write, "own").as_deref(), Some("dom.write"));
    assert_eq!(rule("dom.write", Action::Read, "own").as_deref(), Some("dom.read"));
    assert_eq!(rule("dom.write", Action::WriteAs, "own").as_deref(), Some("dom.author"));
    assert_eq!(rule("dom.author", Action::WriteAs, "own").as_deref(), Some("dom.write"));
    assert_eq!(rule("dom.write dom.author", Action::WriteAs, "own"), None);
    assert_eq!(rule("dom.write", Action::Administer, "own").as_deref(), Some("dom.admin"));
    assert_eq!(rule("dom.admin", Action::Administer, "own"), None);
}

#[test]
fn another_realm_is_denied_before_any_scope() {
    assert_eq!(rule("", Action::Read, "other").as_deref(), Some("realm"));
    assert_eq!(rule("dom.read dom.admin", Action::Read, "other").as_deref(), Some("realm"));
    let anywhere = Grant { realm: None, scopes: Scopes::all() };
    let other = realm("other");
    assert!(decide(anywhere, Action::Read, Resource { realm: &other, repo: None }).is_ok());
}

#[test]
fn a_denial_names_what_it_is_about() {
    let (own, repo) = (realm("own"), RepoName::parse("repo").expect("valid"));
    let grant = Grant { realm: Some(&own), scopes: Scopes::default() };
    let about = |repo| {
        let denied = decide(grant, Action::Read, Resource { realm: &own, repo });
        denied.expect_err("no scopes").resource
    };
    assert_eq!(about(None).as_deref(), Some("own"));
    assert_eq!(about(Some(&repo)).as_deref(), Some("own/repo"));
}
