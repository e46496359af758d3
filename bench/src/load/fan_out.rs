//! Many subscribers of the same changes: a writer keeps to a schedule, and each
//! delivery is timed from the moment the schedule wanted its write sent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll};

use super::connection::Connection;
use super::{ANSWERS_DEADLINE, Calls, Lengths, Measurement, Protocol, Schedule, Used, latencies};
use crate::Result;
use crate::servers::process::ServerProcess;

/// Writes that may be under way at a time.
const WRITER_STREAMS: usize = 16;

/// How a server is watched.
pub(crate) trait Watches {
    /// A connection that has not spoken yet.
    fn protocol(&self) -> Box<dyn Protocol>;
    /// What is asked on it, and in which slot: one subscriber each.
    fn requests(&self) -> Vec<(usize, Vec<u8>)>;
    /// Takes a message apart.
    fn receive(&self, message: &[u8], received: &mut dyn FnMut(Received)) -> Result<()>;
}

/// Writes that subscribers can tell apart.
pub(crate) trait Writes: Calls {
    /// The slot of the latest one, of [`FanOut::writes_told_apart`].
    fn latest(&self) -> usize;
}

/// What a message tells a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing happened; the first such message of a subscriber says that its
    /// subscription stands.
    Standing,
    /// The write in this slot became visible.
    Write(usize),
}

/// A load of deliveries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FanOut {
    pub(crate) connections: usize,
    pub(crate) subscribers: usize,
    pub(crate) writes_per_second: f64,
    /// Far more than are under way at a time.
    pub(crate) writes_told_apart: usize,
}

/// Gives a server its turn. A call of the result is a delivery.
pub(crate) fn run(
    server: &ServerProcess,
    address: SocketAddr,
    watches: &dyn Watches,
    writes: &mut dyn Writes,
    load: FanOut,
    lengths: Lengths,
) -> Result<Measurement> {
    let mut audience = Audience::connect(address, watches, writes, load)?;
    audience.subscribe(watches)?;

    // Subscribers keep a server a little busy, so rest is not waited for: what
    // writes cost is over when their last delivery is.
    let cpu_before = server.cpu_time()?;
    let start = Instant::now();
    let measured_from = start + lengths.warm_up;
    let end = measured_from + lengths.measured;
    let interval = Duration::from_secs_f64(1.0 / load.writes_per_second);
    let mut schedule = Schedule { interval, due: start };
    audience.window = Some((measured_from, end));
    let (mut opened, mut window) = (None, None);
    loop {
        let now = Instant::now();
        if now >= measured_from && opened.is_none() {
            opened = Some((now, Used::so_far(server)?));
        }
        if let (true, None, Some((from, before))) = (now >= end, &window, &opened) {
            window = Some((now - *from, Used::so_far(server)?.since(before)));
        }
        while schedule.due <= now && schedule.due < end {
            audience.write(writes, schedule.due)?;
            schedule.due += schedule.interval;
        }
        let next = if schedule.due < end { schedule.due } else { end };
        audience.listen(watches, writes, next)?;
        if let (Some((length, used)), true) = (&window, audience.is_complete()) {
            let cpu = server.cpu_time()?.saturating_sub(cpu_before);
            return Ok(audience.measurement(cpu, *length, *used));
        }
        if now.saturating_duration_since(end) > ANSWERS_DEADLINE {
            return Err(format!(
                "{}: {} of {} deliveries have not come after {ANSWERS_DEADLINE:?}",
                server.name(),
                audience.expected() - audience.delivered,
                audience.expected()
            )
            .into());
        }
    }
}

struct Audience {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    writer: Connection,
    load: FanOut,
    free: Vec<usize>,
    message: Vec<u8>,
    /// When the latest write of each told apart was due.
    written_at: Vec<Instant>,
    window: Option<(Instant, Instant)>,
    written: u64,
    refused: u64,
    delivered: u64,
    measured: u64,
    latency: Histogram<u64>,
}

