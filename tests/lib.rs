//! Nothing: the package holds the integration tests alone.
