//! One connection of the load generator: a socket, what waits to be written, and
//! when each call in flight began.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::Protocol;
use crate::Result;

const READ_BYTES: usize = 64 << 10;

/// A call that is over.
pub(super) struct Answer<'a> {
    pub(super) slot: usize,
    /// When the call was made, or should have been.
    pub(super) started: Instant,
    pub(super) arrived: Instant,
    /// Empty where the call was refused.
    pub(super) message: &'a [u8],
}

/// A connection to a server.
pub(super) struct Connection {
    socket: TcpStream,
    protocol: Box<dyn Protocol>,
    input: Vec<u8>,
    /// How much of it has come and is not done with.
    received: usize,
    output: Vec<u8>,
    started: Vec<Instant>,
}

impl Connection {
    /// Connects, and greets with the first call.
    pub(super) fn open(
        address: SocketAddr,
        mut protocol: Box<dyn Protocol>,
        poll: &Poll,
        index: usize,
        slots: usize,
    ) -> Result<Self> {
        let socket = std::net::TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(index), interest)?;
        let mut output = Vec::new();
        protocol.start(&mut output);
        let started = vec![Instant::now(); slots];
        Ok(Self { socket, protocol, input: Vec::new(), received: 0, output, started })
    }

    /// Makes a call that counts from `started`. `false`: not now.
    pub(super) fn call(&mut self, slot: usize, message: &[u8], started: Instant) -> bool {
        let called = self.protocol.call(slot, message, &mut self.output);
        if called {
            self.started[slot] = started;
        }
        called
    }

    /// Writes what the socket takes; the rest waits until it is writable.
    pub(super) fn flush(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(0) => return Err("a server closed a connection".into()),
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads all there is.
    pub(super) fn receive(&mut self, answered: &mut dyn FnMut(Answer<'_>)) -> Result<()> {
        loop {
            if self.input.len() < self.received + READ_BYTES {
                self.input.resize(self.received + READ_BYTES, 0);
            }
            let room = &mut self.input[self.received..];
            let read = match self.socket.read(room) {
                Ok(0) => return Err("a server closed a connection".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            // What comes after a read that had room left is told anew.
            let is_all = read < room.len();
            self.received += read;
            let arrived = Instant::now();
            let Self { protocol, input, received, output, started, .. } = self;
            let done = protocol.receive(&input[..*received], output, &mut |slot, message| {
                answered(Answer { slot, started: started[slot], arrived, message });
            })?;
            input.copy_within(done..*received, 0);
            *received -= done;
            if is_all {
                return Ok(());
            }
        }
    }
}
