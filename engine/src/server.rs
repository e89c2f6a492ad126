//! The host's side: the handle of a running server.

use crate::backplane::{self, Backplane};
use crate::children::{Children, Request};
use crate::config::Config;
use crate::error::{Error, SendError};
use crate::event::ConnId;
use crate::io_thread;
use crate::link::Shared;
use crate::listen::{self, Listener};
use crate::log;
use crate::mailbox::Stop;
use crate::notice::Person;
use crate::orders::check_topic;
use crate::poller::{PollState, Poller};
use crate::presence;
use crate::push::Push;
use crate::stats::Stats;
use crate::sys::{self, fork};
use crate::systemd;
use crate::threads;
use crate::tls::Tls;
use crate::undecided::{Decision, decision};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, TryLockError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use wsengine_proto::{Kind, close};

/// A running server.
///
/// Every method may be called from any thread at any time; none waits for a socket. Dropping it cuts all
/// connections and waits for the threads to end, which takes milliseconds.
///
/// A forked child has none of its threads. There [`Server::send`], [`Server::broadcast`], [`Server::publish`],
/// [`Server::subscribe`], [`Server::unsubscribe`], [`Server::members`], [`Server::close`] and [`Server::is_open`] travel to the process
/// that has it, if that has called [`Server::serve_children`] before; they take as long as it takes to answer. Nothing
/// else may be called there but [`Server::addresses`], [`Server::port`],
/// [`Server::process`] and [`Server::is_in_child`]; dropping it does nothing.
pub struct Server {
    pub(crate) shared: Arc<Shared>,
    addresses: Vec<String>,
    port: u16,
    threads: Vec<JoinHandle<()>>,
    poll: Mutex<PollState>,
    children: Option<Children>,
    push: Option<Push>,
    backplane: Option<backplane::Service>,
    presence: Option<presence::Service>,
    process: u32,
    /// Of the process that started it.
    generation: u32,
}

impl Server {
    /// Starts a server on threads of its own and returns when it listens. On failure nothing is left running.
    ///
    /// The threads block all signals. The limit of open files of this process is raised as far as it may go.
    ///
    /// # Errors
    /// [`Error::Config`] when options do not go together or a file of theirs cannot be used, [`Error::Bind`] when an address cannot be had, [`Error::Io`] when the system refuses threads or descriptors.
    pub fn start(config: &Config) -> Result<Server, Error> {
        let settings = config.settings.clone();
        log::set_level(settings.log_level);
        let open_files = sys::raise_open_files();
        let tls = Tls::load(&settings)?;
        if let Some(listen) = settings.listen.iter().find(|listen| listen.tls && tls.is_none()) {
            return Err(Error::Config(format!(
                "option \"listen\": {listen} needs the options \"tls_cert\" and \"tls_key\""
            )));
        }
        if tls.is_some() && settings.listen.iter().all(|listen| !listen.tls) {
            tracing::warn!(
                "tls_cert and tls_key are set, but no listener speaks TLS: it takes tls:// or ?tls"
            );
        }
        fork::watch();
        let listeners = listen::open(&settings.listen)?;
        let push_listeners = Push::listen(&settings)?;
        let port = listeners.iter().find_map(Listener::socket_address).map_or(0, |address| address.port());
        let io = |what| move |source| Error::Io { what, source };
        let shared = Shared::new(settings, tls, open_files).map_err(io("cannot make an event descriptor"))?;
        let mut server = Server {
            shared: Arc::new(shared),
            addresses: listeners.iter().map(Listener::address).collect(),
            port,
            threads: Vec::new(),
            poll: Mutex::default(),
            children: None,
            push: None,
            backplane: None,
            presence: None,
            process: std::process::id(),
            generation: fork::generation(),
        };
        let mut listeners = Some(listeners);
        for thread in 0..server.shared.links.len() {
            let listeners = listeners.take().unwrap_or_default();
            let started = server.start_thread(thread, listeners);
            if let Err(source) = started {
                // Threads that were not started count as ended, so that dropping the server does not wait for them.
                let missing = server.shared.links.len() - server.threads.len();
                server.shared.running.fetch_sub(missing, Ordering::SeqCst);
                return Err(Error::Io { what: "cannot start an I/O thread", source });
            }
        }
        server.push = Push::start(&server.shared, push_listeners)?;
        server.backplane = backplane::Service::start(&server.shared)
            .map_err(io("cannot start the thread of the backplane"))?;
        server.presence = presence::Service::start(&server.shared)
            .map_err(io("cannot start the thread of the presence"))?;
        tracing::info!(addresses = ?server.addresses, push = ?server.push_addresses(), io_threads = server.threads.len(), "listening");
        server.shared.tell_systemd(systemd::READY);
        Ok(server)
    }

