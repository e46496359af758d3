//! Many seeds, and the scenarios that once failed.

mod seeds;