impl Audience {
    fn connect(
        address: SocketAddr,
        watches: &dyn Watches,
        writes: &dyn Writes,
        load: FanOut,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let open =
            |index, protocol, slots| Connection::open(address, protocol, &poll, index, slots);
        let connections = (0..load.connections)
            .map(|index| open(index, watches.protocol(), load.subscribers))
            .collect::<Result<Vec<_>>>()?;
        let protocol = writes.protocol(WRITER_STREAMS);
        let writer = open(load.connections, protocol, WRITER_STREAMS)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1_024),
            connections,
            writer,
            load,
            free: (0..WRITER_STREAMS).collect(),
            message: Vec::new(),
            written_at: vec![Instant::now(); load.writes_told_apart],
            window: None,
            written: 0,
            refused: 0,
            delivered: 0,
            measured: 0,
            latency: latencies()?,
        })
    }

    /// Until every subscription stands.
    fn subscribe(&mut self, watches: &dyn Watches) -> Result<()> {
        let begun = Instant::now();
        // By connection and slot, how many are missing.
        let mut missing: HashMap<(usize, usize), usize> = HashMap::new();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            for (slot, request) in watches.requests() {
                connection.call(slot, &request, begun);
                *missing.entry((index, slot)).or_default() += 1;
            }
            connection.flush()?;
        }
        while !missing.is_empty() {
            if begun.elapsed() > ANSWERS_DEADLINE {
                let missing: usize = missing.values().sum();
                return Err(format!("{missing} subscriptions do not stand").into());
            }
            self.poll.poll(&mut self.events, Some(Duration::from_millis(100)))?;
            for event in &self.events {
                let index = event.token().0;
                let Some(connection) = self.connections.get_mut(index) else { continue };
                let mut problem = Ok(());
                connection.receive(&mut |answer| {
                    let received = watches.receive(answer.message, &mut |_| {
                        if let Entry::Occupied(mut slot) = missing.entry((index, answer.slot)) {
                            *slot.get_mut() -= 1;
                            if *slot.get() == 0 {
                                slot.remove();
                            }
                        }
                    });
                    if received.is_err() {
                        problem = received;
                    }
                })?;
                problem?;
                connection.flush()?;
            }
        }
        Ok(())
    }

    fn write(&mut self, writes: &mut dyn Writes, due: Instant) -> Result<()> {
        let slot = self.free.pop().ok_or("too many writes wait for their answer")?;
        self.message.clear();
        writes.next(&mut self.message);
        self.written += 1;
        self.written_at[writes.latest()] = due;
        if !self.writer.call(slot, &self.message, due) {
            return Err("flow control forbids a write".into());
        }
        self.writer.flush()
    }

    /// Takes what comes until something has to be done.
    fn listen(&mut self, watches: &dyn Watches, writes: &dyn Writes, until: Instant) -> Result<()> {
        // The timer counts milliseconds; what is finer is waited for awake.
        let wait = until.saturating_duration_since(Instant::now()).as_millis() as u64;
        self.poll.poll(&mut self.events, Some(Duration::from_millis(wait.min(100))))?;
        let (from, end) = self.window.ok_or("nothing is measured yet")?;
        let Self { connections, written_at, latency, .. } = self;
        for event in &self.events {
            let index = event.token().0;
            let Some(connection) = connections.get_mut(index) else {
                self.writer.receive(&mut |answer| {
                    self.free.push(answer.slot);
                    self.refused += u64::from(!writes.accepts(answer.message));
                })?;
                self.writer.flush()?;
                continue;
            };
            let mut problem = Ok(());
            let (mut delivered, mut measured) = (0, 0);
            connection.receive(&mut |answer| {
                let arrived = answer.arrived;
                let received = watches.receive(answer.message, &mut |received| {
                    let Received::Write(slot) = received else { return };
                    delivered += 1;
                    let due = written_at[slot];
                    if due >= from && due < end {
                        measured += 1;
                        let nanos = arrived.saturating_duration_since(due).as_nanos();
                        latency.saturating_record(nanos as u64);
                    }
                });
                if received.is_err() {
                    problem = received;
                }
            })?;
            problem?;
            connection.flush()?;
            self.delivered += delivered;
            self.measured += measured;
        }
        Ok(())
    }

    fn expected(&self) -> u64 {
        self.written * (self.load.connections * self.load.subscribers) as u64
    }

    fn is_complete(&self) -> bool {
        self.delivered >= self.expected()
    }

    fn measurement(self, cpu: Duration, length: Duration, used: Used) -> Measurement {
        let seconds = length.as_secs_f64();
        Measurement {
            calls_per_second: self.measured as f64 / seconds,
            latency: self.latency,
            server_cpu_per_call: cpu.div_f64(self.delivered.max(1) as f64),
            server_busy: used.server.as_secs_f64() / seconds,
            generator_busy: used.generator.as_secs_f64() / seconds,
            others_busy: used.others().as_secs_f64() / seconds,
            refused: self.refused,
        }
    }
}
