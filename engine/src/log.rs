//! Logs: the engine speaks through `tracing`, this brings its lines to a host that has no subscriber of its own.
//!
//! There is one level and one sink for the process. A Rust program that has set a subscriber keeps it.

use crate::sys::fork;
use std::fmt::Write as _;
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
    state: RwLock<State>,
    of_child: OnceLock<Box<Log>>,
}

struct State {
    level: LevelFilter,
    sink: Option<Sink>,
}

impl Log {
    const fn new() -> Self {
        Log { state: RwLock::new(State { level: LevelFilter::WARN, sink: None }), of_child: OnceLock::new() }
    }

    fn of_this_process() -> &'static Log {
        (0..fork::generation()).fold(&FIRST, |log, _| log.of_child.get_or_init(|| Box::new(Log::new())))
    }

    fn read() -> RwLockReadGuard<'static, State> {
        Log::of_this_process().state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the lines of the engine to `sink`; None silences it, which is how it begins.
pub fn set_sink(sink: Option<Sink>) {
    INSTALL.call_once(|| {
        // An error means that the program has a subscriber of its own.
        let _ = tracing::subscriber::set_global_default(Lines);
    });
    change(|log| log.sink = sink);
}

/// Sets how much is logged: the option `log_level` of the server that was started last, or what the host says.
pub fn set_level(level: LevelFilter) {
    change(|log| log.level = level);
}

/// Runs `quick` while no thread forks: for sinks that call what takes a lock of the C library, such as localtime_r(3). A
/// child that is forked meanwhile would find that lock taken for ever.
pub fn between_forks<T>(quick: impl FnOnce() -> T) -> T {
    let _gate = fork::gate();
    quick()
}

fn change(change: impl FnOnce(&mut State)) {
    change(&mut Log::of_this_process().state.write().unwrap_or_else(PoisonError::into_inner));
    tracing::callsite::rebuild_interest_cache();
}

/// The lines of this crate, as a subscriber.
struct Lines;

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Changing level or sink rebuilds what is cached here.
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let log = Log::read();
        metadata.is_event()
            && metadata.target().starts_with("wsengine")
            && log.sink.is_some()
            && *metadata.level() <= log.level
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let log = Log::read();
        if let Some(sink) = &log.sink {
            sink(*event.metadata().level(), &line.0);
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(Log::read().level)
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
