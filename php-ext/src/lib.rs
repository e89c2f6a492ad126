//! The PHP face of wsengine: an extension that only converts, calls the engine and converts back.
//!
//! PHP calls in through `functions`; `server` keeps the one server of the process.
#![allow(missing_docs)] // What `php_module` makes has none, and nothing else here is public.

mod args;
mod event;
mod exception;
mod fork;
mod functions;
mod handshake;
mod ini;
mod log;
mod options;
mod server;
mod signal;
mod topics;
mod zend;

use ext_php_rs::builders::ModuleBuilder;
use ext_php_rs::zend::ModuleEntry;
use ext_php_rs::{info_table_end, info_table_header, info_table_row, info_table_start, php_module};

/// Describes the extension to PHP.
#[php_module]
#[php(startup = "startup")]
pub fn module(module: ModuleBuilder) -> ModuleBuilder {
    functions::add(module)
        .name("wsengine")
        .version(env!("CARGO_PKG_VERSION"))
        .shutdown_function(shutdown)
        .request_shutdown_function(request_shutdown)
        .info_function(info)
}

/// Once for the process.
fn startup(_kind: i32, module: i32) -> i32 {
    log::print_panics();
    ini::register(module);
    exception::register();
    event::register();
    zend::accept_array_or_string("ws_server_start", 0);
    0
}

/// Once, at the end of the process.
extern "C" fn shutdown(_kind: i32, module: i32) -> i32 {
    ini::unregister(module);
    0
}

/// At the end of the script, however it ended.
extern "C" fn request_shutdown(_kind: i32, _module: i32) -> i32 {
    // A panic has been printed, and there is nobody left to tell.
    let _ = std::panic::catch_unwind(server::end_of_script);
    0
}

/// For phpinfo() and `php --ri wsengine`.
extern "C" fn info(module: *mut ModuleEntry) {
    info_table_start!();
    info_table_header!("WebSocket server", "enabled");
    info_table_row!("Version", env!("CARGO_PKG_VERSION"));
    info_table_row!("Protocols", "RFC 6455 (version 13); by option version 8 and draft-76");
    info_table_row!("Compression", "permessage-deflate (RFC 7692)");
    info_table_row!("TLS", "1.2 and 1.3");
    info_table_row!("Listeners", "TCP, Unix sockets, inherited sockets; PROXY protocol 1 and 2");
    info_table_row!(
        "Interface",
        if server::may_run_here() { "fit for servers" } else { "not fit for servers" }
    );
    for (name, value) in server::state() {
        info_table_row!(name, value);
    }
    info_table_end!();
    ini::print(module);
}
