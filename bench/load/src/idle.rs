//! The memory of connections that do nothing, after they were opened one by one or all at once.

use std::io;
use std::time::{Duration, Instant};

use crate::cli::Idle;
use crate::client::{BUFFER_BYTES, Client};
use crate::deflate::Compression;
use crate::exchange::Exchange;
use crate::handshake::{Opening, Progress};
use crate::process::Process;
use crate::report::{Report, Value};
use crate::sys::Epoll;
use crate::target::Target;

pub(crate) fn run(options: &Idle, pid: Option<u32>) -> io::Result<Report> {
    let pid = pid.ok_or_else(|| io::Error::other("idle needs --pid: it measures the server's memory"))?;
    let server = Process::new(pid)?;
    let target = Target::new(&options.server, Compression::Off)?;
    // The first connection brings in code and tables that all of them share; it is not counted.
    let exchange = Exchange::silent();
    let first = Client::open(&target, &exchange)?;
    let before = server.resident_bytes();

    let started = Instant::now();
    let (mut clients, lost) = if options.burst {
        open_at_once(&target, options.connections)?
    } else {
        (open_one_by_one(&target, options.connections)?, 0)
    };
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

fn open_one_by_one(target: &Target, connections: usize) -> io::Result<Vec<Client>> {
    let exchange = Exchange::silent();
    (0..connections).map(|_| Client::open(target, &exchange)).collect()
}

/// The handshakes of a burst.
struct Burst<'a> {
    target: &'a Target,
    epoll: Epoll,
    /// Those under way, by their number.
    openings: Vec<Option<Opening>>,
    clients: Vec<Client>,
    /// Handshakes that the server ended and that were begun anew, as browsers do.
    lost: usize,
}

/// Every client connects and sends its request at once, as after a restart of the server.
fn open_at_once(target: &Target, connections: usize) -> io::Result<(Vec<Client>, usize)> {
    let mut burst = Burst {
        target,
        epoll: Epoll::new()?,
        openings: Vec::with_capacity(connections),
        clients: Vec::with_capacity(connections),
        lost: 0,
    };
    for number in 0..connections {
        burst.openings.push(None);
        burst.begin(number)?;
        burst.advance(number)?;
    }
    let mut ready = Vec::new();
    while burst.clients.len() < connections {
        burst.epoll.wait(&mut ready, Duration::from_secs(30))?;
        if ready.is_empty() {
            let missing = connections - burst.clients.len();
            return Err(io::Error::other(format!("{missing} handshakes made no progress for 30 s")));
        }
        for &number in &ready {
            burst.advance(number)?;
        }
    }
    Ok((burst.clients, burst.lost))
}

impl Burst<'_> {
    fn begin(&mut self, number: usize) -> io::Result<()> {
        let opening = Opening::start(self.target)?;
        self.epoll.add(opening.stream.socket(), number)?;
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
        epoll.add(client.socket(), index)?;
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
