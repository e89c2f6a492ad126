//! tokio-tungstenite, with buffers of 4 KiB on a runtime of one thread.
//!
//!     tungstenite echo|broadcast          prints "listening on 127.0.0.1:PORT"

use futures_util::future::ready;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

type Everybody = Rc<RefCell<Vec<UnboundedSender<Message>>>>;

fn main() -> io::Result<()> {
    let everybody = match std::env::args().nth(1).as_deref() {
        Some("echo") => None,
        Some("broadcast") => Some(Everybody::default()),
        _ => return Err(io::Error::other("usage: tungstenite echo|broadcast")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            spawn_local(serve(stream, everybody.clone()));
        }
    })
}

/// Until the client goes. What was read at once is answered by one write: `forward` flushes when nothing is left.
async fn serve(stream: TcpStream, everybody: Option<Everybody>) -> Result<(), Error> {
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(4096);
    let socket = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await?;
    let (sink, messages) = socket.split();
    let mut messages = messages.try_filter(|message| ready(message.is_text() || message.is_binary()));
    let Some(everybody) = everybody else { return messages.forward(sink).await };
    let (sender, mut queue) = unbounded_channel();
    everybody.borrow_mut().push(sender);
    spawn_local(async move {
        let mut sink = sink;
        while let Some(message) = queue.recv().await {
            sink.feed(message).await?;
            while let Ok(message) = queue.try_recv() {
                sink.feed(message).await?;
            }
            sink.flush().await?;
        }
        Ok::<_, Error>(())
    });
    while let Some(message) = messages.try_next().await? {
        everybody.borrow_mut().retain(|receiver| receiver.send(message.clone()).is_ok());
    }
    Ok(())
}
