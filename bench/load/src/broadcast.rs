//! One connection sends, the server passes it to all: deliveries per second, and the time until the last
//! receiver has a message. At most `window` broadcasts are under way.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::cli::Broadcast;
use crate::client::{BUFFER_BYTES, Client};
use crate::exchange::Exchange;
use crate::histogram::Histogram;
use crate::meter::{Meter, Tick};
use crate::report::{Report, Value};
use crate::sys::Epoll;
use crate::target::Target;

pub(crate) fn run(options: &Broadcast, pid: Option<u32>) -> io::Result<Report> {
    let exchange = Exchange::new(&options.message, options.window)?;
    let target = Target::new(&options.server, options.message.compression())?;
    let mut epoll = Epoll::new()?;
    let mut receivers = Vec::with_capacity(options.receivers);
    for index in 0..options.receivers {
        let client = Client::open(&target, &exchange)?;
        epoll.add(client.socket(), index)?;
        receivers.push(Receiver { client, received: 0 });
    }

    let mut buffer = vec![0; BUFFER_BYTES];
    let mut ready = Vec::new();
    let mut deliveries = 0;
    let mut latency = Histogram::new();
    let mut window = Window::new(options.window, options.receivers);
    let mut meter = Meter::start(options.seconds, pid)?;
    loop {
        let now = Instant::now();
        match meter.tick(now) {
            Tick::Continue => {}
            Tick::Begin => (deliveries, latency) = (0, Histogram::new()),
            Tick::End => break,
        }
        let free = window.fill(now);
        if free > 0 {
            receivers[0].client.queue(free, &exchange);
            receivers[0].client.flush(&exchange)?;
        }
        epoll.wait(&mut ready, Duration::from_millis(100))?;
        for &index in &ready {
            let receiver = &mut receivers[index];
            receiver.client.flush(&exchange)?;
            for _ in 0..receiver.client.receive(&mut buffer, &exchange)? {
                window
                    .delivered(receiver.received)
                    .ok_or_else(|| io::Error::other("more deliveries than broadcasts"))?;
                receiver.received += 1;
                deliveries += 1;
            }
        }
        while let Some(sent_at) = window.take_finished() {
            latency.record(sent_at.elapsed());
        }
    }

    let mut report = Report::new("broadcast");
    report.add("receivers", Value::Integer(options.receivers as u64));
    report.add("window", Value::Integer(options.window as u64));
    exchange.report(&mut report);
    meter.finish().report(&mut report, "deliveries", deliveries);
    latency.report(&mut report);
    Ok(report)
}

struct Receiver {
    client: Client,
    /// Broadcasts it has, which is the number of the next one.
    received: u64,
}

/// The broadcasts under way, the oldest first.
struct Window {
    size: usize,
    receivers: usize,
    /// The number of the oldest one.
    first: u64,
    under_way: VecDeque<UnderWay>,
}

struct UnderWay {
    sent_at: Instant,
    /// Receivers that do not have it yet.
    missing: usize,
}

impl Window {
    fn new(size: usize, receivers: usize) -> Self {
        Self { size, receivers, first: 0, under_way: VecDeque::with_capacity(size) }
    }

    /// Notes as many new broadcasts as the window has room for; returns how many.
    fn fill(&mut self, now: Instant) -> usize {
        let free = self.size - self.under_way.len();
        let new = UnderWay { sent_at: now, missing: self.receivers };
        self.under_way.extend((0..free).map(|_| UnderWay { ..new }));
        free
    }

    /// One receiver has this broadcast; nothing if there is none of this number.
    fn delivered(&mut self, number: u64) -> Option<()> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let under_way = self.under_way.get_mut(index)?;
        under_way.missing = under_way.missing.checked_sub(1)?;
        Some(())
    }

    /// Removes the oldest broadcast if every receiver has it; returns when it was sent.
    fn take_finished(&mut self) -> Option<Instant> {
        let oldest = self.under_way.front().filter(|oldest| oldest.missing == 0)?;
        let sent_at = oldest.sent_at;
        self.under_way.pop_front();
        self.first += 1;
        Some(sent_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_is_finished_when_the_last_receiver_has_it() {
        let now = Instant::now();
        let mut window = Window::new(2, 3);
        assert_eq!(window.fill(now), 2);
        assert_eq!(window.fill(now), 0);
        for number in [0, 0, 1, 1, 1] {
            assert_eq!(window.delivered(number), Some(()));
        }
        assert_eq!(window.take_finished(), None);
        assert_eq!(window.delivered(0), Some(()));
        assert_eq!(window.take_finished(), Some(now));
        assert_eq!(window.take_finished(), Some(now));
        assert_eq!(window.take_finished(), None);
        assert_eq!(window.fill(now), 2);
        assert_eq!(window.delivered(2), Some(()));
    }

    #[test]
    fn a_delivery_too_many_is_noticed() {
        let mut window = Window::new(1, 1);
        assert_eq!(window.delivered(0), None);
        window.fill(Instant::now());
        assert_eq!(window.delivered(1), None);
        assert_eq!(window.delivered(0), Some(()));
        assert_eq!(window.delivered(0), None);
    }
}
