//! Reads the names of nodes on the command line.

use vdom_core::NodePath;

/// Reads the path of a node.
pub(crate) fn parse_path(text: &str) -> Result<String, String> {
    match NodePath::parse(text) {
        Ok(path) => Ok(path.as_str().to_owned()),
        Err(error) => Err(error.message),
    }
}

/// Reads a prefix of whole segments; a trailing `/` is fine.
pub(crate) fn parse_prefix(text: &str) -> Result<String, String> {
    vdom_core::names::parse_prefix(text).map_err(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_at_the_root_and_a_prefix_may_end_in_a_slash() {
        assert!(parse_path("/etc").is_err());
        assert_eq!(parse_prefix("lib/"), Ok("lib".to_owned()));
    }
}
