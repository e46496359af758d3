//! Who may read from memory. Whatever goes to the gateway, the gateway decides.

use vdom_core::{Error, ErrorCode, RealmName, Result};
use vdom_edge::{Caller, Scope};

/// Refuses a caller that may not read in a realm, naming the rule.
pub(crate) fn may_read(caller: &Caller, realm: &RealmName) -> Result<()> {
    let denied = |message: String, rule: &str| {
        Error::new(ErrorCode::PermissionDenied, message).resource(realm).rule(rule)
    };
    if let Some(own) = caller.realm.as_ref().filter(|own| *own != realm) {
        return Err(denied(
            format!("the token is for realm `{own}`, the request for realm `{realm}`"),
            "realm",
        ));
    }
    if !caller.scopes.has(Scope::Read) {
        let name = Scope::Read.name();
        return Err(denied(
            format!("the token lacks scope `{name}`: ask for one that has it"),
            name,
        ));
    }
    Ok(())
}
