//! How a batch of commands reaches the connections: each gets all that is for it in one write.
//!
//! The commands for one connection are chained through the batch, broadcasts are merged in at their places,
//! and frames that lie side by side are written as one piece. Most batches are either for single connections
//! only or broadcasts only; for the latter the pieces are found once and serve for everybody. A message to a
//! topic is in the chain of each connection that is a member at its place among the commands; where this
//! makes many links, the batch is delivered in parts.

use crate::chains::{Chains, NONE, View};
use crate::driver::Conn;
use crate::event::ConnId;
use crate::hub::Hub;
use crate::mailbox::{Commands, Mailbox, Target, What};
use crate::pace::Pace;
use crate::stream::Stream;
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::task::Waker;

/// Pieces handed to one vectored write.
const SLICES: usize = 64;

/// Scratch space of a hub for the batch at hand; empty between batches but for its capacity.
#[derive(Default)]
pub(crate) struct Plan {
    chains: Chains,
    /// The commands for everybody.
    broadcasts: Vec<u32>,
    /// Connections with commands of their own.
    touched: Vec<ConnId>,
    /// What one connection gets, in order.
    frames: Vec<u32>,
    pieces: Vec<Piece>,
}

/// Bytes that are written as one.
pub(crate) enum Piece {
    Arena(Range<usize>),
    Large(u32),
}

impl Hub {
    /// Takes all commands of the host and carries them out. False: there were none.
    #[inline]
    pub(crate) fn run_commands(&mut self) -> bool {
        self.run_commands_taken_by(|mailbox, commands| mailbox.take(commands))
    }

    /// The same, with another way to take them.
    #[inline]
    pub(crate) fn run_commands_taken_by(
        &mut self,
        take: impl FnOnce(&Mailbox, &mut Commands) -> bool,
    ) -> bool {
        let mut commands = std::mem::take(&mut self.commands);
        let any = take(&self.link().mailbox, &mut commands);
        if any {
            // A timeout that begins with a command must not be cut short by the time the thread was kept from it.
            self.now = self.shared.now();
            let count = commands.list.len();
            // What is for many takes long for another reason than that there are so many events.
            let are_answers = commands.list.iter().all(|command| matches!(command.target, Target::One(_)));
            self.carry_out(&mut commands);
            if count > 0 && are_answers {
                let taken = self.shared.now().saturating_sub(self.now);
                self.link().inbox.answered(count, taken, self.now);
            }
            commands.clear(&self.shared.buffers);
        }
        self.commands = commands;
        any
    }

    /// Has the batch at hand kept the thread for as long as one may while others are there?
    pub(crate) fn answers_for_long(&self) -> bool {
        self.shared.now().saturating_sub(self.now) > Pace::BESIDE_OTHERS.batch
    }

    fn carry_out(&mut self, commands: &mut Commands) {
        if commands.resume {
            self.resume();
        }
        if let Some(relief) = commands.relief {
            self.give_way(relief);
        }
        for (conn, decision) in commands.decisions.drain(..) {
            self.decide(conn, decision);
        }
        if !commands.sockets.is_empty() {
            self.sockets.append(&mut commands.sockets);
            self.wake_root();
        }
        let mut plan = std::mem::take(&mut self.plan);
        let mut planned = 0;
        while planned < commands.list.len() {
            plan.chains.begin(commands.list.len());
            planned = self.make_plan(commands, planned, &mut plan);
            self.deliver(commands, &mut plan);
            plan.broadcasts.clear();
            plan.touched.clear();
        }
        plan.chains.end();
        self.plan = plan;
        self.encoder.clear();
        for id in std::mem::take(&mut commands.refused) {
            if self.get_mut(id).is_some()
                && let Some(mut conn) = self.take(id.slot())
            {
                conn.want_drain(self);
                self.put_back(conn);
            }
        }
        if let Some(stop) = commands.stop {
            self.stop(stop);
        }
    }

    /// Chains the commands for each connection, those from `begin` on, and says with which the next part
    /// begins.
    fn make_plan(&mut self, commands: &Commands, begin: usize, plan: &mut Plan) -> usize {
        let rest = commands.list.get(begin..).unwrap_or_default();
        for (index, command) in (begin as u32..).zip(rest) {
            match command.target {
                Target::All { .. } => plan.broadcasts.push(index),
                Target::One(id) => {
                    if let Some(conn) = self.get_mut(id) {
                        plan.chain(conn, index);
                    }
                }
                Target::Topic { topic, .. } => {
                    self.plan_topic(commands, index, topic, plan);
                    if plan.chains.is_full() {
                        return index as usize + 1;
                    }
                }
            }
        }
        commands.list.len()
    }

