//! The metrics page.

use super::*;

#[test]
fn requests_connections_build_and_process_are_rendered() {
    let metrics = Metrics::new("gateway", "1.2.3");
    let requests = metrics.requests();
    requests.connected();
    requests.started();
    requests.finished("WriteDiff", "OK", "tcp", Duration::from_millis(3));
    requests.started();
    metrics.register(|registry| {
        registry.register("own", "Something of a room", Counter::<u64>::default());
    });
    let text = metrics.render().expect("text");
    for line in [
        "vdom_build_info{program=\"gateway\",version=\"1.2.3\"} 1",
        "vdom_requests_total{call=\"WriteDiff\",code=\"OK\",transport=\"tcp\"} 1",
        "vdom_request_duration_seconds_count{call=\"WriteDiff\",transport=\"tcp\"} 1",
        "vdom_request_duration_seconds_bucket{le=\"0.005\",call=\"WriteDiff\",transport=\"tcp\"} 1",
        "vdom_requests_in_flight 1",
        "vdom_connections_open 1",
        "vdom_own_total 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    for name in [
        "vdom_process_resident_memory_bytes",
        "vdom_process_cpu_seconds_total",
        "vdom_process_open_fds",
        "vdom_process_uptime_seconds",
    ] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
}
