//! What a script decides on handshakes.

use crate::args::{Args, Outcome, text};
use crate::exception::Failure;
use crate::options::type_name;
use crate::server::{conn_id, own};
use crate::zend::Slot;
use ext_php_rs::types::{ArrayKey, Zval};
use wsengine::{DecisionPart, SendError};

/// `ws_accept(int $conn, ?string $subprotocol = null, array $headers = []): bool`
pub(crate) fn accept(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(1, 3)?;
    let conn = conn_id(args.int(1)?);
    let subprotocol = args.bytes_or_null(2)?.map(|bytes| text(2, bytes)).transpose()?;
    let headers = headers(args, 3)?;
    let outcome = own(args)?.server.accept(conn, subprotocol, &borrowed(&headers));
    decided(outcome, |part| if part == DecisionPart::Subprotocol { 2 } else { 3 }, result)
}

/// `ws_reject(int $conn, int $status = 403, string $body = '', array $headers = []): bool`
pub(crate) fn reject(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(1, 4)?;
    let conn = conn_id(args.int(1)?);
    let status = args.int_or(2, 403)?;
    let body = text(3, args.bytes_or(3, b"")?)?;
    let headers = headers(args, 4)?;
    let Some(number) = u16::try_from(status).ok().filter(|status| (300..600).contains(status)) else {
        return Err(Failure::Value(2, format!("must be a status of HTTP from 300 to 599, {status} given")));
    };
    let outcome = own(args)?.server.reject(conn, number, body, &borrowed(&headers));
    decided(outcome, |part| if part == DecisionPart::Status { 2 } else { 4 }, result)
}

/// False: it was decided before, or the time is over. `argument` is the number of the one at fault.
fn decided(
    outcome: Result<(), SendError>,
    argument: impl Fn(DecisionPart) -> u32,
    result: Slot<'_>,
) -> Outcome {
    match outcome {
        Ok(()) => result.bool(true),
        Err(SendError::BadDecision { part, text }) => {
            return Err(Failure::Value(argument(part), format!("cannot be used: {text}")));
        }
        Err(_) => result.bool(false),
    }
    Ok(())
}

/// `['Set-Cookie' => 'a=1']`, or several of one name as `['Set-Cookie' => ['a=1', 'b=2']]`.
fn headers(args: &Args, number: u32) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = Vec::new();
    for (key, value) in args.array(number)?.into_iter().flatten() {
        if let ArrayKey::Long(index) = key {
            let text =
                format!("must have names as keys, as in ['Set-Cookie' => 'a=1']; the key {index} is no name");
            return Err(Failure::Value(number, text));
        }
        let (name, value) = (key.to_string(), value.dereference());
        match value.array() {
            Some(values) => {
                for (_, value) in values {
                    headers.push((name.clone(), value_of(number, &name, value.dereference())?));
                }
            }
            None => headers.push((name.clone(), value_of(number, &name, value)?)),
        }
    }
    Ok(headers)
}

fn value_of(number: u32, name: &str, value: &Zval) -> Result<String, Failure> {
    if let Some(int) = value.long() {
        return Ok(int.to_string());
    }
    match value.zend_str() {
        Some(string) => match std::str::from_utf8(string.as_bytes()) {
            Ok(value) => Ok(value.to_owned()),
            Err(_) => {
                Err(Failure::Value(number, format!("must have valid UTF-8 as values, not so for {name:?}")))
            }
        },
        None => {
            let text = format!("must have strings as values, {} given for {name:?}", type_name(value));
            Err(Failure::Type(number, text))
        }
    }
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
