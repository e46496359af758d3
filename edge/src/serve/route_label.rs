//! The name of a call in metrics and access logs: from closed lists, whatever a client
//! asks for.

/// Names the call that a path stands for; `None` where the path is none of this list's.
pub type RouteLabel = fn(path: &str) -> Option<&'static str>;

/// The call that a path names: one of `labels`, else one that every server has.
pub(super) fn route_label(labels: &[RouteLabel], path: &str) -> &'static str {
    labels.iter().find_map(|label| label(path)).unwrap_or_else(|| match path {
        "/health" | "/health/live" | "/health/ready" => "health",
        "/metrics" => "metrics",
        _ if path.starts_with("/grpc.health.v1.Health/") => "health",
        _ => "other",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_of_few_names() {
        let labels: [RouteLabel; 2] = [
            |path| (path == "/a.Service/Call").then_some("Call"),
            |path| path.starts_with("/v1/").then_some("rest"),
        ];
        assert_eq!(route_label(&labels, "/a.Service/Call"), "Call");
        assert_eq!(route_label(&labels, "/a.Service/Nonsense"), "other");
        assert_eq!(route_label(&labels, "/v1/anything"), "rest");
        assert_eq!(route_label(&labels, "/health/live"), "health");
        assert_eq!(route_label(&labels, "/grpc.health.v1.Health/Check"), "health");
        assert_eq!(route_label(&[], "/v1/anything"), "other");
        assert_eq!(route_label(&labels, "/favicon.ico"), "other");
    }
}