    /// Changes the members of a topic, or chains a message for each of them.
    fn plan_topic(&mut self, commands: &Commands, index: u32, topic: u32, plan: &mut Plan) {
        match commands.list.get(index as usize).map(|command| &command.what) {
            // One that has ended since would be a member for ever.
            Some(What::Subscribe(id)) if self.is_known(*id) => self.members.subscribe(id.slot(), topic),
            Some(What::Unsubscribe(id)) if self.is_known(*id) => self.members.unsubscribe(id.slot(), topic),
            Some(What::Subscribe(_) | What::Unsubscribe(_)) => {}
            _ => self.for_members(topic, |conn| {
                if !is_excepted(commands, index, conn.id) {
                    let link = plan.chains.add(index);
                    plan.chain(conn, link);
                }
            }),
        }
    }

    fn deliver(&mut self, commands: &Commands, plan: &mut Plan) {
        if plan.broadcasts.is_empty() {
            // Put back for its capacity: this runs for every batch.
            let mut touched = std::mem::take(&mut plan.touched);
            if self.has_line() {
                // Nobody waits for what those get who send much.
                touched.sort_by_key(|id| self.is_in_line(id.slot()));
            }
            for id in &touched {
                if let Some(mut conn) = self.take(id.slot()) {
                    plan.frames_of(&mut conn, commands);
                    plan.find_pieces(commands);
                    conn.carry_out(self, commands, &plan.frames, &plan.pieces);
                    self.put_back(conn);
                }
            }
            plan.touched = touched;
            return;
        }
        let for_everybody = commands.exceptions.is_empty();
        if for_everybody {
            plan.frames.clone_from(&plan.broadcasts);
            plan.find_pieces(commands);
        }
        let mut common = for_everybody;
        self.for_each(|hub, conn| {
            if !conn.chain.is_empty() || !for_everybody {
                plan.frames_of(conn, commands);
                plan.find_pieces(commands);
                common = false;
            } else if !common {
                plan.frames.clone_from(&plan.broadcasts);
                plan.find_pieces(commands);
                common = true;
            }
            conn.carry_out(hub, commands, &plan.frames, &plan.pieces);
        });
    }
}

impl Plan {
    /// Appends a link to the chain of a connection.
    #[inline]
    fn chain(&mut self, conn: &mut Conn, link: u32) {
        if self.chains.append(&mut conn.chain, link) {
            self.touched.push(conn.id);
        }
    }

    /// Merges a connection's own commands with the broadcasts that are for it, up to a close or abort, and ends its
    /// chain.
    fn frames_of(&mut self, conn: &mut Conn, commands: &Commands) {
        let Plan { chains, broadcasts, frames, .. } = self;
        let chains = chains.view();
        frames.clear();
        let mut own = conn.chain.take();
        let mut broadcasts = broadcasts.iter().copied();
        let mut broadcast = broadcasts.next().unwrap_or(NONE);
        loop {
            let command = chains.command(own);
            if broadcast < command {
                if !is_excepted(commands, broadcast, conn.id) {
                    frames.push(broadcast);
                }
                broadcast = broadcasts.next().unwrap_or(NONE);
            } else if command == NONE {
                return;
            } else if is_ending(commands, command) {
                frames.push(last_ending(chains, own, commands));
                return;
            } else {
                frames.push(command);
                own = chains.after(own);
            }
        }
    }

    /// Joins frames that lie side by side.
    fn find_pieces(&mut self, commands: &Commands) {
        self.pieces.clear();
        for &frame in &self.frames {
            match commands.list.get(frame as usize).map(|command| &command.what) {
                Some(What::Small(range)) => match self.pieces.last_mut() {
                    Some(Piece::Arena(last)) if last.end == range.start => last.end = range.end,
                    _ => self.pieces.push(Piece::Arena(range.clone())),
                },
                Some(What::Large(index)) => self.pieces.push(Piece::Large(*index)),
                _ => {}
            }
        }
    }
}

impl Commands {
    /// Bytes of a piece.
    pub(crate) fn piece_len(&self, piece: &Piece) -> usize {
        match piece {
            Piece::Arena(range) => range.len(),
            Piece::Large(index) => self.large.get(*index as usize).map_or(0, Bytes::len),
        }
    }
}

