//! The embedded backend from inside.
