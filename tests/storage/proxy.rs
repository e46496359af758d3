//! A way between a driver and a server on which messages get lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What gets lost, and with it the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The insert never arrives.
    Request = 1,
    /// The insert is made, the answer does not arrive.
    Answer = 2,
}

/// Forwards messages of MongoDB's wire protocol.
pub(super) struct Proxy {
    address: String,
    next: Arc<AtomicU8>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let next = Arc::new(AtomicU8::new(0));
        let (server, cut) = (server.to_owned(), Arc::clone(&next));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, cut) = (server.clone(), Arc::clone(&cut));
                // The end of a connection is no failure of the proxy.
                tokio::spawn(async move { drop(connection(client, &server, &cut).await) });
            }
        });
        Ok(Self { address, next, accepting })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn cut_next_insert(&self, cut: Cut) {
        self.next.store(cut as u8, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Requests and answers alternate on a connection.
async fn connection(client: TcpStream, server: &str, cut: &AtomicU8) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    loop {
        let request = message(&mut from_client).await?;
        let is_insert = request.windows(8).any(|bytes| bytes == b"\x02insert\0");
        let cut = if is_insert { cut.swap(0, Ordering::SeqCst) } else { 0 };
        if cut == Cut::Request as u8 {
            return Ok(());
        }
        to_server.write_all(&request).await?;
        let answer = message(&mut from_server).await?;
        if cut == Cut::Answer as u8 {
            return Ok(());
        }
        to_client.write_all(&answer).await?;
    }
}

async fn message(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    from.read_exact(&mut message).await?;
    let length = i32::from_le_bytes([message[0], message[1], message[2], message[3]]);
    message.resize(length as usize, 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}
