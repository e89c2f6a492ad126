//! The measured stretch of a run: a warm-up, then the time asked for, with the CPU time of both sides.

use std::io;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::report::{Report, Value};
use crate::sys;

/// Caches, allocators and TCP windows have settled after this long, or a quarter of a short run.
const WARM_UP: Duration = Duration::from_millis(500);

pub(crate) struct Meter {
    server: Option<Process>,
    begins: Instant,
    ends: Instant,
    begun: Option<Reading>,
}

/// What [`Meter::tick`] wants done.
pub(crate) enum Tick {
    Continue,
    /// The warm-up is over: forget what was counted.
    Begin,
    End,
}

struct Reading {
    at: Instant,
    server_cpu: Duration,
    own_cpu: Duration,
}

/// What a measured stretch took.
pub(crate) struct Taken {
    pub(crate) time: Duration,
    own_cpu: Duration,
    server_cpu: Option<Duration>,
}

impl Meter {
    pub(crate) fn start(measured: Duration, pid: Option<u32>) -> io::Result<Self> {
        let begins = Instant::now() + WARM_UP.min(measured / 4);
        let server = pid.map(Process::new).transpose()?;
        Ok(Self { server, begins, ends: begins + measured, begun: None })
    }

    /// To be called in every turn of the loop with the time.
    pub(crate) fn tick(&mut self, now: Instant) -> Tick {
        if self.begun.is_none() && now >= self.begins {
            self.begun = Some(self.read());
            return Tick::Begin;
        }
        if now >= self.ends { Tick::End } else { Tick::Continue }
    }

    pub(crate) fn finish(&self) -> Taken {
        let end = self.read();
        let begun = self.begun.as_ref().unwrap_or(&end);
        Taken {
            time: end.at - begun.at,
            own_cpu: end.own_cpu.saturating_sub(begun.own_cpu),
            server_cpu: self.server.map(|_| end.server_cpu.saturating_sub(begun.server_cpu)),
        }
    }

    fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            server_cpu: self.server.map(Process::cpu_time).unwrap_or_default(),
            own_cpu: sys::own_cpu_time(),
        }
    }
}

impl Taken {
    /// Adds the rate of `what`, and what each cost the server and how busy both sides were.
    pub(crate) fn report(&self, report: &mut Report, what: &'static str, count: u64) {
        let seconds = self.time.as_secs_f64();
        report.add(what, Value::Integer(count));
        report.add("per_second", Value::Decimal(count as f64 / seconds, 0));
        if let Some(cpu) = self.server_cpu {
            let each = if count == 0 { 0.0 } else { cpu.as_secs_f64() * 1e6 / count as f64 };
            report.add("server_cpu_us_each", Value::Decimal(each, 3));
            report.add("server_cores", Value::Decimal(cpu.as_secs_f64() / seconds, 2));
        }
        report.add("client_cores", Value::Decimal(self.own_cpu.as_secs_f64() / seconds, 2));
    }
}
