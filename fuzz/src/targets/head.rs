//! Requests, read by hyper as the engine has it set, judged by the handshake.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use std::convert::Infallible;
use std::io::Cursor;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wsengine_proto::deflate::Wanted;
use wsengine_proto::handshake::{self, Origins, Policy, is_websocket, offered_subprotocols};
use wsengine_proto::hixie76;

pub(crate) fn run(data: &[u8]) {
    let (choice, head) = data.split_first().unwrap_or((&0, &[]));
    let policy = policy(*choice);
    let mut written = Vec::new();
    let io = tokio::io::join(Cursor::new(head), &mut written);
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &policy))));
    let connection = http1::Builder::new()
        .max_buf_size(16 * 1024)
        .max_headers(100)
        .header_read_timeout(None)
        .half_close(true)
        .serve_connection(TokioIo::new(io), service);
    // Nothing waits here: all bytes are there, and all are taken.
    let done = pin!(connection).poll_once();
    assert!(done.is_ready(), "it waits for something");
    assert!(written.is_empty() || written.starts_with(b"HTTP/1."));
}

fn policy(choice: u8) -> Policy {
    Policy {
        origins: if choice & 1 == 0 { Origins::SameHost } else { Origins::Any },
        paths: if choice & 2 == 0 { Vec::new() } else { vec!["/chat".into()] },
        subprotocols: vec!["chat".into(), "soap".into()],
        compression: (choice & 4 != 0).then_some(Wanted {
            server_context_takeover: choice & 16 != 0,
            client_context_takeover: choice & 32 != 0,
            max_window_bits: 15,
        }),
        hybi8: choice & 8 != 0,
    }
}

fn answer(request: &Request<Incoming>, policy: &Policy) -> Response<Full<Bytes>> {
    if !is_websocket(request) {
        return Response::new(Full::default());
    }
    if hixie76::is_hixie76(request) {
        return match hixie76::answer(request, policy, false) {
            Ok(opening) => {
                let response = opening.response([7; hixie76::BODY_BYTES], &Default::default());
                assert!(response.starts_with(b"HTTP/1.1 101 ") && response.len() > 16);
                Response::new(Full::default())
            }
            Err(refusal) => refused(&refusal),
        };
    }
    match handshake::answer(request, policy) {
        Ok(accepted) => {
            let key = request.headers()[header::SEC_WEBSOCKET_KEY].as_bytes();
            let hash =
                Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
            assert_eq!(accepted.accept.len(), 28);
            assert_eq!(accepted.accept, base64(&hash));
            if let Some(chosen) = &accepted.subprotocol {
                assert!(offered_subprotocols(request.headers()).any(|offered| offered == chosen));
                assert!(policy.subprotocols.contains(chosen));
            }
            assert!(accepted.compression.is_none() || policy.compression.is_some());
            let response = accepted.response();
            assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
            response.map(|()| Full::default())
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &handshake::Refusal) -> Response<Full<Bytes>> {
    assert!(refusal.status.is_client_error() && refusal.reason.ends_with('.'));
    refusal.response().map(|text| Full::new(text.into()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            match digit <= chunk.len() {
                true => text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

trait PollOnce: Future + Sized {
    /// Polled until it waits: a few times, for hyper may wake itself.
    fn poll_once(self) -> Poll<Self::Output> {
        let mut this = pin!(self);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100_000 {
            if let Poll::Ready(output) = this.as_mut().poll(&mut cx) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    }
}

impl<F: Future> PollOnce for F {}
