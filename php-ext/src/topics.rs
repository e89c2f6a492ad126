//! Topics: who is subscribed to them, and what is published.

use crate::args::{Args, Outcome, text};
use crate::server::{conn_id, conn_ids, current, kind, message_failure};
use crate::zend::Slot;
use wsengine::{ConnId, SendError, Server};

/// `ws_subscribe(int $conn, string $topic): bool`
pub(crate) fn subscribe(args: &Args, result: Slot<'_>) -> Outcome {
    // That it was subscribed before makes no difference to a script.
    change(args, |server, conn, topic| server.subscribe(conn, topic).map(|_| true), result)
}

/// `ws_unsubscribe(int $conn, string $topic): bool`
pub(crate) fn unsubscribe(args: &Args, result: Slot<'_>) -> Outcome {
    change(args, Server::unsubscribe, result)
}

fn change(
    args: &Args,
    change: impl FnOnce(&Server, ConnId, &str) -> Result<bool, SendError>,
    result: Slot<'_>,
) -> Outcome {
    args.count(2, 2)?;
    let conn = conn_id(args.int(1)?);
    let topic = text(2, args.bytes(2)?)?;
    match change(&current(args)?.server, conn, topic) {
        Ok(done) => result.bool(done),
        Err(SendError::Gone | SendError::Stopped) => result.bool(false),
        Err(error) => return Err(message_failure(args, 2, error)),
    }
    Ok(())
}

/// `ws_publish(string $topic, string $data, bool $binary = false, array $except = []): int`
pub(crate) fn publish(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(2, 4)?;
    let topic = args.bytes(1)?;
    let data = args.bytes(2)?;
    let kind = kind(args.bool_or(3, false)?);
    let except = conn_ids(args, 4)?;
    let topic = text(1, topic)?;
    match current(args)?.server.publish(kind, topic, data, &except) {
        Ok(count) => result.int(count as i64),
        Err(SendError::Stopped) => result.int(0),
        Err(error @ SendError::BadTopic { .. }) => return Err(message_failure(args, 1, error)),
        Err(error) => return Err(message_failure(args, 2, error)),
    }
    Ok(())
}
