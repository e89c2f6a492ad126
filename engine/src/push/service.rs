//! The thread that answers those who push.

use super::resp::{self, Broken};
use crate::envelope::{self, Audience, MAX_HEAD_BYTES, Message};
use crate::link::Shared;
use crate::listen::Listener;
use crate::sockets::{self, Listening, Socket};
use crate::sys;
use crate::sys::fork::Kept;
use crate::throttle::Throttle;
use socket2::Socket as Unregistered;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, timeout, timeout_at};

/// Those who have yet to say the password have this part of the places for themselves, and when these are taken the oldest of
/// them has to go: those who say nothing keep nobody out who knows it.
const PART_OF_STRANGERS: usize = 9;
/// What a stranger may say besides the password; clients of Redis ask for this and that at their start.
const COMMANDS_OF_STRANGERS: u32 = 16;
/// Sockets in a row before others have their turn.
const ACCEPTED_PER_TURN: u32 = 16;
/// Who was told of an error has so long to read it.
const GOODBYE: Duration = Duration::from_secs(1);
/// A command that has begun is there after so long, and so is the password; an answer is taken in that time. Between
/// commands a client may be silent for as long as it likes, for many keep their connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// When accepting fails, for want of descriptors most likely, the next try comes after so long.
const PAUSE: Duration = Duration::from_millis(100);
/// What is read at once, and what a buffer keeps between commands.
const READ_BYTES: usize = 64 * 1024;
/// Commands of one client before the others have their turn, and bytes of answers before they are sent.
const COMMANDS_PER_TURN: usize = 64;
const ANSWER_BYTES: usize = 64 * 1024;
/// An envelope may have so much more than a message.
const ENVELOPE_BYTES: usize = 64 * 1024;
/// The longest command that somebody may send who has not said the password.
const STRANGERS_BYTES: usize = 4 * 1024;

/// What all clients share.
struct Service {
    shared: Arc<Shared>,
    /// For those who are known.
    places: Arc<Semaphore>,
    strangers: RefCell<Strangers>,
    refusals: RefCell<Throttle>,
}

/// Those who have yet to say the password, the oldest first, each with the task that serves it.
struct Strangers {
    most: usize,
    serial: u64,
    tasks: VecDeque<(u64, AbortHandle)>,
}

impl Strangers {
    /// The number of the next one.
    fn announce(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn is_full(&self) -> bool {
        self.tasks.len() >= self.most
    }

    /// True: another one had to go for it.
    fn add(&mut self, number: u64, task: AbortHandle) -> bool {
        let oldest = if self.is_full() { self.tasks.pop_front() } else { None };
        if let Some((_, oldest)) = &oldest {
            oldest.abort();
        }
        self.tasks.push_back((number, task));
        oldest.is_some()
    }

    /// It is none any more.
    fn remove(&mut self, number: u64) {
        self.tasks.retain(|(known, _)| *known != number);
    }
}

/// Starts the thread. It ends when `stopped` says so.
pub(super) fn start(
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    stopped: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let (ready, started) = mpsc::channel();
    let run = move || {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return ready.send(Err(error)).unwrap_or(()),
        };
        let opened = runtime.block_on(async { sockets::open() });
        let is_open = opened.is_ok();
        ready.send(opened).unwrap_or(());
        if is_open {
            runtime.block_on(serve(shared, listeners, stopped));
        }
        sockets::close();
    };
    let builder = std::thread::Builder::new().name("wsengine-push".into());
    let thread = sys::with_signals_blocked(|| builder.spawn(run))?;
    // All descriptors are open when the server has started.
    started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at its start")))?;
    Ok(thread)
}

