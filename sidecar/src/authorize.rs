//! Who may read from memory. Whatever goes to the gateway, the gateway decides.

use vdom_core::access::{Action, Resource, decide};
use vdom_core::{RealmName, Result};
use vdom_edge::Caller;

/// Refuses a caller that may not read in a realm, naming the rule.
pub(crate) fn may_read(caller: &Caller, realm: &RealmName) -> Result<()> {
    decide(caller.grant(), Action::Read, Resource { realm, repo: None })
}