    fn start_thread(&mut self, thread: usize, listeners: Vec<Listener>) -> std::io::Result<()> {
        threads::memory_for_one()?;
        let (ready, started) = mpsc::channel();
        let shared = self.shared.clone();
        let run =
            move || io_thread::run(shared, thread, listeners, |result| ready.send(result).unwrap_or(()));
        let builder = std::thread::Builder::new().name(format!("wsengine-io-{thread}"));
        let handle = sys::with_signals_blocked(|| builder.spawn(run))?;
        match started.recv() {
            Ok(Ok(())) => {
                self.threads.push(handle);
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(std::io::Error::other("the thread ended at its start")),
        }
    }

    /// The addresses it listens on, ports as they really are, such as `127.0.0.1:8080`, `tls://[::1]:8443` or
    /// `unix:/run/chat.sock`.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where other processes publish, see the option `push_listen`: `unix:/run/push.sock` or `127.0.0.1:6380`, say.
    pub fn push_addresses(&self) -> &[String] {
        self.push.as_ref().map_or(&[], Push::addresses)
    }

    /// The port of the first address of TCP, 0 without one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Reads the files of the options `tls_cert` and `tls_key` again, for connections from now on; those that are
    /// there keep what they have.
    ///
    /// # Errors
    /// [`Error::Config`] says what is wrong with the files, or that there is no TLS; nothing has changed then.
    pub fn tls_reload(&self) -> Result<(), Error> {
        let none =
            || Error::Config("there is no TLS to reload: \"tls_cert\" and \"tls_key\" are not set".into());
        self.shared.tls.as_ref().ok_or_else(none)?.reload()
    }

    // ---- forked children ----

    /// From now on forked children of this process reach the server, by a thread more.
    ///
    /// # Errors
    /// [`Error::Io`] when the system refuses a thread or descriptors.
    pub fn serve_children(&mut self) -> Result<(), Error> {
        let io = |source| Error::Io { what: "cannot serve forked children", source };
        self.children = Some(Children::serve(self.shared.clone()).map_err(io)?);
        Ok(())
    }

    /// Is this a forked child of the process that has the server?
    #[inline]
    pub fn is_in_child(&self) -> bool {
        self.generation != fork::generation()
    }

    /// The process that has the server.
    pub fn process(&self) -> u32 {
        self.process
    }

    #[cold]
    fn ask_parent(&self, request: &Request<'_>) -> Result<u64, SendError> {
        self.children.as_ref().ok_or(SendError::NoServer)?.parent.ask(request)
    }

    // ---- sending ----

    /// Queues a message for one connection; `data` is copied. Messages of one thread to one connection keep their
    /// order.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was queued then.
    #[inline]
    pub fn send(&self, conn: ConnId, kind: Kind, data: &[u8]) -> Result<(), SendError> {
        self.shared.check(kind, data)?;
        if self.is_in_child() {
            return self.ask_parent(&Request::Send { conn, kind, data }).map(drop);
        }
        self.shared.send(conn, kind, data)
    }

    /// Queues a message for every open connection but those of `except`, and says for how many. It costs the same
    /// however many there are. What happens to connections that read too slowly says the option `slow_consumer`.
    ///
    /// # Errors
    /// [`SendError::TooBig`], [`SendError::NotUtf8`], [`SendError::Stopped`].
    pub fn broadcast(&self, kind: Kind, data: &[u8], except: &[ConnId]) -> Result<usize, SendError> {
        self.shared.check(kind, data)?;
        if self.is_in_child() {
            return self.ask_parent(&Request::Broadcast { kind, data, except }).map(count);
        }
        self.shared.broadcast(kind, data, except)
    }

    // ---- topics ----

    /// Makes a connection a member of a topic, until it is unsubscribed or open no more. False: it was one
    /// before. A topic's name has 1 to 256 bytes; the topic is there as long as it has members.
    ///
    /// # Errors
    /// [`SendError::BadTopic`], [`SendError::Gone`], [`SendError::Stopped`].
    pub fn subscribe(&self, conn: ConnId, topic: &str) -> Result<bool, SendError> {
        check_topic(topic)?;
        if self.is_in_child() {
            let request = Request::Subscribe { conn, topic, since: None, label: None };
            return self.ask_parent(&request).map(|new| new == 1);
        }
        self.shared.subscribe(conn, topic)
    }

    /// The same for a topic that tells its members more.
    ///
    /// With `since` the client first gets what it has missed of a topic with history: `since` is the position that it was
    /// told last, or empty if it knows none yet and wants all there is. The engine tells it how things stand, and then the
    /// messages, in their order and each once. What means nothing is a gap, no error: clients say it.
    ///
    /// With a `label` it is shown to all on a topic with presence, until it is a member no more, and hears who is there; with
    /// an empty one it hears that unseen. A second call gives it another label.
    ///
    /// With a backplane it becomes a member when Redis has said what it has missed; then True only says that this is
    /// under way.
    ///
    /// # Errors
    /// Those of [`Server::subscribe`]; [`SendError::NoHistory`], [`SendError::NoPresence`], [`SendError::BadLabel`];
    /// [`SendError::QueueFull`] for another label when the list of those who are there cannot be queued.
    pub fn subscribe_with(
        &self,
        conn: ConnId,
        topic: &str,
        since: Option<&str>,
        label: Option<&str>,
    ) -> Result<bool, SendError> {
        self.shared.check_subscription(topic, since, label)?;
        if self.is_in_child() {
            let request = Request::Subscribe { conn, topic, since, label };
            return self.ask_parent(&request).map(|new| new == 1);
        }
        self.shared.subscribe_with(conn, topic, since, label)
    }

    /// Who is shown on a topic, in no order. With a backplane that is all nodes' people as long as the topic has members
    /// here or its whole name stands in the option `presence`, and this node's alone otherwise.
    ///
    /// # Errors
    /// [`SendError::BadTopic`], [`SendError::NoPresence`], [`SendError::InChild`].
    pub fn presence(&self, topic: &str) -> Result<Vec<Person<'static>>, SendError> {
        self.shared.check_subscription(topic, None, Some(""))?;
        if self.is_in_child() {
            return Err(SendError::InChild);
        }
        Ok(self.shared.presence.of(topic))
    }

