//! The names of the routes in metrics and access logs.

/// The route at a path; `None` where there is none.
pub fn route_label(path: &str) -> Option<&'static str> {
    // repos/{repo}/branches/{branch}/…: a slash in a name is escaped.
    let label = match path.strip_prefix("/v1/")?.split('/').collect::<Vec<_>>()[..] {
        ["openapi.json"] => "rest openapi",
        ["repos"] => "rest repos",
        ["repos", _, "branches"] => "rest branches",
        ["repos", _, "branches", _] => "rest branch",
        ["repos", _, "branches", _, "reverts"] => "rest reverts",
        ["repos", _, "branches", _, "conflicts", ..] => "rest conflicts",
        ["repos", _, "branches", _, "tree"] => "rest tree",
        ["repos", _, "branches", _, "changes"] => "rest changes",
        ["repos", _, "branches", _, "history"] => "rest history",
        ["repos", _, "branches", _, "nodes", ..] => "rest nodes",
        _ => return None,
    };
    Some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_one_of_few_names() {
        for (path, label) in [
            ("/v1/repos/a/branches/b%2Fc/nodes/d/e", Some("rest nodes")),
            ("/v1/repos/a/branches/b/tree", Some("rest tree")),
            ("/v1/repos/a/branches/b%2Fc", Some("rest branch")),
            ("/v1/repos/a/branches/b/conflicts/07", Some("rest conflicts")),
            ("/v1/nonsense", None),
            ("/favicon.ico", None),
        ] {
            assert_eq!(route_label(path), label, "{path}");
        }
    }
}
