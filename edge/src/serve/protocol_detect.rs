//! Tells HTTP/1 from HTTP/2 by a connection's first bytes, and gives them back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// How every HTTP/2 connection begins (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until it is clear what the peer speaks; `None` where it went away
/// before.
pub(super) async fn recognize<I>(mut io: I) -> io::Result<Option<(Protocol, Rewind<I>)>>
where
    I: AsyncRead + Unpin,
{
    let mut first = [0; HTTP2_PREFACE.len()];
    let mut length = 0;
    loop {
        let read = io.read(&mut first[length..]).await?;
        length += read;
        let protocol = if !HTTP2_PREFACE.starts_with(&first[..length]) {
            Protocol::Http1
        } else if length == first.len() {
            Protocol::Http2
        } else if read == 0 {
            return Ok(None);
        } else {
            continue;
        };
        return Ok(Some((protocol, Rewind { first, at: 0, length, io })));
    }
}

/// A connection whose first bytes are read once more.
pub(super) struct Rewind<I> {
    first: [u8; HTTP2_PREFACE.len()],
    at: usize,
    length: usize,
    io: I,
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewind<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at < this.length {
            let end = this.length.min(this.at + buffer.remaining());
            buffer.put_slice(&this.first[this.at..end]);
            this.at = end;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewind<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
