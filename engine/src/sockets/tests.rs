use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions};

/// Runs `f` with a socket of this thread and its peer.
pub(crate) fn with_pair<T>(f: impl AsyncFnOnce(Socket, TcpStream) -> T) -> T {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    let result = runtime.block_on(async {
        open().unwrap();
        tokio::task::spawn_local(watch());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = accept_one(&Unregistered::from(listener)).unwrap();
        f(Socket::register(accepted).unwrap(), peer).await
    });
    close();
    result
}

/// One change tells of both, and the read takes what is there: nothing more will be told.
#[test]
fn an_end_that_comes_with_the_last_bytes_is_noticed() {
    with_pair(async |mut socket, mut peer| {
        peer.write_all(b"last").unwrap();
        drop(peer);
        let mut buffer = [0; 16];
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 4);
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn a_reset_ends_a_wait() {
    with_pair(async |mut socket, peer| {
        Unregistered::from(peer).set_linger(Some(Duration::ZERO)).unwrap();
        let error = socket.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(socket.write(b"in vain").await.is_err());
    });
}

#[test]
fn a_full_socket_is_written_to_when_there_is_room() {
    const BYTES: usize = 32 << 20;
    with_pair(async |mut socket, mut peer| {
        let reader = std::thread::spawn(move || {
            let mut read = vec![0; BYTES];
            peer.read_exact(&mut read).unwrap();
            read
        });
        socket.write_all(&vec![7; BYTES]).await.unwrap();
        assert!(reader.join().unwrap().iter().all(|byte| *byte == 7));
    });
}

#[test]
fn what_nobody_has_read_is_noticed_though_nobody_has_looked() {
    with_pair(async |mut socket, mut peer| {
        let mut buffer = [0; 16];
        let mut reads = |socket: &mut Socket| {
            let (read, cx) = (&mut ReadBuf::new(&mut buffer), &mut Context::from_waker(Waker::noop()));
            Pin::new(socket).poll_read(cx, read).map(|result| result.map(|()| read.filled().len()).unwrap())
        };
        assert!(!socket.notice_unread());
        assert_eq!(reads(&mut socket), Poll::Pending);
        peer.write_all(b"pong").unwrap();
        assert_eq!(reads(&mut socket), Poll::Pending);
        assert!(socket.notice_unread());
        assert_eq!(reads(&mut socket), Poll::Ready(4));
        assert!(!socket.notice_unread());
        drop(peer);
        assert!(socket.notice_unread());
        assert_eq!(reads(&mut socket), Poll::Ready(0), "its end");
    });
}

#[test]
fn what_is_discarded_is_gone_and_no_more_than_that() {
    let discard = |socket: &Socket| {
        let taken = socket.poll_discard(&mut Context::from_waker(Waker::noop()), &mut [0; 4]);
        taken.map(|taken| taken.unwrap())
    };
    with_pair(async |mut tcp, mut tcp_peer| {
        let (near, mut unix_peer) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut unix = Socket::register(Kept::new(near.into())).unwrap();
        for (socket, peer) in [(&mut tcp, &mut tcp_peer as &mut dyn Write), (&mut unix, &mut unix_peer)] {
            peer.write_all(b"much more").unwrap();
            assert_eq!(discard(socket), Poll::Ready(4));
            let mut buffer = [0; 3];
            assert_eq!(socket.read(&mut buffer).await.unwrap(), 3);
            assert_eq!(&buffer, b" mo");
            assert_eq!(discard(socket), Poll::Ready(2));
            assert_eq!(discard(socket), Poll::Pending);
        }
        drop((tcp_peer, unix_peer));
        for socket in [&tcp, &unix] {
            assert!(socket.notice_unread());
            assert_eq!(discard(socket), Poll::Ready(0), "its end");
        }
    });
}

#[test]
fn a_socket_sends_at_once() {
    with_pair(async |socket, _peer| assert!(socket.socket.tcp_nodelay().unwrap()));
}

#[test]
fn the_last_words_go_out_with_the_end() {
    with_pair(async |mut socket, mut peer| {
        peer.set_nonblocking(true).unwrap();
        socket.hold_for_end();
        socket.write_all(b"good").await.unwrap();
        assert_eq!(socket.try_write_vectored(&[IoSlice::new(b"bye")]).unwrap(), 3);
        assert_eq!(peer.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
        socket.shutdown().await.unwrap();
        peer.set_nonblocking(false).unwrap();
        let mut words = String::new();
        peer.read_to_string(&mut words).unwrap();
        assert_eq!(words, "goodbye");
    });
}

#[test]
fn places_are_given_again() {
    with_pair(async |socket, peer| {
        let number = socket.place.0;
        drop(socket);
        peer.set_nonblocking(true).unwrap();
        let again = Kept::new(Unregistered::from(peer));
        assert_eq!(Socket::register(again).unwrap().place.0, number);
        assert_eq!(with(|sockets| sockets.states.len()), Some(1));
    });
}
