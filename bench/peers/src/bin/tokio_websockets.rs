//! tokio-websockets on a runtime of one thread.
//!
//!     tokio_websockets echo          prints "listening on 127.0.0.1:PORT"

use futures_util::future::ready;
use futures_util::{StreamExt, TryStreamExt};
use std::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_websockets::{Error, ServerBuilder};

fn main() -> io::Result<()> {
    if std::env::args().nth(1).as_deref() != Some("echo") {
        return Err(io::Error::other("usage: tokio_websockets echo"));
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
async fn serve(stream: TcpStream) -> Result<(), Error> {
    let (_, socket) = ServerBuilder::new().accept(stream).await?;
    let (sink, messages) = socket.split();
    messages.try_filter(|message| ready(message.is_text() || message.is_binary())).forward(sink).await
}