    /// Ends a membership. False: there was none.
    ///
    /// # Errors
    /// As for [`Server::subscribe`].
    pub fn unsubscribe(&self, conn: ConnId, topic: &str) -> Result<bool, SendError> {
        check_topic(topic)?;
        if self.is_in_child() {
            return self.ask_parent(&Request::Unsubscribe { conn, topic }).map(|was| was == 1);
        }
        self.shared.unsubscribe(conn, topic)
    }

    /// Queues a message for those who are members of a topic now, but not for those of `except`, and says for
    /// how many. It costs the caller the same however many members there are. It keeps its place among what
    /// this thread sends and broadcasts; a member whose queue is full is treated as by [`Server::broadcast`].
    ///
    /// # Errors
    /// [`SendError::BadTopic`], and those of [`Server::broadcast`].
    pub fn publish(
        &self,
        kind: Kind,
        topic: &str,
        data: &[u8],
        except: &[ConnId],
    ) -> Result<usize, SendError> {
        check_topic(topic)?;
        self.shared.check(kind, data)?;
        if self.is_in_child() {
            return self.ask_parent(&Request::Publish { kind, topic, data, except }).map(count);
        }
        self.shared.publish(kind, topic, data, except)
    }

    /// How many connections a topic has as its members; with a backplane those of this node.
    ///
    /// # Errors
    /// [`SendError::BadTopic`], [`SendError::Stopped`].
    pub fn members(&self, topic: &str) -> Result<usize, SendError> {
        check_topic(topic)?;
        if self.is_in_child() {
            return self.ask_parent(&Request::Members { topic }).map(count);
        }
        self.shared.members(topic)
    }

