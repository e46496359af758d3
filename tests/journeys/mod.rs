//! What people do with vdom, end to end.

mod crashes;
mod watching;
