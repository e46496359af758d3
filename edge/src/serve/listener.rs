//! Where connections come from: TCP and unix sockets.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use vdom_core::limits::{KEEP_ALIVE_DEADLINE, KEEP_ALIVE_EVERY};
use vdom_core::{Error, ErrorCode, Result};

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1_024;
/// How often an idle peer that did not answer a probe is probed again, and how often at most:
/// together as long as a probe of HTTP/2 may stay unanswered.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
#[cfg(target_os = "linux")]
const PROBES: u32 = 2;
/// The longest path of a unix socket: the kernel has 108 bytes for it and a NUL.
const SOCKET_PATH_MAX_BYTES: usize = 107;

/// An address to listen on, and who may reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A TCP address; port 0 lets the system choose.
    Tcp {
        /// Where.
        address: SocketAddr,
        /// Whether several listeners share the address (`SO_REUSEPORT`).
        reuse_port: bool,
    },
    /// A unix socket, by its path.
    Unix {
        /// Where.
        path: PathBuf,
        /// Who may connect, such as `0o660`.
        mode: u32,
    },
}

/// Where a listener listens, with the port that the system chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAddress {
    /// An address with the port that was asked for or chosen.
    Tcp(SocketAddr),
    /// A unix socket, by its path.
    Unix(PathBuf),
}

impl LocalAddress {
    /// The address, unless it is a unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// An open listener. A unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: LocalAddress,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Goes with the listener.
        _file: SocketFile,
    },
}

impl Listener {
    /// Opens a listener. A unix socket that nobody listens on any more is
    /// replaced; one in use, or a file that is no socket, is refused.
    pub async fn bind(bind: &Bind) -> Result<Self> {
        match bind {
            Bind::Tcp { address, reuse_port } => {
                bind_tcp(*address, *reuse_port).map_err(|error| cannot_listen(address, &error))
            }
            Bind::Unix { path, mode } => bind_unix(path, *mode).await,
        }
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_address(&self) -> &LocalAddress {
        &self.address
    }

    /// The next connection.
    ///
    /// # Errors
    /// Where the system has no more sockets, or the peer left at once: accept again.
    pub async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written whole: waiting to fill a packet only delays.
                stream.set_nodelay(true)?;
                end_with_peer(&stream)?;
                Ok(Stream::Tcp(stream))
            }
            Socket::Unix { listener, .. } => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// An accepted connection, over whatever it came.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

macro_rules! delegate {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($inner) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, inner => Pin::new(inner).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, inner => Pin::new(inner).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => Pin::new(inner).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => Pin::new(inner).poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, inner => Pin::new(inner).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// Removes the socket's file when the listener goes, unless another took its
/// place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.ino() == self.inode);
        if is_ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!("socket {} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Lets the system end a connection whose peer is gone without a word: HTTP/1 has no probes of
/// its own, and what is written to nobody would wait for a quarter of an hour.
fn end_with_peer(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE_EVERY).with_interval(PROBE_INTERVAL);
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(KEEP_ALIVE_EVERY + KEEP_ALIVE_DEADLINE))?;
        socket.set_tcp_keepalive(&probes.with_retries(PROBES))
    }
    #[cfg(not(target_os = "linux"))]
    socket.set_tcp_keepalive(&probes)
}

fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for connections of the process before it.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = LocalAddress::Tcp(listener.local_addr()?);
    Ok(Listener { socket: Socket::Tcp(listener), address })
}

async fn bind_unix(path: &Path, mode: u32) -> Result<Listener> {
    refuse_if_taken(path).await?;
    // The file gets its rights under another name, so that nobody connects
    // before it has them; the rename also replaces what was left behind.
    let fresh = other_name(path);
    let listen = || -> io::Result<Listener> {
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode))?;
        let inode = std::fs::symlink_metadata(&fresh)?.ino();
        std::fs::rename(&fresh, path)?;
        let file = SocketFile { path: path.to_owned(), inode };
        Ok(Listener {
            socket: Socket::Unix { listener, _file: file },
            address: LocalAddress::Unix(path.to_owned()),
        })
    };
    listen().map_err(|error| {
        // What is half made is of no use to anyone; there may be nothing.
        let _ = std::fs::remove_file(&fresh);
        cannot_listen(path.display(), &error)
    })
}

/// Another name beside this one, no longer than a socket's may be wherever this one is not.
fn other_name(path: &Path) -> PathBuf {
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    if fresh.as_os_str().len() <= SOCKET_PATH_MAX_BYTES {
        return fresh;
    }
    // What was left behind by a process that bound here and ended is nobody's.
    let mut name = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    if let Some(last) = name.last_mut() {
        *last = if *last == b'~' { b'_' } else { b'~' };
    }
    let fresh = path.with_file_name(OsStr::from_bytes(&name));
    let is_left_behind =
        std::fs::symlink_metadata(&fresh).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_left_behind && let Err(error) = std::fs::remove_file(&fresh) {
        tracing::warn!("socket {} cannot be removed: {error}", fresh.display());
    }
    fresh
}

async fn refuse_if_taken(path: &Path) -> Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(Error::new(
            ErrorCode::AlreadyExists,
            format!("{} is there and is no socket: it is not replaced", path.display()),
        ));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(Error::new(
            ErrorCode::AlreadyExists,
            format!("another process listens on {}", path.display()),
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(cannot_listen(path.display(), &error)),
    }
}

fn cannot_listen(place: impl fmt::Display, error: &io::Error) -> Error {
    Error::new(ErrorCode::FailedPrecondition, format!("cannot listen on {place}: {error}"))
}