async fn serve(shared: Arc<Shared>, listeners: Vec<Listener>, mut stopped: watch::Receiver<bool>) {
    let strangers = shared.max_pushers.div_ceil(PART_OF_STRANGERS);
    let service = Rc::new(Service {
        places: Arc::new(Semaphore::new(shared.max_pushers - strangers)),
        strangers: RefCell::new(Strangers { most: strangers, serial: 0, tasks: VecDeque::new() }),
        shared,
        refusals: RefCell::default(),
    });
    spawn_local(sockets::watch());
    for listener in listeners {
        spawn_local(accept(listener, service.clone()));
    }
    // An error means that the server is no more. With the runtime all tasks end, and their sockets.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn accept(listener: Listener, service: Rc<Service>) {
    let listener = match Listening::register(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "nothing can be pushed"),
    };
    let (mut accepted, mut reported) = (0, Throttle::default());
    loop {
        listener.knock().await;
        match listener.accept() {
            None => {}
            Some(Ok((socket, _))) => {
                if service.strangers.borrow().is_full() {
                    // What those before have said already may be the password.
                    tokio::task::yield_now().await;
                }
                welcome(socket, &service);
            }
            Some(Err(error)) => {
                if let Some(left_out) = reported.line(service.shared.now()) {
                    tracing::error!(left_out, %error, "a client that pushes cannot be accepted");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        accepted += 1;
        if accepted % ACCEPTED_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn welcome(socket: Kept<Unregistered>, service: &Rc<Service>) {
    let standing = if service.shared.settings.push_password.is_some() {
        Standing::Stranger { number: service.strangers.borrow_mut().announce(), said: 0 }
    } else if let Ok(place) = service.places.clone().try_acquire_owned() {
        Standing::Known { _place: place }
    } else {
        // Its buffer is empty; who does not read it loses nothing by the reset that may follow.
        let _ = socket.send(b"-ERR too many clients push already\r\n");
        return;
    };
    let Ok(socket) = Socket::register(socket) else { return };
    let stranger = if let Standing::Stranger { number, .. } = standing { Some(number) } else { None };
    let task = {
        let service = service.clone();
        spawn_local(async move {
            let deadline = stranger.map(|_| Instant::now() + PATIENCE);
            let mut client = Client { socket, service: &service, standing, deadline, answers: Vec::new() };
            if client.serve().await.is_ok() {
                let _ = timeout(GOODBYE, client.leave()).await;
            }
            if let Some(number) = stranger {
                service.strangers.borrow_mut().remove(number);
            }
        })
    };
    let Some(number) = stranger else { return };
    if service.strangers.borrow_mut().add(number, task.abort_handle())
        && let Some(left_out) = service.refusals.borrow_mut().line(service.shared.now())
    {
        tracing::warn!(left_out, "somebody who wants to push had to go before the password, for others wait");
    }
}

enum Standing {
    /// It has yet to say the password.
    Stranger {
        number: u64,
        /// So many commands until now.
        said: u32,
    },
    /// It has said it, or there is none.
    Known { _place: OwnedSemaphorePermit },
}

struct Client<'a> {
    socket: Socket,
    service: &'a Service,
    standing: Standing,
    /// When the command that has begun must be there, or the password.
    deadline: Option<Instant>,
    answers: Vec<u8>,
}

/// How a connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Command,
    End,
}

impl Client<'_> {
    /// Does what the client says, until it leaves or has to.
    async fn serve(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            // What is always ready never waits, so a time limit alone would never be over.
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(());
            }
            let mut taken = 0;
            let mut next = Next::Command;
            for turn in 1.. {
                let rest = bytes.get(taken..).unwrap_or_default();
                match resp::parse(rest, self.most()) {
                    Ok(None) => break,
                    Ok(Some(command)) => {
                        taken += command.len;
                        next = self.carry_out(&command.words);
                    }
                    Err(Broken(what)) => {
                        resp::error(&mut self.answers, &format!("ERR protocol error: {what}"));
                        next = Next::End;
                    }
                }
                if next == Next::End {
                    break;
                }
                if self.answers.len() >= ANSWER_BYTES {
                    self.flush().await?;
                }
                if turn % COMMANDS_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
            bytes.drain(..taken);
            if self.is_known() {
                let begun = self.deadline.filter(|_| taken == 0);
                self.deadline =
                    (!bytes.is_empty()).then(|| begun.unwrap_or_else(|| Instant::now() + PATIENCE));
            }
            self.flush().await?;
            if next == Next::End || !self.read(&mut bytes).await? {
                return Ok(());
            }
        }
    }

    /// Lets the last answer reach the client: what lies unread in a socket that is closed would make the system throw it away.
    async fn leave(&mut self) -> io::Result<()> {
        self.socket.shutdown().await?;
        let mut rest = vec![0; READ_BYTES];
        while self.socket.read(&mut rest).await? > 0 {}
        Ok(())
    }

    fn is_known(&self) -> bool {
        matches!(self.standing, Standing::Known { .. })
    }

    /// The longest command.
    fn most(&self) -> usize {
        match self.is_known() {
            true => self.service.shared.settings.send_queue_bytes.saturating_add(ENVELOPE_BYTES),
            false => STRANGERS_BYTES,
        }
    }

    /// Reads what comes next. False: the client has left.
    async fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        if bytes.is_empty() {
            bytes.shrink_to(READ_BYTES);
        }
        // The buffer grows with what has come, not with what was announced.
        bytes.reserve(READ_BYTES.max(bytes.len() / 2));
        let read = self.socket.read_buf(bytes);
        let count = match self.deadline {
            Some(deadline) => timeout_at(deadline, read).await.map_err(io::Error::from)?,
            None => read.await,
        };
        count.map(|count| count > 0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let answers = std::mem::take(&mut self.answers);
        timeout(PATIENCE, self.socket.write_all(&answers)).await.map_err(io::Error::from)??;
        self.answers = answers;
        self.answers.clear();
        self.answers.shrink_to(ANSWER_BYTES);
        Ok(())
    }

    fn carry_out(&mut self, words: &[Cow<'_, [u8]>]) -> Next {
        if let Standing::Stranger { said, .. } = &mut self.standing {
            *said += 1;
            if *said > COMMANDS_OF_STRANGERS {
                return Next::End;
            }
        }
        let is_known = self.is_known();
        let Some((name, words)) = words.split_first() else { return Next::Command };
        let out = &mut self.answers;
        match (name.to_ascii_uppercase().as_slice(), words) {
            (b"QUIT", _) => {
                resp::simple(out, "OK");
                return Next::End;
            }
            (b"AUTH", [password]) => return self.know(b"default", password),
            (b"AUTH", [user, password]) => return self.know(user, password),
            _ if !is_known => resp::error(out, "NOAUTH say AUTH and the password first"),
            (b"PING", []) => resp::simple(out, "PONG"),
            (b"PING", [word]) => resp::bulk(out, word),
            (b"PUBLISH", [channel, payload]) => match publish(&self.service.shared, channel, payload) {
                Ok(reached) => resp::integer(out, reached),
                Err(what) => resp::error(out, &format!("ERR {what}")),
            },
            (b"PING" | b"AUTH" | b"PUBLISH", _) => {
                let name = String::from_utf8_lossy(name);
                resp::error(out, &format!("ERR wrong number of arguments for '{name}'"));
            }
            // With this word, unlike ERR, clients that ask for something at their start carry on without it.
            _ => {
                let name = String::from_utf8_lossy(name.get(..100).unwrap_or(name));
                resp::error(
                    out,
                    &format!(
                        "NOPERM no '{name}' here: this is wsengine, which knows PING, AUTH, PUBLISH and QUIT"
                    ),
                );
            }
        }
        Next::Command
    }

    /// The end, if the password is wrong: who guesses has to connect anew each time.
    fn know(&mut self, user: &[u8], password: &[u8]) -> Next {
        let Some(expected) = &self.service.shared.settings.push_password else {
            resp::error(&mut self.answers, "ERR there is no password: the option push_password is not set");
            return Next::Command;
        };
        if user == b"default" && is_same(password, expected.0.as_bytes()) {
            if let Standing::Stranger { number, .. } = self.standing {
                let Ok(place) = self.service.places.clone().try_acquire_owned() else {
                    resp::error(&mut self.answers, "ERR too many clients push already");
                    return Next::End;
                };
                self.service.strangers.borrow_mut().remove(number);
                self.standing = Standing::Known { _place: place };
            }
            resp::simple(&mut self.answers, "OK");
            return Next::Command;
        }
        resp::error(&mut self.answers, "WRONGPASS the user or the password is wrong; the user is default");
        if let Some(left_out) = self.service.refusals.borrow_mut().line(self.service.shared.now()) {
            tracing::warn!(left_out, "a wrong password of somebody who wants to push");
        }
        Next::End
    }
}

/// Carries a push out, and says how many connections it reaches; or what is wrong with it, in words.
fn publish(shared: &Shared, channel: &[u8], payload: &[u8]) -> Result<usize, String> {
    let audience = envelope::audience(&shared.settings.app, channel)?;
    let Message { kind, data, except, mut to, id, node, at, word } = envelope::open(payload, MAX_HEAD_BYTES)?;
    if at.is_some() || word.is_some() || node.is_some() {
        return Err("\"at\", \"node\" and \"presence\" in an envelope are for nodes alone".into());
    }
    let repeats = || shared.repeats.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reached) = id.as_ref().and_then(|id| repeats().find(channel, id, shared.now())) {
        return Ok(reached);
    }
    if let Some(to) = &mut to {
        to.retain(|conn| !except.contains(conn));
    }
    let done = shared.check(kind, data).and_then(|()| match (&to, audience) {
        (Some(to), _) => shared.deliver_to(audience, kind, data, to),
        (None, Audience::All) => shared.broadcast(kind, data, &except),
        (None, Audience::Topic(topic)) => shared.publish(kind, topic, data, &except),
        (None, Audience::Conn(_)) => shared.deliver(audience, kind, data, &except),
    });
    let reached = done.map_err(|error| error.to_string())?;
    if let Some(id) = id {
        repeats().note(channel, &id, reached, shared.now());
    }
    Ok(reached)
}

/// In a time that does not tell how much of a password was right.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let differences = given.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == expected.len() && std::hint::black_box(differences) == 0
}
