//! Topics: who is subscribed to them, and what is published.

use crate::args::{Args, Outcome, text};
use crate::server::{conn_id, conn_ids, current, kind, message_failure};
use crate::zend::{self, Entry, Slot};
use wsengine::{Person, SendError};

/// `ws_subscribe(int $conn, string $topic, ?string $since = null, ?string $label = null): bool`
pub(crate) fn subscribe(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(2, 4)?;
    let conn = conn_id(args.int(1)?);
    let (topic, since, label) = (args.bytes(2)?, args.bytes_or_null(3)?, args.bytes_or_null(4)?);
    let topic = text(2, topic)?;
    let label = label.map(|label| text(4, label)).transpose()?;
    let server = &current(args)?.server;
    let done = match since {
        None if label.is_none() => server.subscribe(conn, topic),
        // A client says it: what is no text means as little as other nonsense.
        since => {
            let since = since.map(|since| std::str::from_utf8(since).unwrap_or("?"));
            server.subscribe_with(conn, topic, since, label)
        }
    };
    // That it was subscribed before makes no difference to a script.
    changed(args, done.map(|_| true), result)
}

/// `ws_unsubscribe(int $conn, string $topic): bool`
pub(crate) fn unsubscribe(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(2, 2)?;
    let conn = conn_id(args.int(1)?);
    let topic = text(2, args.bytes(2)?)?;
    changed(args, current(args)?.server.unsubscribe(conn, topic), result)
}

fn changed(args: &Args, done: Result<bool, SendError>, result: Slot<'_>) -> Outcome {
    match done {
        Ok(done) => result.bool(done),
        Err(SendError::Gone | SendError::Stopped | SendError::QueueFull) => result.bool(false),
        Err(error) => {
            let argument = match error {
                SendError::NoHistory => 3,
                SendError::BadLabel { .. } => 4,
                _ => 2,
            };
            return Err(message_failure(args, argument, error));
        }
    }
    Ok(())
}

/// `ws_members(string $topic): int`
pub(crate) fn members(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(1, 1)?;
    let topic = text(1, args.bytes(1)?)?;
    match current(args)?.server.members(topic) {
        Ok(count) => result.int(count as i64),
        Err(SendError::Stopped) => result.int(0),
        Err(error) => return Err(message_failure(args, 1, error)),
    }
    Ok(())
}

/// `ws_presence(string $topic): array`
pub(crate) fn presence(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(1, 1)?;
    let topic = text(1, args.bytes(1)?)?;
    match current(args)?.server.presence(topic) {
        Ok(people) => {
            let entry =
                |person: Person<'static>| (person.id, Entry::Bytes(person.label.into_owned().into_bytes()));
            zend::map(people.into_iter().map(entry), result);
        }
        Err(error) => return Err(message_failure(args, 1, error)),
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
