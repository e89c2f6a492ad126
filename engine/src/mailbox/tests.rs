//! What a host may queue, and what the I/O thread takes.

use super::*;
use crate::buffers::Buffers;
use wsengine_proto::Kind;

fn mailbox(bytes: usize, messages: usize) -> (Mailbox, ConnId) {
    let mailbox = Mailbox::new(QueueCaps { bytes, messages }, false, None);
    let conn = ConnId::new(0, 0, 1);
    mailbox.opened(conn, false, &mut Commands::default());
    (mailbox, conn)
}

fn send(mailbox: &Mailbox, conn: ConnId, payload: &[u8]) -> Result<(), SendError> {
    mailbox.send(conn, &Frame::new(Kind::Binary, payload, &Buffers::default()))
}

#[test]
fn a_queue_is_full_by_messages_until_the_thread_is_done() {
    let (mailbox, conn) = mailbox(1_000, 2);
    assert_eq!(send(&mailbox, conn, b"1"), Ok(()));
    assert_eq!(send(&mailbox, conn, b"2"), Ok(()));
    assert_eq!(send(&mailbox, conn, b"3"), Err(SendError::QueueFull));

    let mut commands = Commands::default();
    assert!(mailbox.take(&mut commands));
    assert_eq!((commands.list.len(), commands.refused.as_slice()), (2, &[conn][..]));
    // Taken is not done: the thread may still find that the socket takes nothing.
    assert_eq!(send(&mailbox, conn, b"3"), Err(SendError::QueueFull));
    commands.clear(&Buffers::default());
    assert!(mailbox.take(&mut commands));
    commands.clear(&Buffers::default());
    assert!(!mailbox.take(&mut commands));
    assert_eq!(send(&mailbox, conn, b"3"), Ok(()));
}

#[test]
fn a_queue_is_full_by_bytes_but_takes_one_message_when_empty() {
    let (mailbox, conn) = mailbox(10, 100);
    assert_eq!(send(&mailbox, conn, &[0; 10]), Ok(()), "the cap is about payload");
    assert_eq!(send(&mailbox, conn, &[0; 1]), Err(SendError::QueueFull));
    assert_eq!(mailbox.waiting(conn), Some(Waiting { bytes: 12, messages: 1 }));
}

#[test]
fn what_lies_in_the_outbox_counts() {
    let (mailbox, conn) = mailbox(100, 3);
    mailbox.publish(conn, Waiting { bytes: 50, messages: 2 });
    assert_eq!(send(&mailbox, conn, &[0; 60]), Err(SendError::QueueFull));
    assert_eq!(send(&mailbox, conn, &[0; 10]), Ok(()));
    assert_eq!(send(&mailbox, conn, &[0; 10]), Err(SendError::QueueFull));
}

#[test]
fn what_has_come_into_the_outbox_is_not_counted_twice() {
    let (mailbox, conn) = mailbox(100, 10);
    let mut commands = Commands::default();
    send(&mailbox, conn, &[0; 30]).unwrap();
    assert!(mailbox.take(&mut commands));
    send(&mailbox, conn, &[0; 10]).unwrap();
    mailbox.publish(conn, Waiting { bytes: 32, messages: 1 });
    assert_eq!(mailbox.waiting(conn), Some(Waiting { bytes: 44, messages: 2 }));
    commands.clear(&Buffers::default());
    assert!(mailbox.take(&mut commands));
    mailbox.publish(conn, Waiting { bytes: 44, messages: 2 });
    assert_eq!(mailbox.waiting(conn), Some(Waiting { bytes: 44, messages: 2 }));
}

#[test]
fn nothing_goes_to_a_closed_connection_or_to_the_next_in_its_slot() {
    let (mailbox, conn) = mailbox(100, 10);
    assert_eq!(mailbox.close(conn, 1000, "bye"), Ok(()));
    assert_eq!(send(&mailbox, conn, b"late"), Err(SendError::Gone));
    assert_eq!(mailbox.close(conn, 1000, "again"), Err(SendError::Gone));
    assert_eq!(mailbox.abort(conn), Ok(()), "what is closing can still be cut");
    mailbox.closed(conn);
    assert_eq!(mailbox.abort(conn), Err(SendError::Gone));
    let next = ConnId::new(0, 0, 2);
    mailbox.opened(next, false, &mut Commands::default());
    assert_eq!(send(&mailbox, conn, b"late"), Err(SendError::Gone));
    assert_eq!(send(&mailbox, next, b"new"), Ok(()));
}

