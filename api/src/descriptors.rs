//! What the descriptors of the protocol say of its services and their calls, read once.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::FileDescriptorSet;

/// The whole server, as gRPC health names it.
const WHOLE_SERVER: &str = "";

static DESCRIPTORS: LazyLock<Descriptors> = LazyLock::new(|| {
    // Compiled in, from the same files as the generated code.
    match FileDescriptorSet::decode(vdom_proto::FILE_DESCRIPTOR_SET) {
        Ok(files) => Descriptors::new(files),
        Err(error) => unreachable!("the built-in descriptors cannot be read: {error}"),
    }
});

struct Descriptors {
    health_services: Vec<&'static str>,
    /// By path, `/<package>.<service>/<method>`.
    methods: HashMap<String, Method>,
}

struct Method {
    name: &'static str,
    streams_requests: bool,
}

impl Descriptors {
    fn new(files: FileDescriptorSet) -> Self {
        let mut health_services = vec![WHOLE_SERVER];
        let mut methods = HashMap::new();
        for file in files.file {
            let package = file.package.unwrap_or_default();
            for service in file.service {
                let name = format!("{package}.{}", service.name.unwrap_or_default());
                for method in service.method {
                    // As long as the process: what metrics are labelled with.
                    let method_name: &str = method.name.unwrap_or_default().leak();
                    let path = format!("/{name}/{method_name}");
                    let streams_requests = method.client_streaming.unwrap_or_default();
                    methods.insert(path, Method { name: method_name, streams_requests });
                }
                health_services.push(name.leak());
            }
        }
        Self { health_services, methods }
    }
}

/// The services that gRPC health speaks about: the whole server, then each by its name.
pub(crate) fn health_services() -> &'static [&'static str] {
    &DESCRIPTORS.health_services
}

/// The call at a path of gRPC, by its own name.
pub(crate) fn route_label(path: &str) -> Option<&'static str> {
    DESCRIPTORS.methods.get(path).map(|method| method.name)
}

/// Whether the request of the call at a path is a stream.
pub(crate) fn streams_requests(path: &str) -> bool {
    DESCRIPTORS.methods.get(path).is_some_and(|method| method.streams_requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_name_every_call_and_service() {
        let service = "/virtualdom.v1.MemoryGateway";
        let label = |call: &str| route_label(&format!("{service}/{call}"));
        for call in [
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
        ] {
            assert_eq!(label(call), Some(call));
            let uploads = ["WriteDiffsStream", "ReplayDiffs", "CollaborativeSession"];
            let streams = streams_requests(&format!("{service}/{call}"));
            assert_eq!(streams, uploads.contains(&call), "{call}");
        }
        assert_eq!(label("Nonsense"), None);
        assert_eq!(route_label("/another.Service/WriteDiff"), None);
        assert_eq!(health_services(), ["", "virtualdom.v1.MemoryGateway"]);
    }
}
