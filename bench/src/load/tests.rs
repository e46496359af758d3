//! The load against a server that stalls.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;
use crate::servers::process;

const STALL: Duration = Duration::from_millis(400);

struct Pings;

impl Calls for Pings {
    fn protocol(&self, _: usize) -> Box<dyn Protocol> {
        Box::new(Redis)
    }

    fn next(&mut self, message: &mut Vec<u8>) {
        message.push(b'?');
    }

    fn accepts(&self, answer: &[u8]) -> bool {
        answer == b"+OK"
    }
}

/// Answers every byte, and once does nothing for a while.
fn stalling_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut byte = [0];
        let mut answers = 0;
        while socket.read_exact(&mut byte).is_ok() {
            answers += 1;
            if answers == 20 {
                thread::sleep(STALL);
            }
            socket.write_all(b"+OK\r\n").expect("answered");
        }
    });
    address
}

fn measurement(model: LoadModel) -> Option<Measurement> {
    let sleep = process::find("sleep")?;
    process::find("setpriv").and(process::find("taskset"))?;
    let folder = tempfile::tempdir().expect("a folder");
    let idle = ServerProcess::start("idle", &sleep, folder.path(), ["60"]).expect("started");
    let shape = Shape { connections: 1, streams: 1 };
    let lengths = Lengths { warm_up: Duration::ZERO, measured: Duration::from_secs(1) };
    Some(run(&idle, stalling_server(), &mut Pings, shape, model, lengths).expect("a turn"))
}

#[test]
fn an_open_loop_counts_the_calls_that_a_stall_held_back() {
    let Some(measurement) = measurement(LoadModel::Open(200.0)) else {
        println!(
            "skipped: an_open_loop_counts_the_calls_that_a_stall_held_back: no setpriv or taskset"
        );
        return;
    };
    assert_eq!((measurement.latency.len(), measurement.refused), (200, 0));
    // The stall holds 80 scheduled calls back, half of them for longer than half of it.
    let late = measurement.latency.count_between(STALL.as_nanos() as u64 / 2, u64::MAX);
    assert!(late >= 40, "{late} calls were late");
}

#[test]
fn a_closed_loop_makes_the_next_call_when_one_is_answered() {
    let Some(measurement) = measurement(LoadModel::Closed) else {
        println!(
            "skipped: a_closed_loop_makes_the_next_call_when_one_is_answered: no setpriv or taskset"
        );
        return;
    };
    assert!(measurement.latency.len() > 20);
    assert!(measurement.latency.max() >= STALL.as_nanos() as u64);
}
