//! What a close frame may say, against RFC 6455, sections 5.5.1 and 7.4.

use crate::common::{CLOSE, ClientFrame, Server};
use wsengine_proto::close::{CloseFrame, MAX_REASON_BYTES, truncate_reason};
use wsengine_proto::{Limits, State};

pub(crate) fn run(data: &[u8]) {
    let payload = &data[..data.len().min(125)];
    let reason = payload.get(2..).map(std::str::from_utf8);
    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    let sound = match (code, reason) {
        (None, _) => payload.is_empty(),
        (Some(1000..=1003 | 1007..=1014 | 3000..=4999), Some(Ok(_))) => true,
        _ => false,
    };
    let parsed = CloseFrame::parse(payload);
    assert_eq!(parsed.is_ok(), sound, "{parsed:?}");
    if let Ok(close) = parsed {
        assert_eq!((close.code, close.reason), (code, reason.map_or("", |reason| reason.unwrap())));
    }

    let mut server = Server::new(Limits::default());
    server.feed_frames(&[ClientFrame::new(CLOSE, payload)]);
    assert!(matches!(server.conn.state(), State::Closed(ending) if ending.clean == sound));
    let answer = server.sent().pop().expect("a close frame is answered");
    assert_eq!(answer.opcode, CLOSE);
    assert!(answer.payload.len() <= 125);

    if let Ok(text) = std::str::from_utf8(data) {
        let cut = truncate_reason(text);
        assert!(text.starts_with(cut) && cut.len() <= MAX_REASON_BYTES);
        assert!(cut.len() == text.len() || cut.len() + 4 > MAX_REASON_BYTES);
    }
}
