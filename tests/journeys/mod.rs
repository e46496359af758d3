//! What people do with vdom, end to end.

mod browser;
mod crashes;
mod draining;
mod files;
mod together;
mod tour;
mod uploads;
mod watching;
