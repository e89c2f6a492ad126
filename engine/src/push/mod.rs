//! Pushes from other processes: the option `push_listen`.
//!
//! A web page, a cron job or a program in any language that has a client for Redis says `PUBLISH channel payload` and
//! reaches this server's connections, without any Redis. What is said on the wire is in `resp.rs` (RESP2, of which we
//! answer PING, AUTH, PUBLISH and QUIT), what channels and payloads mean in `crate::envelope`. A thread of its own does the
//! work (`service.rs`) and publishes as any thread of the host would.

mod resp;
mod service;

use crate::config::Settings;
use crate::error::Error;
use crate::link::Shared;
use crate::listen::{self, Listener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

#[cfg(fuzzing)]
pub(crate) use self::resp::all as commands;

/// The thread that answers those who push.
pub(crate) struct Push {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    addresses: Vec<String>,
}

impl Push {
    /// Listens where the options say.
    pub(crate) fn listen(settings: &Settings) -> Result<Vec<Listener>, Error> {
        if settings.push_password.is_none()
            && let Some(open) = settings.push_listen.iter().find(|listen| !listen.is_unix())
        {
            return Err(Error::Config(format!(
                "option \"push_listen\": {open} needs the option \"push_password\", for anybody may connect to a port"
            )));
        }
        listen::open(&settings.push_listen)
    }

    /// Starts to answer; None: nobody is listened for.
    pub(crate) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>) -> Result<Option<Push>, Error> {
        if listeners.is_empty() {
            return Ok(None);
        }
        let addresses = listeners.iter().map(Listener::address).collect();
        let (stop, stopped) = watch::channel(false);
        let thread = service::start(shared.clone(), listeners, stopped)
            .map_err(|source| Error::Io { what: "cannot start the thread for pushes", source })?;
        Ok(Some(Push { stop, thread: Some(thread), addresses }))
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Its ports are free soon, and nothing more is pushed.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for its end. Only in the server's own process.
    pub(crate) fn end(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