    // ---- closing ----

    /// Starts the closing handshake of a connection after what is queued for it. Its close event follows.
    ///
    /// `code` is 1000 to 1003, 1007 to 1014 or 3000 to 4999, `reason` at most 123 bytes (RFC 6455, section 7.4).
    ///
    /// # Errors
    /// [`SendError::BadClose`] for another code or a longer reason, [`SendError::Gone`].
    pub fn close(&self, conn: ConnId, code: u16, reason: &str) -> Result<(), SendError> {
        if !close::is_sendable(code) {
            return Err(SendError::BadClose(format!(
                "close code {code} must not be sent; allowed are 1000 to 1003, 1007 to 1014 and 3000 to 4999"
            )));
        }
        if reason.len() > close::MAX_REASON_BYTES {
            return Err(SendError::BadClose(format!(
                "a close reason of {} bytes is too long; allowed are {}",
                reason.len(),
                close::MAX_REASON_BYTES
            )));
        }
        if self.is_in_child() {
            return self.ask_parent(&Request::Close { conn, code, reason }).map(drop);
        }
        self.shared.close(conn, code, reason)
    }

    /// Cuts a connection at once, without a closing handshake, also one that is closing. Its close event follows; the
    /// code is 1006, or the one of a close frame that was sent before.
    ///
    /// # Errors
    /// [`SendError::Gone`].
    pub fn abort(&self, conn: ConnId) -> Result<(), SendError> {
        self.shared.mailbox(conn)?.abort(conn)
    }

    // ---- handshakes ----

