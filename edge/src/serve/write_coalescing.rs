//! Gathers what an HTTP/2 connection writes. The library flushes after every frame
//! of data, and its task runs as soon as one of its streams has something to send:
//! a system call for each event of each subscriber. Here a flush waits for the next
//! turn of the connection's task, which comes after all tasks that can run now.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is gathered at most; more is written at once.
const GATHERED_MAX_BYTES: usize = 64 << 10;
/// What an idle connection keeps for the next time.
const KEPT_BYTES: usize = 4 << 10;

/// Counts the turns of a connection's task.
#[derive(Clone, Debug, Default)]
pub(super) struct PollCount(Arc<AtomicU64>);

impl PollCount {
    /// The task has a turn: its future is polled.
    pub(super) fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn current(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection whose small writes are made together.
pub(super) struct CoalescingIo<I> {
    io: I,
    turns: PollCount,
    waiting: Vec<u8>,
    /// How much of what waits is written.
    written: usize,
    /// The turn in which a flush was asked for.
    flush_asked: Option<u64>,
}

impl<I: AsyncWrite + Unpin> CoalescingIo<I> {
    /// Gathers within the turns that `turns` counts.
    pub(super) fn new(io: I, turns: PollCount) -> Self {
        Self { io, turns, waiting: Vec::new(), written: 0, flush_asked: None }
    }

    fn poll_write_waiting(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.waiting.len() {
            let rest = &self.waiting[self.written..];
            let written = ready!(Pin::new(&mut self.io).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.written = 0;
        self.waiting.clear();
        self.waiting.shrink_to(KEPT_BYTES);
        self.flush_asked = None;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for CoalescingIo<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for CoalescingIo<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if this.waiting.len() + length > GATHERED_MAX_BYTES {
            ready!(this.poll_write_waiting(context))?;
            if length > GATHERED_MAX_BYTES {
                return Pin::new(&mut this.io).poll_write_vectored(context, slices);
            }
        }
        for slice in slices {
            this.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.waiting.is_empty() {
            let now = this.turns.current();
            match this.flush_asked {
                None => {
                    this.flush_asked = Some(now);
                    context.waker().wake_by_ref();
                    return Poll::Ready(Ok(()));
                }
                Some(asked) if asked == now => return Poll::Ready(Ok(())),
                Some(_) => ready!(this.poll_write_waiting(context))?,
            }
        }
        Pin::new(&mut this.io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_waiting(context))?;
        Pin::new(&mut this.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
