//! What is written together, and that nothing stays behind.

use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use super::*;

/// Remembers each write; takes no more than `room` bytes until there is more.
#[derive(Default)]
struct Socket {
    writes: Vec<Vec<u8>>,
    room: Option<usize>,
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.room.unwrap_or(usize::MAX));
        if taken == 0 {
            return Poll::Pending;
        }
        self.room = self.room.map(|room| room - taken);
        self.writes.push(bytes[..taken].to_vec());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Connection {
    gathered: CoalescingIo<Socket>,
    turns: PollCount,
    wakes: Arc<Wakes>,
}

impl Connection {
    fn new() -> Self {
        let turns = PollCount::default();
        let gathered = CoalescingIo::new(Socket::default(), turns.clone());
        Self { gathered, turns, wakes: Arc::default() }
    }

    fn poll<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut CoalescingIo<Socket>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<T> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        let polled = poll(Pin::new(&mut self.gathered), &mut Context::from_waker(&waker));
        polled.map(|result| result.expect("no fault"))
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<usize> {
        self.poll(|io, context| io.poll_write(context, bytes))
    }

    fn flush(&mut self) -> Poll<()> {
        self.poll(CoalescingIo::poll_flush)
    }

    fn written(&self) -> Vec<usize> {
        self.gathered.io.writes.iter().map(Vec::len).collect()
    }
}

#[test]
fn frames_of_one_turn_are_written_together_in_the_next() {
    let mut connection = Connection::new();
    connection.turns.next();
    for _ in 0..3 {
        assert_eq!(connection.write(b"frame"), Poll::Ready(5));
        assert_eq!(connection.flush(), Poll::Ready(()));
    }
    // The task is woken once for what waits.
    assert_eq!((connection.written(), connection.wakes.0.load(Ordering::Relaxed)), (vec![], 1));
    connection.turns.next();
    assert_eq!(connection.flush(), Poll::Ready(()));
    assert_eq!(connection.written(), [15]);
    assert_eq!(connection.flush(), Poll::Ready(()));
    assert_eq!(connection.wakes.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_full_socket_is_waited_for_and_gets_everything_in_order() {
    let mut connection = Connection::new();
    connection.gathered.io.room = Some(2);
    assert_eq!(connection.write(b"one"), Poll::Ready(3));
    assert_eq!(connection.flush(), Poll::Ready(()));
    connection.turns.next();
    assert_eq!(connection.flush(), Poll::Pending);
    assert_eq!(connection.write(b"two"), Poll::Ready(3));
    connection.gathered.io.room = None;
    assert_eq!(connection.flush(), Poll::Ready(()));
    assert_eq!(connection.gathered.io.writes.concat(), b"onetwo");
}

#[test]
fn much_is_written_at_once_and_no_memory_is_kept_for_it() {
    let mut connection = Connection::new();
    let half = vec![1; GATHERED_MAX_BYTES / 2 + 1];
    assert!(connection.write(&half).is_ready());
    assert!(connection.write(&half).is_ready());
    assert_eq!(connection.written(), [half.len()]);
    let much = vec![2; GATHERED_MAX_BYTES + 1];
    assert!(connection.write(&much).is_ready());
    assert_eq!(connection.written(), [half.len(), half.len(), much.len()]);
    assert!(connection.gathered.waiting.capacity() <= KEPT_BYTES);
}

#[test]
fn the_end_takes_along_what_waits() {
    let mut connection = Connection::new();
    assert_eq!(connection.write(b"last"), Poll::Ready(4));
    assert_eq!(connection.poll(CoalescingIo::poll_shutdown), Poll::Ready(()));
    assert_eq!(connection.written(), [4]);
}
