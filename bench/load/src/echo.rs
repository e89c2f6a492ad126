//! The highest rate: each connection sends a burst, waits until all of it came back, and sends the next.

use std::io;
use std::time::{Duration, Instant};

use crate::cli::Echo;
use crate::client::{BUFFER_BYTES, Client};
use crate::exchange::Exchange;
use crate::histogram::Histogram;
use crate::meter::{Meter, Tick};
use crate::report::{Report, Value};
use crate::sys::Epoll;
use crate::target::Target;

struct Connection {
    client: Client,
    /// Replies of the burst under way that are still to come.
    missing: usize,
    sent_at: Instant,
}

pub(crate) fn run(options: &Echo, pid: Option<u32>) -> io::Result<Report> {
    let exchange = Exchange::new(&options.message, options.depth)?;
    let target = Target::new(&options.server, options.message.compression())?;
    let mut epoll = Epoll::new()?;
    let mut connections = Vec::with_capacity(options.connections);
    for index in 0..options.connections {
        let client = Client::open(&target, &exchange)?;
        epoll.add(client.socket(), index)?;
        connections.push(Connection { client, missing: 0, sent_at: Instant::now() });
    }

    let mut buffer = vec![0; BUFFER_BYTES];
    let mut ready = Vec::new();
    let mut messages = 0;
    let mut latency = Histogram::new();
    let mut meter = Meter::start(options.seconds, pid)?;
    for connection in &mut connections {
        connection.send(options.depth, &exchange)?;
    }
    loop {
        match meter.tick(Instant::now()) {
            Tick::Continue => {}
            Tick::Begin => (messages, latency) = (0, Histogram::new()),
            Tick::End => break,
        }
        epoll.wait(&mut ready, Duration::from_millis(100))?;
        for &index in &ready {
            let connection = &mut connections[index];
            connection.client.flush(&exchange)?;
            let replies = connection.client.receive(&mut buffer, &exchange)?;
            messages += replies as u64;
            connection.missing = connection
                .missing
                .checked_sub(replies)
                .ok_or_else(|| io::Error::other("more replies than messages"))?;
            if replies > 0 && connection.missing == 0 {
                latency.record(connection.sent_at.elapsed());
                connection.send(options.depth, &exchange)?;
            }
        }
    }

    let mut report = Report::new("echo");
    report.add("connections", Value::Integer(options.connections as u64));
    report.add("depth", Value::Integer(options.depth as u64));
    exchange.report(&mut report);
    meter.finish().report(&mut report, "messages", messages);
    latency.report(&mut report);
    Ok(report)
}

impl Connection {
    fn send(&mut self, depth: usize, exchange: &Exchange) -> io::Result<()> {
        self.missing = depth;
        self.sent_at = Instant::now();
        self.client.queue(depth, exchange);
        self.client.flush(exchange)
    }
}
