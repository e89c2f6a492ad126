//! wsengine's protocol without its engine: no host, no queues, no timers; frames are answered where they are read.
//!
//!     codec echo          prints "listening on 127.0.0.1:PORT"

use std::cell::RefCell;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use wsengine_proto::deflate::Scratch;
use wsengine_proto::frame::{self, Opcode};
use wsengine_proto::handshake::accept_value;
use wsengine_proto::{Connection, Kind, Limits, Payload, Sink, State};

const BUFFER_BYTES: usize = 256 * 1024;

/// What all connections share.
#[derive(Default)]
struct Buffers {
    read: Vec<u8>,
    control: Vec<u8>,
    echo: Echo,
    scratch: Scratch,
}

/// The frames of the answers.
#[derive(Default)]
struct Echo(Vec<u8>);

impl Sink for Echo {
    fn has_room(&mut self) -> bool {
        true
    }

    fn message(&mut self, kind: Kind, payload: Payload<'_>) {
        let opcode = if kind == Kind::Text { Opcode::Text } else { Opcode::Binary };
        frame::put(&mut self.0, opcode, payload.as_bytes());
    }
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers { read: vec![0; BUFFER_BYTES], ..Buffers::default() });
}

fn main() -> io::Result<()> {
    if std::env::args().nth(1).as_deref() != Some("echo") {
        return Err(io::Error::other("usage: codec echo"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            spawn_local(serve(stream));
        }
    })
}

/// Until the client goes.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    shake_hands(&mut stream).await?;
    let limits = Limits::default();
    let mut connection = Connection::new(Duration::ZERO, &limits, 0, None);
    while *connection.state() == State::Open {
        stream.readable().await?;
        let rest = BUFFERS.with_borrow_mut(|buffers| {
            let Buffers { read, control, echo, scratch } = buffers;
            control.clear();
            echo.0.clear();
            match stream.try_read(read) {
                Ok(0) => connection.end_of_stream(),
                Ok(len) => {
                    let bytes = read.get_mut(..len).unwrap_or_default();
                    connection.receive(Duration::ZERO, &limits, bytes, control, scratch, echo);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            echo.0.append(control);
            let written = if echo.0.is_empty() { 0 } else { stream.try_write(&echo.0).unwrap_or(0) };
            Ok(echo.0.get(written..).unwrap_or_default().to_vec())
        })?;
        if !rest.is_empty() {
            stream.write_all(&rest).await?;
        }
    }
    Ok(())
}

/// The request has no bytes behind it: the load client waits for the answer.
async fn shake_hands(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| accept_value(value.trim()))
    });
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        key.unwrap_or_default()
    );
    stream.write_all(answer.as_bytes()).await
}