    /// Lets a client in that a [`EventBody::Handshake`](crate::EventBody::Handshake) asks for. Its open event follows unless it has left meanwhile,
    /// and from then on it can be sent to. `subprotocol` is one that the client offers; without it the option `subprotocols` chooses. `headers`
    /// go into the answer, such as a cookie.
    ///
    /// # Errors
    /// [`SendError::Gone`] when it was decided before or the time is over;
    /// [`SendError::Stopped`];
    /// [`SendError::BadDecision`] for a subprotocol that was not offered, or a header that cannot be sent.
    pub fn accept(
        &self,
        conn: ConnId,
        subprotocol: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<(), SendError> {
        let headers = decision::headers(headers)?;
        let subprotocol = subprotocol.map(str::to_owned);
        self.shared.mailbox(conn)?.decide(conn, Decision::Accept { subprotocol, headers })
    }

    /// Turns such a client away: with a status of 300 to 599, a text, and headers such as WWW-Authenticate, by which
    /// it can be asked for its credentials.
    ///
    /// # Errors
    /// As for [`Server::accept`].
    pub fn reject(
        &self,
        conn: ConnId,
        status: u16,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), SendError> {
        let status = decision::status(status)?;
        let headers = decision::headers(headers)?;
        self.shared.mailbox(conn)?.decide(conn, Decision::Reject { status, body: body.to_owned(), headers })
    }

    // ---- how things stand ----

    /// Can messages be sent to it? False from the call that closes it, or from the end that its peer made.
    pub fn is_open(&self, conn: ConnId) -> bool {
        if self.is_in_child() {
            return self.ask_parent(&Request::IsOpen { conn }).is_ok_and(|open| open == 1);
        }
        self.shared.is_open(conn)
    }

    /// Bytes on the wire that wait to be sent to it.
    ///
    /// # Errors
    /// [`SendError::Gone`].
    pub fn buffered(&self, conn: ConnId) -> Result<usize, SendError> {
        self.shared.mailbox(conn)?.waiting(conn).map(|waiting| waiting.bytes).ok_or(SendError::Gone)
    }

    /// The open connections, in no order.
    pub fn connections(&self) -> Vec<ConnId> {
        let mut connections = Vec::new();
        for link in &self.shared.links {
            link.mailbox.connections(&mut connections);
        }
        connections
    }

    /// Counters since the start. While another thread polls, all events of the batch in its hands are counted as
    /// pending.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for link in &self.shared.links {
            stats.add(&link.counters);
            stats.connections += link.mailbox.open_count() as u64;
            stats.subscriptions += link.mailbox.subscriptions() as u64;
            stats.events_pending += link.inbox.lock().len() as u64;
        }
        stats.events_pending += self.shared.held_events.load(Ordering::Relaxed) as u64;
        stats.handshakes = self.shared.handshakes.load(Ordering::Relaxed) as u64;
        [stats.backplane_sent, stats.backplane_received, stats.backplane_ignored] =
            self.shared.backplane.as_ref().map(Backplane::counts).unwrap_or_default();
        stats.history_bytes = self.shared.history.bytes() as u64;
        stats.queued_bytes = self.shared.queued_bytes.load(Ordering::Relaxed) as u64;
        stats
    }

    // ---- events ----

    /// The right to poll; None while another thread has it.
    pub fn poller(&self) -> Option<Poller<'_>> {
        let state = match self.poll.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Poller::new(&self.shared, state))
    }

    /// A descriptor that is readable while events wait, and when the server has stopped, for poll, epoll and the loops
    /// built on them. It belongs to the server: only wait on it, never read, write or close it.
    pub fn event_fd(&self) -> RawFd {
        self.shared.wake.export();
        self.shared.wake.event().as_raw_fd()
    }

    /// Makes the current, or else the next, [`Poller::wait`] return [`Wait::Woken`](crate::Wait::Woken). Async-signal-safe.
    pub fn wakeup(&self) {
        self.shared.wake.interrupt();
    }

    // ---- the end ----

    /// Begins the stop and returns at once: the ports are free, handshakes under way come to their end if they do so in
    /// a quarter of a second, every connection gets close code 1001 after what is queued for it, and what is left after `drain` (None: the option `drain_ms`) is cut. Events go on until
    /// [`EventBody::Stopped`](crate::EventBody::Stopped). A second call may shorten the wait.
    pub fn stop(&self, drain: Option<Duration>) {
        self.stop_with(close::code::GOING_AWAY, drain);
    }

    /// The same with another close code for the connections, such as 1011 when the host has failed. A code that
    /// must not be sent becomes 1001.
    pub fn stop_with(&self, code: u16, drain: Option<Duration>) {
        let code = if close::is_sendable(code) { code } else { close::code::GOING_AWAY };
        self.shared.tell_systemd(systemd::STOPPING);
        if let Some(push) = &self.push {
            push.stop();
        }
        let stop = Stop { code, drain: drain.unwrap_or(self.shared.settings.drain) };
        if let Some(backplane) = &self.backplane {
            let waits = self.shared.backplane.as_ref().is_some_and(|shared| shared.stop(stop));
            backplane.stop();
            if waits {
                return;
            }
        }
        for link in &self.shared.links {
            link.mailbox.stop(stop);
        }
    }

    /// Has the server stopped, all its threads ended?
    pub fn is_stopped(&self) -> bool {
        self.shared.running.load(Ordering::SeqCst) == 0
    }
}

/// What a parent has answered.
fn count(reached: u64) -> usize {
    usize::try_from(reached).unwrap_or(usize::MAX)
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_in_child() {
            std::mem::forget(std::mem::take(&mut self.threads));
            // What the threads have left in their mailboxes is not this process's to close.
            std::mem::forget(self.shared.clone());
            if let Some(children) = &mut self.children {
                children.forget();
            }
            // Their threads are not there, and may have held locks.
            std::mem::forget(self.push.take());
            std::mem::forget(self.backplane.take());
            std::mem::forget(self.presence.take());
            return;
        }
        if let Some(push) = &mut self.push {
            push.end();
        }
        if let Some(backplane) = &mut self.backplane {
            backplane.end();
        }
        if let Some(presence) = &mut self.presence {
            presence.end();
        }
        if let Some(children) = &mut self.children {
            children.end();
        }
        if !self.is_stopped() {
            self.stop(Some(Duration::ZERO));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