fn is_ending(commands: &Commands, command: u32) -> bool {
    commands.list.get(command as usize).is_some_and(|command| command.what.is_ending())
}

/// Of a close and an abort in one batch the abort counts. A topic's message behind them came too late.
#[cold]
fn last_ending(chains: View<'_>, first: u32, commands: &Commands) -> u32 {
    let link = |link: u32| (link != NONE).then_some(link);
    let rest = std::iter::successors(Some(first), |last| link(chains.after(*last)));
    rest.map(|link| chains.command(link))
        .filter(|command| is_ending(commands, *command))
        .last()
        .unwrap_or(NONE)
}

fn is_excepted(commands: &Commands, command: u32, id: ConnId) -> bool {
    let Some(command) = commands.list.get(command as usize) else { return false };
    let (Target::All { except } | Target::Topic { except, .. }) = command.target else { return false };
    let except = except.and_then(|except| commands.exceptions.get(except as usize));
    except.is_some_and(|except| except.binary_search(&id).is_ok())
}

/// Writes frames that are encoded for one connection as [`write`] does.
pub(crate) fn write_frames(stream: &mut Stream, waker: &Waker, frames: &[Bytes]) -> io::Result<usize> {
    write_slices(stream, waker, frames, |frame| frame)
}

/// Writes pieces until all is written or the socket takes no more; says how many bytes it took.
pub(crate) fn write(
    stream: &mut Stream,
    waker: &Waker,
    commands: &Commands,
    pieces: &[Piece],
) -> io::Result<usize> {
    let bytes = |piece: &Piece| match piece {
        Piece::Arena(range) => commands.bytes(range),
        Piece::Large(index) => commands.large.get(*index as usize).map_or(&[][..], |frame| frame),
    };
    write_slices(stream, waker, pieces, bytes)
}

fn write_slices<'a, T>(
    stream: &mut Stream,
    waker: &Waker,
    pieces: &'a [T],
    bytes: impl Fn(&'a T) -> &'a [u8],
) -> io::Result<usize> {
    if let [piece] = pieces {
        return stream.try_write(waker, bytes(piece));
    }
    let mut written = 0;
    for pieces in pieces.chunks(SLICES) {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut total = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(bytes(piece));
            total += slice.len();
        }
        match stream.try_write_vectored(waker, slices.get(..pieces.len()).unwrap_or_default()) {
            Ok(taken) => {
                written += taken;
                if taken < total {
                    break;
                }
            }
            Err(error) if written == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use crate::driver::tests::{open, poll};
    use crate::{Config, Kind, Server};
    use std::io::Read;

    /// While the I/O thread writes, the host is some dozen messages further, and a part ends after 16 links.
    #[test]
    fn a_batch_in_parts_keeps_the_order_and_loses_nothing() {
        let mut config = Config::new();
        for (name, value) in
            [("listen", "127.0.0.1:0"), ("io_threads", "1"), ("send_queue_messages", "100000")]
        {
            config.set(name, value).unwrap();
        }
        let server = Server::start(&config).unwrap();
        let mut members: Vec<_> =
            (0..7).map(|_| (open(&server), poll(&server).0.unwrap(), Vec::new())).collect();
        for (i, (_, conn, _)) in members.iter().enumerate() {
            server.subscribe(*conn, if i == 6 { "other" } else { "topic" }).unwrap();
        }
        for i in 0..1_000u16 {
            let number = i.to_be_bytes();
            let one = usize::from(i % 7);
            let topic = |member: usize| member < 6;
            let (message, to): (_, &dyn Fn(usize) -> bool) = match i % 5 {
                0 => {
                    (server.send(members[one].1, Kind::Binary, &number).map(|()| 1), &|member| member == one)
                }
                1 => (server.broadcast(Kind::Binary, &number, &[]), &|_| true),
                _ => (server.publish(Kind::Binary, "topic", &number, &[]), &topic),
            };
            let expected = members.iter_mut().enumerate().filter(|(member, _)| to(*member));
            let reached =
                expected.map(|(_, (.., expected))| expected.extend([0x82, 2, number[0], number[1]]));
            assert_eq!(message, Ok(reached.count()));
        }
        for (stream, _, expected) in &mut members {
            let mut received = vec![0; expected.len()];
            stream.read_exact(&mut received).unwrap();
            assert_eq!(received, *expected);
        }
    }
}
