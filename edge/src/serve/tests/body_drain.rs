//! Bodies that nobody reads.

use super::*;

const HALF_BYTES: usize = 1 << 20;

#[tokio::test]
async fn a_peer_that_still_sends_gets_its_answer_and_keeps_its_connection() {
    let server = start(ServeSettings::default()).await;
    let mut stream = TcpStream::connect(address(&server)).await.expect("connected");
    let half = vec![b'x'; HALF_BYTES];
    let length = 2 * half.len();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(&half).await.expect("written");
    // The answer is out before the body is in.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 405 "), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(&half).await.expect("written");
    let next = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(next).await.expect("written");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("an answer");
    assert!(rest.starts_with("HTTP/1.1 200 ") && rest.ends_with("hello"), "{rest}");
}
