//! Requests of a forked child and their answers, as bytes. Both sides are the same program, so there are no versions.
//!
//! A request is a head of fixed size, then the topic or the reason, the connections left out, and the data, which for a
//! subscription is what goes with it.

use crate::error::SendError;
use crate::event::ConnId;
use wsengine_proto::Kind;

/// What a child asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Send { conn: ConnId, kind: Kind, data: &'a [u8] },
    Broadcast { kind: Kind, data: &'a [u8], except: &'a [ConnId] },
    Publish { kind: Kind, topic: &'a str, data: &'a [u8], except: &'a [ConnId] },
    Subscribe { conn: ConnId, topic: &'a str, since: Option<&'a str>, label: Option<&'a str> },
    Unsubscribe { conn: ConnId, topic: &'a str },
    Members { topic: &'a str },
    Close { conn: ConnId, code: u16, reason: &'a str },
    IsOpen { conn: ConnId },
}

/// A number that goes with it, such as how many were reached; or why nothing was done.
pub(crate) type Answer = Result<u64, SendError>;

const SEND: u8 = 1;
const BROADCAST: u8 = 2;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 4;
const UNSUBSCRIBE: u8 = 5;
const CLOSE: u8 = 6;
const IS_OPEN: u8 = 7;
const MEMBERS: u8 = 8;

/// The part of a request that tells what follows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    what: u8,
    binary: bool,
    code: u16,
    text_len: u32,
    except_count: u32,
    data_len: u32,
    conn: u64,
}

pub(crate) const HEAD_BYTES: usize = 24;
pub(crate) const ANSWER_BYTES: usize = 9;

impl<'a> Request<'a> {
    /// The request but for its data, which follows and is not copied here.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) -> &'a [u8] {
        let none = Head::default();
        let mut texts = Vec::new();
        let (head, text, except, data): (Head, &str, &[ConnId], &'a [u8]) = match *self {
            Request::Send { conn, kind, data } => {
                let binary = kind == Kind::Binary;
                (Head { what: SEND, binary, conn: conn.as_u64(), ..none }, "", &[], data)
            }
            Request::Broadcast { kind, data, except } => {
                (Head { what: BROADCAST, binary: kind == Kind::Binary, ..none }, "", except, data)
            }
            Request::Publish { kind, topic, data, except } => {
                (Head { what: PUBLISH, binary: kind == Kind::Binary, ..none }, topic, except, data)
            }
            Request::Subscribe { conn, topic, since, label } => {
                put_texts([since, label], &mut texts);
                (Head { what: SUBSCRIBE, conn: conn.as_u64(), ..none }, topic, &[], &[])
            }
            Request::Unsubscribe { conn, topic } => {
                (Head { what: UNSUBSCRIBE, conn: conn.as_u64(), ..none }, topic, &[], &[])
            }
            Request::Members { topic } => (Head { what: MEMBERS, ..none }, topic, &[], &[]),
            Request::Close { conn, code, reason } => {
                (Head { what: CLOSE, code, conn: conn.as_u64(), ..none }, reason, &[], &[])
            }
            Request::IsOpen { conn } => (Head { what: IS_OPEN, conn: conn.as_u64(), ..none }, "", &[], &[]),
        };
        into.extend_from_slice(&[head.what, u8::from(head.binary)]);
        into.extend_from_slice(&head.code.to_le_bytes());
        for len in [text.len(), except.len(), data.len() + texts.len()] {
            // A message of more than 1 GiB is refused before, and so are names and lists of such a size.
            into.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        }
        into.extend_from_slice(&head.conn.to_le_bytes());
        into.extend_from_slice(text.as_bytes());
        except.iter().for_each(|conn| into.extend_from_slice(&conn.as_u64().to_le_bytes()));
        into.extend_from_slice(&texts);
        data
    }

    /// The request of a head and of what followed it. None: it is none of ours.
    pub(crate) fn decode(head: &Head, body: &'a [u8], except: &'a mut Vec<ConnId>) -> Option<Request<'a>> {
        let (text, rest) = body.split_at_checked(head.text_len as usize)?;
        let (ids, data) = rest.split_at_checked(head.except_count as usize * size_of::<u64>())?;
        let (ids, []) = ids.as_chunks() else { return None };
        except.extend(ids.iter().map(|id| ConnId::from_u64(u64::from_le_bytes(*id))));
        let conn = ConnId::from_u64(head.conn);
        let kind = if head.binary { Kind::Binary } else { Kind::Text };
        let text = std::str::from_utf8(text).ok()?;
        match head.what {
            SEND => Some(Request::Send { conn, kind, data }),
            BROADCAST => Some(Request::Broadcast { kind, data, except }),
            PUBLISH => Some(Request::Publish { kind, topic: text, data, except }),
            SUBSCRIBE => {
                let [since, label] = texts(data)?;
                Some(Request::Subscribe { conn, topic: text, since, label })
            }
            UNSUBSCRIBE => Some(Request::Unsubscribe { conn, topic: text }),
            MEMBERS => Some(Request::Members { topic: text }),
            CLOSE => Some(Request::Close { conn, code: head.code, reason: text }),
            IS_OPEN => Some(Request::IsOpen { conn }),
            _ => None,
        }
    }
}

/// Texts that need not be there, each after its length plus one.
fn put_texts(texts: [Option<&str>; 2], into: &mut Vec<u8>) {
    for text in texts {
        let len = text.map_or(0, |text| text.len() + 1);
        into.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        into.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
}

fn texts(mut data: &[u8]) -> Option<[Option<&str>; 2]> {
    let mut texts = [None; 2];
    for text in &mut texts {
        let (len, rest) = data.split_first_chunk()?;
        let len = u32::from_le_bytes(*len) as usize;
        let (bytes, rest) = rest.split_at_checked(len.saturating_sub(1))?;
        *text = if len == 0 { None } else { Some(std::str::from_utf8(bytes).ok()?) };
        data = rest;
    }
    data.is_empty().then_some(texts)
}

impl Head {
    pub(crate) fn decode(bytes: &[u8; HEAD_BYTES]) -> Head {
        let [what, binary, c0, c1, numbers @ ..] = *bytes;
        let (numbers, _) = numbers.as_chunks::<4>();
        let number = |index: usize| numbers.get(index).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Head {
            what,
            binary: binary != 0,
            code: u16::from_le_bytes([c0, c1]),
            text_len: number(0),
            except_count: number(1),
            data_len: number(2),
            conn: u64::from(number(3)) | u64::from(number(4)) << 32,
        }
    }

    /// Bytes that follow the head.
    pub(crate) fn body_len(&self) -> usize {
        self.text_len as usize + self.except_count as usize * size_of::<u64>() + self.data_len as usize
    }
}

/// What can come back that is not found out in the child: the rest is looked at there, before anything is sent.
const ERRORS: [SendError; 4] =
    [SendError::Gone, SendError::QueueFull, SendError::TextOnly, SendError::Stopped];

pub(crate) fn encode_answer(answer: &Answer) -> [u8; ANSWER_BYTES] {
    let (status, number) = match answer {
        Ok(number) => (0, *number),
        Err(error) => (1 + ERRORS.iter().position(|known| known == error).unwrap_or(0), 0),
    };
    let mut bytes = [status as u8; ANSWER_BYTES];
    let [_, rest @ ..] = &mut bytes;
    *rest = number.to_le_bytes();
    bytes
}

pub(crate) fn decode_answer(bytes: &[u8; ANSWER_BYTES]) -> Answer {
    let [status, number @ ..] = *bytes;
    match usize::from(status).checked_sub(1) {
        None => Ok(u64::from_le_bytes(number)),
        Some(index) => Err(ERRORS.get(index).cloned().unwrap_or(SendError::Gone)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(request: Request<'_>) {
        let mut bytes = Vec::new();
        let data = request.encode(&mut bytes);
        bytes.extend_from_slice(data);
        let (head, body) = bytes.split_first_chunk().unwrap();
        let head = Head::decode(head);
        assert_eq!(head.body_len(), body.len());
        assert_eq!(Request::decode(&head, body, &mut Vec::new()), Some(request));
    }

    proptest! {
        #[test]
        fn requests_arrive_as_they_were_sent(
            id in 1u64.., ids in proptest::collection::vec(any::<u64>(), 0..5), code: u16,
            reason in ".{0,40}", label in proptest::option::of(".{0,9}"), data in proptest::collection::vec(any::<u8>(), 0..100), binary: bool,
        ) {
            let conn = ConnId::from_u64(id);
            let except: Vec<ConnId> = ids.into_iter().map(ConnId::from_u64).collect();
            let kind = if binary { Kind::Binary } else { Kind::Text };
            there_and_back(Request::Send { conn, kind, data: &data });
            there_and_back(Request::Broadcast { kind, data: &data, except: &except });
            there_and_back(Request::Publish { kind, topic: &reason, data: &data, except: &except });
            let label = label.as_deref();
            there_and_back(Request::Subscribe { conn, topic: &reason, since: Some(&reason), label });
            there_and_back(Request::Subscribe { conn, topic: &reason, since: label, label: None });
            there_and_back(Request::Unsubscribe { conn, topic: &reason });
            there_and_back(Request::Members { topic: &reason });
            there_and_back(Request::Close { conn, code, reason: &reason });
            there_and_back(Request::IsOpen { conn });
        }

        #[test]
        fn no_bytes_are_read_past_their_end(head: [u8; HEAD_BYTES], body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let head = Head::decode(&head);
            if let Some(request) = Request::decode(&head, &body, &mut Vec::new()) {
                let mut bytes = Vec::new();
                let data = request.encode(&mut bytes);
                prop_assert!(data.len() <= body.len());
            }
        }
    }

    #[test]
    fn answers_arrive_as_they_were_sent() {
        let errors = ERRORS.iter().cloned().map(Err);
        for answer in [Ok(0), Ok(1), Ok(u64::MAX)].into_iter().chain(errors) {
            assert_eq!(decode_answer(&encode_answer(&answer)), answer);
        }
    }
}
