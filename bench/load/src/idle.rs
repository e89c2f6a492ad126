//! The memory of connections that do nothing, after they were opened one by one or all at once.

use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::cli::Idle;
use crate::client::{BUFFER_BYTES, Client};
use crate::frame::Exchange;
use crate::handshake::{Opening, Progress};
use crate::process::Process;
use crate::report::{Report, Value};
use crate::sys::Epoll;

pub(crate) fn run(options: &Idle, pid: Option<u32>) -> io::Result<Report> {
    let pid = pid.ok_or_else(|| io::Error::other("idle needs --pid: it measures the server's memory"))?;
    let server = Process::new(pid)?;
    // The first connection brings in code and tables that all of them share; it is not counted.
    let exchange = Exchange::silent();
    let first = Client::open(options.address, &exchange)?;
    let before = server.resident_bytes();

    let started = Instant::now();
    let (mut clients, lost) =
        if options.burst { open_at_once(options)? } else { (open_one_by_one(options)?, 0) };
    let opening = started.elapsed();
    let opened = server.resident_bytes();
    clients.push(first);
    settle(&mut clients, options.settle)?;
    let settled = server.resident_bytes();

    let each = |after: u64| {
        let bytes = (after as f64 - before as f64) / options.connections as f64;
        Value::Decimal(bytes, 0)
    };
    let mut report = Report::new("idle");
    report.add("connections", Value::Integer(options.connections as u64));
    report.add("opened", Value::Text(if options.burst { "at once" } else { "one by one" }));
    report.add("opening_ms", Value::Decimal(opening.as_secs_f64() * 1e3, 0));
    report.add("handshakes_lost", Value::Integer(lost as u64));
    report.add("server_bytes_before", Value::Integer(before));
    report.add("bytes_each_when_opened", each(opened));
    report.add("bytes_each", each(settled));
    Ok(report)
}

fn open_one_by_one(options: &Idle) -> io::Result<Vec<Client>> {
    let exchange = Exchange::silent();
    (0..options.connections).map(|_| Client::open(options.address, &exchange)).collect()
}

/// The handshakes of a burst.
struct Burst {
    address: SocketAddrV4,
    epoll: Epoll,
    /// Those under way, by their number.
    openings: Vec<Option<Opening>>,
    clients: Vec<Client>,
    /// Handshakes that the server ended and that were begun anew, as browsers do.
    lost: usize,
}

/// Every client connects and sends its request at once, as after a restart of the server.
fn open_at_once(options: &Idle) -> io::Result<(Vec<Client>, usize)> {
    let mut burst = Burst {
        address: options.address,
        epoll: Epoll::new()?,
        openings: Vec::with_capacity(options.connections),
        clients: Vec::with_capacity(options.connections),
        lost: 0,
    };
    for number in 0..options.connections {
        burst.openings.push(None);
        burst.begin(number)?;
        burst.advance(number)?;
    }
    let mut ready = Vec::new();
    while burst.clients.len() < options.connections {
        burst.epoll.wait(&mut ready, Duration::from_secs(30))?;
        if ready.is_empty() {
            let missing = options.connections - burst.clients.len();
            return Err(io::Error::other(format!("{missing} handshakes made no progress for 30 s")));
        }
        for &number in &ready {
            burst.advance(number)?;
        }
    }
    Ok((burst.clients, burst.lost))
}

impl Burst {
    fn begin(&mut self, number: usize) -> io::Result<()> {
        let opening = Opening::start(self.address)?;
        self.epoll.add(&opening.stream, number)?;
        self.openings[number] = Some(opening);
        Ok(())
    }

    fn advance(&mut self, number: usize) -> io::Result<()> {
        let Some(mut opening) = self.openings[number].take() else { return Ok(()) };
        match opening.advance() {
            Ok(Progress::Pending) => self.openings[number] = Some(opening),
            Ok(Progress::Open(rest)) => {
                self.clients.push(Client::upgraded(opening.stream, &rest, &Exchange::silent())?);
            }
            Err(error) => {
                self.lost += 1;
                if self.lost > self.openings.len() {
                    return Err(io::Error::other(format!(
                        "{} handshakes were lost, the last: {error}",
                        self.lost
                    )));
                }
                self.begin(number)?;
            }
        }
        Ok(())
    }
}

/// Lets the time pass, answering pings; fails if the server closes a connection.
fn settle(clients: &mut [Client], time: Duration) -> io::Result<()> {
    let exchange = Exchange::silent();
    let mut epoll = Epoll::new()?;
    for (index, client) in clients.iter().enumerate() {
        epoll.add(client.stream(), index)?;
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut ready = Vec::new();
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        epoll.wait(&mut ready, left.max(Duration::from_millis(1)))?;
        for &index in &ready {
            clients[index].flush(&exchange)?;
            clients[index].receive(&mut buffer, &exchange)?;
        }
    }
}
