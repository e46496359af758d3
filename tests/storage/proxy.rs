//! A way between a driver and a server on which messages get lost or replaced.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mongodb::bson::{Document, doc};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const HEADER_BYTES: usize = 16;
const OP_MSG: i32 = 2013;

/// A text in a message, with its length before it and a zero byte after it.
const LINEARIZABLE: &[u8] = b"\x0d\0\0\0linearizable\0";

/// What happens to an insert.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// Whether the server sees it.
    pub(super) arrives: bool,
    /// The answer in place of the server's; without one the connection is lost.
    pub(super) answer: Option<Document>,
}

/// What the way is like for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Nothing gets through, and nobody is told.
    Blocked,
}

/// Forwards messages of MongoDB's wire protocol.
pub(super) struct Proxy {
    address: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    server: String,
    next_insert: Mutex<Option<Trouble>>,
    /// The code that linearizable reads are refused with.
    linearizable: Mutex<Option<i32>>,
    linearizable_answered: AtomicUsize,
    way: watch::Sender<Way>,
    connections: Mutex<Vec<JoinHandle<()>>>,
}

impl Trouble {
    /// The insert is made or not, the connection is lost.
    pub(super) fn lost(arrives: bool) -> Self {
        Self { arrives, answer: None }
    }

    /// The insert arrives, and is said to have failed with a command error.
    pub(super) fn command_error(code: i32) -> Self {
        Self { arrives: true, answer: Some(failure(code)) }
    }

    /// The insert is refused, and nothing is written.
    pub(super) fn refused(code: i32) -> Self {
        Self { arrives: false, ..Self::command_error(code) }
    }

    /// The insert arrives, and is not known to have reached a majority.
    pub(super) fn write_concern_error(code: i32) -> Self {
        let error = doc! { "code": code, "codeName": "", "errmsg": "as told to" };
        let answer = doc! { "ok": 1.0, "n": 1, "writeConcernError": error };
        Self { arrives: true, answer: Some(answer) }
    }

    /// Something stands there that rolls back: the insert itself does nothing.
    pub(super) fn duplicate() -> Self {
        let error = doc! { "index": 0, "code": 11000, "errmsg": "E11000 duplicate key error" };
        let answer = doc! { "ok": 1.0, "n": 0, "writeErrors": [error] };
        Self { arrives: false, answer: Some(answer) }
    }
}

impl Proxy {
    pub(super) async fn start(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (way, _) = watch::channel(Way::Open);
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            next_insert: Mutex::new(None),
            linearizable: Mutex::new(None),
            linearizable_answered: AtomicUsize::new(0),
            way,
            connections: Mutex::default(),
        });
        let accepted = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&accepted);
                // The end of a connection is no failure of the proxy.
                let connection = async move { drop(connection(client, &shared).await) };
                accepted.connections.lock().push(tokio::spawn(connection));
            }
        });
        Ok(Self { address, shared, accepting })
    }

    pub(super) fn uri(&self) -> String {
        format!("mongodb://{}/", self.address)
    }

    pub(super) fn trouble_next_insert(&self, trouble: Trouble) {
        *self.shared.next_insert.lock() = Some(trouble);
    }

    /// From now on linearizable reads are refused with a code, or answered by the server.
    pub(super) fn answer_linearizable_reads(&self, code: Option<i32>) {
        *self.shared.linearizable.lock() = code;
    }

    /// How many of them the server has answered.
    pub(super) fn linearizable_reads_answered(&self) -> usize {
        self.shared.linearizable_answered.load(Ordering::Relaxed)
    }

    /// From now on nothing gets through, or everything does again.
    pub(super) fn block(&self, blocked: bool) {
        self.shared.way.send_replace(if blocked { Way::Blocked } else { Way::Open });
    }

    /// Ends all connections that there are.
    pub(super) fn disconnect(&self) {
        self.shared.connections.lock().drain(..).for_each(|connection| connection.abort());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.disconnect();
    }
}

/// Requests and answers alternate on a connection.
async fn connection(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(&shared.server).await?.into_split();
    let mut way = shared.way.subscribe();
    loop {
        let request = message(&mut from_client).await?;
        if way.wait_for(|way| *way == Way::Open).await.is_err() {
            return Ok(());
        }
        let is_insert = request.windows(8).any(|bytes| bytes == b"\x02insert\0");
        let trouble = if is_insert {
            shared.next_insert.lock().take()
        } else if request.windows(LINEARIZABLE.len()).any(|bytes| bytes == LINEARIZABLE) {
            let refused = shared.linearizable.lock().map(Trouble::refused);
            let answered = usize::from(refused.is_none());
            shared.linearizable_answered.fetch_add(answered, Ordering::Relaxed);
            refused
        } else {
            None
        };
        let arrives = trouble.as_ref().is_none_or(|trouble| trouble.arrives);
        let mut answer = Vec::new();
        if arrives {
            to_server.write_all(&request).await?;
            answer = message(&mut from_server).await?;
        }
        match trouble {
            None => to_client.write_all(&answer).await?,
            Some(Trouble { answer: None, .. }) => return Ok(()),
            Some(Trouble { answer: Some(answer), .. }) => {
                to_client.write_all(&reply(&request, &answer)).await?;
            }
        }
    }
}

async fn message(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    from.read_exact(&mut message).await?;
    let length = u32::from_le_bytes([message[0], message[1], message[2], message[3]]);
    message.resize(length as usize, 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}

fn failure(code: i32) -> Document {
    doc! { "ok": 0.0, "code": code, "codeName": "", "errmsg": "as told to" }
}

/// The message that answers a request.
fn reply(request: &[u8], answer: &Document) -> Vec<u8> {
    let body = answer.to_vec().unwrap();
    let length = (HEADER_BYTES + 5 + body.len()) as u32;
    let mut reply = length.to_le_bytes().to_vec();
    reply.extend(0_i32.to_le_bytes());
    reply.extend(&request[4..8]);
    reply.extend(OP_MSG.to_le_bytes());
    // No flags, one section.
    reply.extend([0; 5]);
    reply.extend(body);
    reply
}
