//! A connection with a script: bytes in pieces, time that passes, a host that closes, an inbox that is full. Whatever
//! happens, the rules of a connection's life hold.

use super::messages::settings;
use crate::common::{Server, server_frames};
use crate::input::Input;
use std::time::Duration;
use wsengine_proto::{Limits, State};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (limits, compression) = settings(&mut input);
    let limits = Limits {
        ping_interval: Duration::from_secs(u64::from(input.byte() % 4) * 10),
        idle_timeout: Duration::from_secs(u64::from(input.byte() % 3) * 60),
        ..limits
    };
    let mut server = Server::with_compression(limits, compression.as_ref());
    let mut sent_close = false;
    while !input.is_empty() {
        let ended = server.ending().cloned();
        let (messages, out) = (server.sink.messages.len(), server.out.len());
        step(&mut server, &mut input);
        if let Some(ended) = ended {
            assert_eq!(server.ending(), Some(&ended), "the end changes no more");
            assert_eq!(server.sink.messages.len(), messages, "a message after the end");
            assert_eq!(server.out.len(), out, "a frame after the end");
        }
        if let Some(deadline) = server.deadline() {
            assert!(server.ending().is_none(), "a deadline after the end: {deadline:?}");
        }
        if matches!(server.conn.state(), State::Closing) {
            sent_close = true;
        }
    }
    let frames = server_frames(&server.out);
    let closes = frames.iter().filter(|frame| frame.opcode == crate::common::CLOSE).count();
    assert!(closes <= 1, "{closes} close frames");
    assert!(!sent_close || closes == 1, "closing without a close frame");
    if closes == 1 {
        assert_eq!(
            frames.last().map(|frame| frame.opcode),
            Some(crate::common::CLOSE),
            "something after the close frame"
        );
    }
}

fn step(server: &mut Server, input: &mut Input<'_>) {
    match input.byte() % 8 {
        0..=3 => {
            let len = usize::from(input.byte());
            server.feed(input.bytes(len));
        }
        4 => {
            server.now += Duration::from_millis(u64::from(input.byte()) * 500);
            if server.deadline().is_some_and(|deadline| deadline <= server.now) {
                server.on_deadline();
            }
        }
        5 => {
            server.sink.room = usize::from(input.byte() % 3);
            server.feed(&[]);
        }
        6 => {
            server.sink.room = usize::MAX;
            server.feed(&[]);
        }
        _ => match input.byte() % 4 {
            0 => server.conn.end_of_stream(),
            _ => server.close(1000 + u16::from(input.byte() % 4), "the host"),
        },
    }
}
