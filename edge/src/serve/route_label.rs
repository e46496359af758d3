//! The name of a call in metrics: from a closed list, whatever a client asks
//! for.

const GRPC_CALLS: [&str; 18] = [
    "WriteDiff",
    "WriteDiffs",
    "WriteDiffsStream",
    "ReplayDiffs",
    "ReadSnapshot",
    "ReadSnapshots",
    "ReadSnapshotStream",
    "ReadTree",
    "SubscribeChanges",
    "CollaborativeSession",
    "GetHistory",
    "RevertChanges",
    "ListConflicts",
    "ResolveConflict",
    "ListRepos",
    "ListBranches",
    "CreateBranch",
    "DeleteBranch",
];

/// The call that a path names.
pub(super) fn route_label(path: &str) -> &'static str {
    if let Some(call) = path.strip_prefix("/virtualdom.v1.MemoryGateway/") {
        return GRPC_CALLS.into_iter().find(|name| *name == call).unwrap_or("other");
    }
    let Some(rest) = path.strip_prefix("/v1/") else {
        return match path {
            "/health" | "/health/live" | "/health/ready" => "health",
            "/metrics" => "metrics",
            _ if path.starts_with("/grpc.health.v1.Health/") => "health",
            _ => "other",
        };
    };
    // repos/{repo}/branches/{branch}/…: a slash in a name is escaped.
    match rest.split('/').collect::<Vec<_>>()[..] {
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
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_of_few_names() {
        assert_eq!(route_label("/virtualdom.v1.MemoryGateway/WriteDiff"), "WriteDiff");
        assert_eq!(route_label("/virtualdom.v1.MemoryGateway/Nonsense"), "other");
        assert_eq!(route_label("/v1/repos/a/branches/b%2Fc/nodes/d/e"), "rest nodes");
        assert_eq!(route_label("/v1/repos/a/branches/b/tree"), "rest tree");
        assert_eq!(route_label("/v1/repos/a/branches/b%2Fc"), "rest branch");
        assert_eq!(route_label("/v1/repos/a/branches/b/conflicts/07"), "rest conflicts");
        assert_eq!(route_label("/favicon.ico"), "other");
    }
}
