//! The load: one thread that keeps many connections busy, as fast as the server
//! answers or at a fixed rate.
//!
//! At a fixed rate a call is timed from the moment the schedule wanted it sent,
//! so that a server that stalls does not hide the calls it kept from being made.

mod connection;
pub(crate) mod fan_out;
mod grpc;
mod http2;
mod redis;
pub(crate) mod replay;
mod subscription;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll};

use crate::Result;
use crate::machine;
use crate::servers::process::{self, ServerProcess};
use connection::Connection;
pub(crate) use grpc::Grpc;
pub(crate) use redis::Redis;
pub(crate) use subscription::Subscription;

/// Until every call that was made has its answer.
const ANSWERS_DEADLINE: Duration = Duration::from_secs(30);
const LATENCY_MAX: Duration = Duration::from_secs(60);
const SIGNIFICANT_DIGITS: u8 = 3;

/// Which connections carry how many calls at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Calls in flight on each connection, at most.
    pub(crate) streams: usize,
}

/// When a call is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LoadModel {
    /// As soon as an earlier one is answered.
    Closed,
    /// By a schedule, so many a second, whatever the answers do.
    Open(f64),
}

/// For how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    /// Not measured.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// A protocol as one connection speaks it. Bytes in, bytes out; no I/O.
pub(crate) trait Protocol {
    /// What a client says first.
    fn start(&mut self, out: &mut Vec<u8>);
    /// Makes a call in a free slot. `false`: flow control forbids it now.
    fn call(&mut self, slot: usize, message: &[u8], out: &mut Vec<u8>) -> bool;
    /// Reads what came and says how many bytes of it are done with.
    fn receive(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<usize>;
}

/// What is called.
pub(crate) trait Calls {
    /// A connection that has not spoken yet.
    fn protocol(&self, streams: usize) -> Box<dyn Protocol>;
    /// Appends the next request.
    fn next(&mut self, message: &mut Vec<u8>);
    /// Whether an answer is what was asked for; a refused call has an empty one.
    fn accepts(&self, answer: &[u8]) -> bool;
}

/// What one side did in its turn.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) calls_per_second: f64,
    /// In nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Of the server, by call, with what it did afterwards because of them.
    pub(crate) server_cpu_per_call: Duration,
    /// Which part of one core the server used.
    pub(crate) server_busy: f64,
    /// Which part of its core the generator used; at a fixed rate it spins.
    pub(crate) generator_busy: f64,
    /// How many cores everything else used, the kernel's own work included.
    pub(crate) others_busy: f64,
    /// Calls that were answered, but not with what was asked for.
    pub(crate) refused: u64,
}

/// Gives a server its turn.
pub(crate) fn run(
    server: &ServerProcess,
    address: SocketAddr,
    calls: &mut dyn Calls,
    shape: Shape,
    model: LoadModel,
    lengths: Lengths,
) -> Result<Measurement> {
    let cpu_before = server.cpu_time()?;
    let mut generator = Generator::connect(address, calls, shape, model, lengths)?;
    let window = generator.drive(calls, server)?;
    let all_calls = generator.answered;
    drop(generator.connections);
    let cpu = server.settle()?.saturating_sub(cpu_before);
    if all_calls == 0 || generator.measured == 0 {
        return Err(format!("{} answered nothing", server.name()).into());
    }
    let length = window.length.as_secs_f64();
    Ok(Measurement {
        calls_per_second: generator.measured as f64 / length,
        latency: generator.latency,
        server_cpu_per_call: cpu.div_f64(all_calls as f64),
        server_busy: window.used.server.as_secs_f64() / length,
        generator_busy: window.used.generator.as_secs_f64() / length,
        others_busy: window.used.others().as_secs_f64() / length,
        refused: generator.refused,
    })
}

struct Generator {
    poll: Poll,
    connections: Vec<Connection>,
    /// Slots without a call: connection and slot.
    free: VecDeque<(usize, usize)>,
    schedule: Option<Schedule>,
    measured_from: Instant,
    end: Instant,
    message: Vec<u8>,
    in_flight: u64,
    answered: u64,
    measured: u64,
    refused: u64,
    latency: Histogram<u64>,
}

struct Schedule {
    interval: Duration,
    due: Instant,
}

/// The measured part of a turn.
struct Window {
    length: Duration,
    used: Used,
}

/// Processor time.
#[derive(Clone, Copy)]
struct Used {
    server: Duration,
    generator: Duration,
    machine: Duration,
}

