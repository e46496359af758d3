//! Connections for calls that stream. Each carries so few that a gateway takes them all, and
//! none is the one of unary calls: streams that stay open must not keep those waiting.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tonic::transport::{Channel, Endpoint};
use vdom_core::{Error, ErrorCode, Result};

/// How many streams go by one connection; a gateway may be set to take as few as this.
const STREAMS_PER_CONNECTION: usize = 16;
/// How many streams a sidecar has open at its gateway.
pub(super) const STREAMS_MAX: usize = 2_048;

/// The connections of streams. Clones share them.
#[derive(Clone)]
pub(super) struct StreamConnections {
    endpoint: Endpoint,
    /// Where connections are driven, whichever thread asks for one.
    runtime: Handle,
    open: Arc<Mutex<Vec<Connection>>>,
}

struct Connection {
    channel: Channel,
    /// Shared with each stream that goes by it.
    streams: Arc<()>,
}

/// A stream's place on its connection, for as long as the stream is open.
#[derive(Debug)]
pub(super) struct StreamPlace(#[expect(dead_code, reason = "it counts while it lives")] Arc<()>);

impl Connection {
    fn streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }
}

impl StreamConnections {
    /// None is opened yet. Runs within tokio.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, runtime: Handle::current(), open: Arc::default() }
    }

    /// A connection with room for one more stream.
    ///
    /// # Errors
    /// `Exhausted` where the sidecar has as many as it may.
    pub(super) fn take(&self) -> Result<(Channel, StreamPlace)> {
        let mut open = self.open.lock();
        // One that is idle is kept, so that calls that follow each other share it.
        let mut has_idle = false;
        open.retain(|connection| {
            connection.streams() > 0 || !std::mem::replace(&mut has_idle, true)
        });
        if open.iter().map(Connection::streams).sum::<usize>() >= STREAMS_MAX {
            return Err(Error::new(
                ErrorCode::Exhausted,
                format!(
                    "the sidecar has {STREAMS_MAX} streams open at its gateway, which is the most: \
                     end some, or watch at the gateway itself"
                ),
            ));
        }
        let with_room = open.iter().position(|it| it.streams() < STREAMS_PER_CONNECTION);
        let at = with_room.unwrap_or_else(|| {
            let _entered = self.runtime.enter();
            let channel = self.endpoint.connect_lazy();
            open.push(Connection { channel, streams: Arc::default() });
            open.len() - 1
        });
        let connection = &open[at];
        Ok((connection.channel.clone(), StreamPlace(Arc::clone(&connection.streams))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_share_connections_up_to_a_limit_and_the_next_is_refused() {
        let connections = StreamConnections::new(Endpoint::from_static("http://127.0.0.1:1"));
        let take = || connections.take().map(|(_, place)| place);
        let mut places: Vec<_> = (0..STREAMS_MAX).map(|_| take().expect("room")).collect();
        assert_eq!(connections.open.lock().len(), STREAMS_MAX / STREAMS_PER_CONNECTION);
        let refused = take().expect_err("full");
        assert_eq!(refused.code, ErrorCode::Exhausted);
        assert!(refused.message.contains("2048 streams"), "{refused}");

        places.pop();
        places.push(take().expect("one has ended"));
        places.clear();
        let _one = take().expect("room");
        assert_eq!(connections.open.lock().len(), 1, "the others were idle");
    }
}
