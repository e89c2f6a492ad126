//! The cost of a handshake: connect, upgrade, abort, again, with a fixed number under way.

use std::io;
use std::time::{Duration, Instant};

use crate::cli::Handshakes;
use crate::deflate::Compression;
use crate::handshake::{Opening, Progress};
use crate::histogram::Histogram;
use crate::meter::{Meter, Tick};
use crate::report::{Report, Value};
use crate::sys::{self, Epoll};
use crate::target::Target;

struct UnderWay {
    opening: Opening,
    started_at: Instant,
}

pub(crate) fn run(options: &Handshakes, pid: Option<u32>) -> io::Result<Report> {
    let target = Target::new(&options.server, Compression::Off)?;
    let mut epoll = Epoll::new()?;
    let mut meter = Meter::start(options.seconds, pid)?;
    let mut under_way = Vec::with_capacity(options.concurrency);
    for index in 0..options.concurrency {
        under_way.push(start(&target, &epoll, index)?);
    }
    let mut ready = Vec::new();
    let mut handshakes = 0;
    let mut latency = Histogram::new();
    loop {
        match meter.tick(Instant::now()) {
            Tick::Continue => {}
            Tick::Begin => (handshakes, latency) = (0, Histogram::new()),
            Tick::End => break,
        }
        epoll.wait(&mut ready, Duration::from_millis(100))?;
        for &index in &ready {
            if let Progress::Open(_) = under_way[index].opening.advance()? {
                latency.record(under_way[index].started_at.elapsed());
                handshakes += 1;
                // Closing the old socket takes it out of the epoll set.
                under_way[index] = start(&target, &epoll, index)?;
            }
        }
    }

    let mut report = Report::new("handshakes");
    report.add("concurrency", Value::Integer(options.concurrency as u64));
    meter.finish().report(&mut report, "handshakes", handshakes);
    latency.report(&mut report);
    Ok(report)
}

fn start(target: &Target, epoll: &Epoll, index: usize) -> io::Result<UnderWay> {
    let started_at = Instant::now();
    let opening = Opening::start(target)?;
    sys::reset_on_close(opening.stream.socket())?;
    epoll.add(opening.stream.socket(), index)?;
    Ok(UnderWay { opening, started_at })
}