impl Used {
    fn so_far(server: &ServerProcess) -> Result<Self> {
        Ok(Self {
            server: server.cpu_time()?,
            generator: process::own_cpu_time()?,
            machine: machine::cpu_time()?,
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            server: self.server.saturating_sub(before.server),
            generator: self.generator.saturating_sub(before.generator),
            machine: self.machine.saturating_sub(before.machine),
        }
    }

    fn others(&self) -> Duration {
        self.machine.saturating_sub(self.server + self.generator)
    }
}

impl Generator {
    fn connect(
        address: SocketAddr,
        calls: &dyn Calls,
        shape: Shape,
        model: LoadModel,
        lengths: Lengths,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(shape.connections);
        for index in 0..shape.connections {
            let protocol = calls.protocol(shape.streams);
            connections.push(Connection::open(address, protocol, &poll, index, shape.streams)?);
        }
        // Connections in turn, so that few calls do not crowd on one of them.
        let slots = 0..shape.streams;
        let free = slots.flat_map(|slot| (0..shape.connections).map(move |of| (of, slot)));
        let start = Instant::now();
        let measured_from = start + lengths.warm_up;
        let schedule = match model {
            LoadModel::Closed => None,
            LoadModel::Open(rate) => {
                Some(Schedule { interval: Duration::from_secs_f64(1.0 / rate), due: start })
            }
        };
        Ok(Self {
            poll,
            connections,
            free: free.collect(),
            schedule,
            measured_from,
            end: measured_from + lengths.measured,
            message: Vec::new(),
            in_flight: 0,
            answered: 0,
            measured: 0,
            refused: 0,
            latency: latencies()?,
        })
    }

    fn drive(&mut self, calls: &mut dyn Calls, server: &ServerProcess) -> Result<Window> {
        let mut events = Events::with_capacity(1_024);
        let mut opened = None;
        let mut window = None;
        loop {
            let now = Instant::now();
            if now >= self.measured_from && opened.is_none() {
                opened = Some((now, Used::so_far(server)?));
            }
            if let (true, None, Some((from, before))) = (now >= self.end, &window, &opened) {
                let used = Used::so_far(server)?.since(before);
                window = Some(Window { length: now - *from, used });
            }
            self.send(now, calls)?;
            let wait = self.wait(now);
            self.poll.poll(&mut events, Some(wait))?;
            for event in &events {
                self.receive(event.token().0, calls)?;
            }
            let late = now.saturating_duration_since(self.end);
            match window.take() {
                Some(window) if self.in_flight == 0 && !self.is_due() => return Ok(window),
                Some(_) if late > ANSWERS_DEADLINE => {
                    return Err(format!(
                        "{}: {} calls have no answer after {ANSWERS_DEADLINE:?}",
                        server.name(),
                        self.in_flight
                    )
                    .into());
                }
                kept => window = kept,
            }
        }
    }

    /// How long nothing has to be done but to listen. A schedule finer than the
    /// timer of the system is kept by spinning.
    fn wait(&self, now: Instant) -> Duration {
        if self.is_due() {
            return Duration::ZERO;
        }
        let next = if now < self.measured_from { self.measured_from } else { self.end };
        next.saturating_duration_since(now).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    /// Whether a schedule still wants calls made.
    fn is_due(&self) -> bool {
        self.schedule.as_ref().is_some_and(|schedule| schedule.due < self.end)
    }

    /// Makes the calls that may be made, then writes what there is to write.
    fn send(&mut self, now: Instant, calls: &mut dyn Calls) -> Result<()> {
        // Each free slot is looked at once: one without credit waits.
        for _ in 0..self.free.len() {
            let due = self.schedule.as_ref().map_or(now, |schedule| schedule.due);
            if due > now || due >= self.end {
                break;
            }
            let Some((index, slot)) = self.free.pop_front() else { break };
            self.message.clear();
            calls.next(&mut self.message);
            if !self.connections[index].call(slot, &self.message, due) {
                self.free.push_back((index, slot));
                continue;
            }
            self.in_flight += 1;
            if let Some(schedule) = &mut self.schedule {
                schedule.due += schedule.interval;
            }
        }
        for connection in &mut self.connections {
            connection.flush()?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, calls: &dyn Calls) -> Result<()> {
        let Self { connections, free, latency, .. } = self;
        let (measured_from, end) = (self.measured_from, self.end);
        let (mut answered, mut measured, mut refused) = (0, 0, 0);
        let by_arrival = self.schedule.is_none();
        connections[index].receive(&mut |answer| {
            answered += 1;
            free.push_back((index, answer.slot));
            if !calls.accepts(answer.message) {
                refused += 1;
                return;
            }
            let of_window = if by_arrival { answer.arrived } else { answer.started };
            if of_window >= measured_from && of_window < end {
                measured += 1;
                let nanos = answer
                    .arrived
                    .saturating_duration_since(answer.started)
                    .min(LATENCY_MAX)
                    .as_nanos();
                latency.saturating_record(nanos as u64);
            }
        })?;
        self.answered += answered;
        self.in_flight -= answered;
        self.measured += measured;
        self.refused += refused;
        Ok(())
    }
}

fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, LATENCY_MAX.as_nanos().try_into()?, SIGNIFICANT_DIGITS)?)
}

#[cfg(test)]
mod tests;
