//! A forked child has the memory of its parent but none of its threads. What it sends travels to the parent's server,
//! which the engine sees to; here is what it cannot do, and that it is no concern of our signal handlers.

use crate::args::Args;
use crate::exception::Failure;
use crate::signal;
use std::sync::Once;
use wsengine::Server;

/// Gives every process that is forked from now on its own signals.
pub(crate) fn watch() {
    extern "C" fn in_child() {
        signal::forget();
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handler keeps to what is allowed in a child with threads in its parent: no locks, no allocation.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
}

/// A function was called that only the server's own process has.
#[cold]
pub(crate) fn not_in_child(args: &Args, server: &Server) -> Failure {
    Failure::Fork(format!(
        "{}(): the server runs in process {}, and this is its forked child {}, which can send, \
         publish, close and subscribe, or start a server of its own",
        args.function(),
        server.process(),
        std::process::id(),
    ))
}

/// The server that a forked child would reach has gone.
#[cold]
pub(crate) fn no_server(args: &Args) -> Failure {
    Failure::Fork(format!("{}(): the server of the parent process is gone", args.function()))
}
