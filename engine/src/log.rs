//! Logs: the engine speaks through `tracing`, this brings its lines to a host that has no subscriber of its own.
//!
//! There is one level and one sink for the process. A Rust program that has set a subscriber keeps it.

use crate::sys::fork;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Once, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// Takes one line, without a line end. It may be called from any thread, must return soon and must not call into
/// the engine.
pub type Sink = Box<dyn Fn(Level, &str) + Send + Sync>;

static FIRST: Log = Log::new();
static INSTALL: Once = Once::new();

/// Level and sink of one process. A forked child has its own: a thread of its parent may have been logging when it was
/// forked, and that lock is never let go.
struct Log {
    /// An index into [`LEVELS`]. Beside the lock, so that nobody who sets it waits for a sink.
    level: AtomicUsize,
    has_sink: AtomicBool,
    sink: RwLock<Option<Sink>>,
    of_child: OnceLock<Box<Log>>,
}

/// What [`LevelFilter`] does not say in numbers.
const LEVELS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];
const WARN: usize = 2;

impl Log {
    const fn new() -> Self {
        Log {
            level: AtomicUsize::new(WARN),
            has_sink: AtomicBool::new(false),
            sink: RwLock::new(None),
            of_child: OnceLock::new(),
        }
    }

    fn of_this_process() -> &'static Log {
        (0..fork::generation()).fold(&FIRST, |log, _| log.of_child.get_or_init(|| Box::new(Log::new())))
    }

    /// How much is logged; nothing where nobody listens.
    fn level() -> LevelFilter {
        let log = Log::of_this_process();
        let level = LEVELS.get(log.level.load(Ordering::Relaxed)).copied();
        level.filter(|_| log.has_sink.load(Ordering::Relaxed)).unwrap_or(LevelFilter::OFF)
    }

    fn sink() -> RwLockReadGuard<'static, Option<Sink>> {
        Log::of_this_process().sink.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the lines of the engine to `sink`; None silences it, which is how it begins.
pub fn set_sink(sink: Option<Sink>) {
    INSTALL.call_once(|| {
        // An error means that the program has a subscriber of its own.
        let _ = tracing::subscriber::set_global_default(Lines);
    });
    let log = Log::of_this_process();
    log.has_sink.store(sink.is_some(), Ordering::Relaxed);
    *log.sink.write().unwrap_or_else(PoisonError::into_inner) = sink;
    tracing::callsite::rebuild_interest_cache();
}

/// Sets how much is logged: the option `log_level` of the server that was started last, or what the host says.
pub fn set_level(level: LevelFilter) {
    let index = LEVELS.iter().position(|known| *known == level).unwrap_or(WARN);
    Log::of_this_process().level.store(index, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Runs `quick` while no thread forks: for sinks that call what takes a lock of the C library, such as localtime_r(3). A
/// child that is forked meanwhile would find that lock taken for ever.
pub fn between_forks<T>(quick: impl FnOnce() -> T) -> T {
    let _gate = fork::gate();
    quick()
}

/// The lines of this crate, as a subscriber.
struct Lines;

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Changing level or sink rebuilds what is cached here.
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span() && metadata.target().starts_with("wsengine") && *metadata.level() <= Log::level()
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        if let Some(sink) = &*Log::sink() {
            sink(*event.metadata().level(), &line.0);
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(Log::level())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message first, then `name=value` for each field. What a peer sent is shown with escapes, so that it cannot
/// forge a line.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => {
                let fields = std::mem::take(&mut self.0);
                write!(self.0, "{value:?}{fields}")
            }
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn lines_reach_the_sink_up_to_the_level() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        set_sink(Some(Box::new(move |level, line| {
            // Other tests of this process log as well.
            if line.contains("of the log test") {
                sink.lock().unwrap().push(format!("{level} {line}"));
            }
        })));
        set_level(LevelFilter::INFO);
        tracing::info!(peer = "a\nb", count = 3, "line of the log test");
        tracing::debug!("hidden line of the log test");
        set_sink(None);
        tracing::error!("silenced line of the log test");
        assert_eq!(*lines.lock().unwrap(), ["INFO line of the log test peer=\"a\\nb\" count=3"]);
    }
}
