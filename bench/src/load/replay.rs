//! One stream that a server sends as fast as it can, until all is there.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::connection::Connection;
use super::{Protocol, Used};
use crate::Result;
use crate::servers::process::ServerProcess;

/// Until a message has to come.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How a stream went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replayed {
    /// From the request to the last message.
    pub(crate) length: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) generator_cpu: Duration,
    pub(crate) bytes: u64,
}

/// Asks once, in slot 0, and takes messages until one is said to be the last.
pub(crate) fn run(
    server: &ServerProcess,
    address: SocketAddr,
    protocol: Box<dyn Protocol>,
    request: &[u8],
    is_last: &mut dyn FnMut(&[u8]) -> Result<bool>,
) -> Result<Replayed> {
    let mut poll = Poll::new()?;
    let mut connection = Connection::open(address, protocol, &poll, 0, 1)?;
    let mut events = Events::with_capacity(8);
    let before = Used::so_far(server)?;
    let start = Instant::now();
    connection.call(0, request, start);
    connection.flush()?;
    let (mut ended, mut bytes) = (false, 0);
    let mut heard_at = start;
    while !ended {
        poll.poll(&mut events, Some(Duration::from_secs(1)))?;
        let mut problem = None;
        connection.receive(&mut |answer| {
            bytes += answer.message.len() as u64;
            heard_at = answer.arrived;
            match is_last(answer.message) {
                Ok(last) => ended |= last,
                Err(failure) => problem = Some(failure),
            }
        })?;
        connection.flush()?;
        if let Some(failure) = problem {
            return Err(failure);
        }
        if heard_at.elapsed() > SILENCE_MAX {
            return Err(format!("{} has stopped sending", server.name()).into());
        }
    }
    let length = heard_at - start;
    let used = Used::so_far(server)?.since(&before);
    Ok(Replayed { length, server_cpu: used.server, generator_cpu: used.generator, bytes })
}
