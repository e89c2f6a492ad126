//! A fixed rate, and each latency measured from the time the message was due, not from when it could be
//! sent: a server that stalls for a second is late for a whole second's messages, and all of them count.
//!
//! The loop spins instead of sleeping: a timer would be late by tens of microseconds.
//!
//! With `--share` it does sleep, on a processor that others use too. What these take of it is not the server's doing, so a
//! latency goes from when the kernel had sent the message until it had the answer, which says when that was. Also within
//! the call that sends it may work for others first.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::Rate;
use crate::client::{BUFFER_BYTES, Client};
use crate::exchange::Exchange;
use crate::histogram::Histogram;
use crate::meter::{Meter, Tick};
use crate::report::{Report, Value};
use crate::sys::{self, Epoll};
use crate::target::Target;

/// A sleep with `--share`.
const NAP: Duration = Duration::from_micros(50);
/// How long the last replies may take.
const PATIENCE: Duration = Duration::from_secs(2);

struct Connection {
    client: Client,
    /// The messages without a reply, the oldest first.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    due: Instant,
    begun: SystemTime,
    sent: SystemTime,
}

impl Waiting {
    /// How long after it was sent the answer has arrived: if it came after the kernel was asked, just `now`. Where it has
    /// come before the call that sends had returned, nobody knows when in this it was sent: then all of it counts.
    fn taken(&self, arrival: Option<SystemTime>, now: SystemTime) -> Duration {
        let arrival = arrival.filter(|arrival| *arrival >= self.begun).unwrap_or(now);
        let after = |time| arrival.duration_since(time);
        after(self.sent).or_else(|_| after(self.begun)).unwrap_or_default()
    }
}

pub(crate) fn run(options: &Rate, pid: Option<u32>) -> io::Result<Report> {
    let exchange = Exchange::new(&options.message, 1)?;
    let target = Target::new(&options.server, options.message.compression())?;
    let mut epoll = Epoll::new()?;
    let mut connections = Vec::with_capacity(options.connections);
    for index in 0..options.connections {
        let client = Client::open(&target, &exchange)?;
        epoll.add(client.socket(), index)?;
        if options.share {
            sys::stamp_arrivals(client.socket())?;
        }
        connections.push(Connection { client, waiting: VecDeque::new() });
    }

    let mut buffer = vec![0; BUFFER_BYTES];
    let mut ready = Vec::new();
    let mut latency = Histogram::new();
    let mut meter = Meter::start(options.seconds, pid)?;
    let schedule = Schedule { start: Instant::now(), rate: options.rate };
    let mut next = 0;
    let mut measured_from = None;
    let mut answered = 0;
    let mut taken = None;
    loop {
        let now = Instant::now();
        if taken.is_none() {
            match meter.tick(now) {
                Tick::Continue => {}
                Tick::Begin => (measured_from, answered) = (Some(now), 0),
                Tick::End => taken = Some((meter.finish(), answered, now + PATIENCE)),
            }
        }
        match &taken {
            None => {
                while schedule.due(next) <= now {
                    let connection = &mut connections[next % options.connections];
                    let begun = SystemTime::now();
                    connection.client.queue(1, &exchange);
                    connection.client.flush(&exchange)?;
                    let sent = SystemTime::now();
                    connection.waiting.push_back(Waiting { due: schedule.due(next), begun, sent });
                    next += 1;
                }
            }
            Some((_, _, give_up)) => {
                if now >= *give_up || connections.iter().all(|connection| connection.waiting.is_empty()) {
                    break;
                }
            }
        }
        epoll.wait(&mut ready, Duration::ZERO)?;
        if options.share && ready.is_empty() {
            std::thread::sleep(NAP);
        }
        for &index in &ready {
            let connection = &mut connections[index];
            connection.client.flush(&exchange)?;
            let arrival = if options.share { sys::arrival(connection.client.socket()) } else { None };
            let replies = connection.client.receive(&mut buffer, &exchange)?;
            let (now, time) = (Instant::now(), SystemTime::now());
            for _ in 0..replies {
                let waiting = connection
                    .waiting
                    .pop_front()
                    .ok_or_else(|| io::Error::other("more replies than messages"))?;
                if measured_from.is_some_and(|from| waiting.due >= from) {
                    latency.record(match options.share {
                        true => waiting.taken(arrival, time),
                        false => now - waiting.due,
                    });
                }
                answered += 1;
            }
        }
    }

    let unanswered: usize = connections.iter().map(|connection| connection.waiting.len()).sum();
    let mut report = Report::new("rate");
    report.add("connections", Value::Integer(options.connections as u64));
    report.add("rate", Value::Integer(options.rate as u64));
    exchange.report(&mut report);
    if let Some((taken, answered, _)) = taken {
        taken.report(&mut report, "messages", answered);
    }
    report.add("unanswered", Value::Integer(unanswered as u64));
    latency.report(&mut report);
    Ok(report)
}

/// When each message is due, without an error that adds up.
struct Schedule {
    start: Instant,
    rate: usize,
}

impl Schedule {
    fn due(&self, message: usize) -> Instant {
        let nanos = message as u128 * 1_000_000_000 / self.rate as u128;
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_took_until_it_arrived() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let waiting = Waiting { due: Instant::now(), begun: at(10), sent: at(20) };
        let taken = |arrival: Option<u64>| waiting.taken(arrival.map(at), at(100)).as_millis();
        assert_eq!(taken(Some(22)), 2);
        assert_eq!(taken(Some(20)), 0);
        assert_eq!(taken(Some(19)), 9, "it was there before the call that sends had returned");
        assert_eq!(taken(Some(9)), 80, "that was one before it");
        assert_eq!(taken(None), 80);
    }

    #[test]
    fn messages_are_due_at_even_steps() {
        let start = Instant::now();
        let schedule = Schedule { start, rate: 3 };
        assert_eq!(schedule.due(0), start);
        assert_eq!(schedule.due(1), start + Duration::from_nanos(333_333_333));
        assert_eq!(schedule.due(3_000_000), start + Duration::from_secs(1_000_000));
    }
}
