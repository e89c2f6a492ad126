//! Handshakes on which the host has yet to decide (option `handshake_events`).

pub(crate) mod decision;

use crate::event::{ConnId, Request};
use crate::hub::{self, Hub};
pub(crate) use decision::Decision;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use wsengine_proto::handshake;

/// Why there is no decision.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undecided {
    /// Too many wait for one.
    TooMany,
    /// It did not come in time.
    TooLate,
}

/// A slot for a connection that may never be. Dropped, it is free again, and a decision of the host too late.
pub(crate) struct Reserved(ConnId);

impl Reserved {
    /// None: there is no slot.
    pub(crate) fn take() -> Option<Self> {
        hub::with(Hub::reserve).flatten().map(Reserved)
    }

    /// The id, for the connection that comes to be.
    pub(crate) fn keep(self) -> ConnId {
        let id = self.0;
        std::mem::forget(self);
        id
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        hub::with(|hub| hub.give_up(self.0));
    }
}

/// Asks the host, and waits for its answer until `deadline`.
pub(crate) async fn ask(request: Request, deadline: Instant) -> Result<(Reserved, Decision), Undecided> {
    let (sender, decision) = oneshot::channel();
    let id = hub::with(|hub| hub.ask(request, sender)).flatten().ok_or(Undecided::TooMany)?;
    let reserved = Reserved(id);
    match timeout_at(deadline.into(), decision).await {
        Ok(Ok(decision)) => Ok((reserved, decision)),
        _ => Err(Undecided::TooLate),
    }
}

impl Hub {
    /// Reserves a slot and tells the host. None: too many are undecided, or there is no slot.
    fn ask(&mut self, request: Request, decision: oneshot::Sender<Decision>) -> Option<ConnId> {
        if self.stopping.is_some() || self.undecided.len() >= self.shared.max_undecided() {
            return None;
        }
        let id = self.reserve()?;
        self.undecided.insert(id, decision);
        let offered = handshake::offered_subprotocols(&request.headers).map(str::to_owned).collect();
        let link = self.link();
        link.mailbox.undecided(id, offered);
        link.inbox.lock().handshake(id, self.now, request);
        self.announce();
        Some(id)
    }

    /// The host has decided.
    pub(crate) fn decide(&mut self, id: ConnId, decision: Decision) {
        if let Some(sender) = self.undecided.remove(&id) {
            // Whoever waited may have given up just now; the slot is given back then.
            let _ = sender.send(decision);
        }
    }

    fn give_up(&mut self, id: ConnId) {
        self.undecided.remove(&id);
        self.link().mailbox.decided(id);
        self.release(id);
    }
}