#[test]
fn no_connection_has_the_number_0_also_when_its_slot_is_free() {
    let (mailbox, conn) = mailbox(100, 10);
    mailbox.closed(conn);
    let nobody = ConnId::from_u64(0);
    assert_eq!(send(&mailbox, nobody, b""), Err(SendError::Gone));
    assert_eq!(mailbox.close(nobody, 1000, ""), Err(SendError::Gone));
    assert_eq!(mailbox.abort(nobody), Err(SendError::Gone));
    assert!(mailbox.waiting(nobody).is_none());
    mailbox.opened(ConnId::new(0, 1, 1), false, &mut Commands::default());
    assert_eq!(mailbox.broadcast(&Frame::new(Kind::Text, b"all", &Buffers::default()), &[nobody]), Ok(1));
}

#[test]
fn a_broadcast_counts_whom_it_reaches() {
    let (mailbox, conn) = mailbox(100, 10);
    let other = ConnId::new(0, 1, 1);
    mailbox.opened(other, false, &mut Commands::default());
    let frame = Frame::new(Kind::Text, b"all", &Buffers::default());
    assert_eq!(mailbox.broadcast(&frame, &[]), Ok(2));
    assert_eq!(mailbox.broadcast(&frame, &[conn, ConnId::from_u64(99)]), Ok(1));
    assert_eq!(mailbox.broadcast(&frame, &[conn, conn]), Ok(1), "named twice, left out once");
    mailbox.closing(other);
    assert_eq!(mailbox.broadcast(&frame, &[]), Ok(1));
    mailbox.closed(other);
    assert_eq!(mailbox.broadcast(&frame, &[conn]), Ok(0));
}

#[test]
fn what_was_broadcast_before_a_connection_opened_is_taken_then_and_nothing_else_is() {
    let (mailbox, conn) = mailbox(100, 10);
    let mut commands = Commands::default();
    assert_eq!(send(&mailbox, conn, b"1"), Ok(()));
    assert!(!mailbox.opened(ConnId::new(0, 1, 1), false, &mut commands));
    mailbox.broadcast(&Frame::new(Kind::Text, b"all", &Buffers::default()), &[]).unwrap();
    assert!(mailbox.opened(ConnId::new(0, 2, 1), false, &mut commands));
    assert_eq!(commands.list.len(), 2);
    commands.clear(&Buffers::default());
    assert_eq!(send(&mailbox, conn, b"2"), Ok(()));
    assert!(!mailbox.opened(ConnId::new(0, 3, 1), false, &mut commands));
    assert!(mailbox.take(&mut commands));
    assert_eq!(commands.list.len(), 1);
}

#[test]
fn a_busy_thread_that_keeps_up_leaves_room() {
    let (mailbox, conn) = mailbox(1_000, 4);
    let mut commands = Commands::default();
    for _ in 0..100 {
        // Each time it looks there is something, so it is never seen idle.
        assert_eq!(send(&mailbox, conn, b"1"), Ok(()));
        assert_eq!(send(&mailbox, conn, b"2"), Ok(()));
        assert!(mailbox.take(&mut commands));
        commands.clear(&Buffers::default());
    }
}

#[test]
fn a_later_stop_can_only_hasten_an_earlier_one() {
    let (mailbox, _) = mailbox(100, 10);
    for (code, seconds) in [(1001, 20), (1011, 1), (1001, 20)] {
        mailbox.stop(Stop { code, drain: Duration::from_secs(seconds) });
    }
    let mut commands = Commands::default();
    assert!(mailbox.take(&mut commands));
    assert_eq!(commands.stop, Some(Stop { code: 1001, drain: Duration::from_secs(1) }));
}

#[test]
fn after_a_stop_nothing_is_taken() {
    let (mailbox, conn) = mailbox(100, 10);
    mailbox.stop(Stop { code: 1001, drain: Duration::ZERO });
    assert_eq!(
        mailbox.broadcast(&Frame::new(Kind::Text, b"", &Buffers::default()), &[]),
        Err(SendError::Stopped)
    );
    assert_eq!(send(&mailbox, conn, b""), Err(SendError::Stopped));
}
