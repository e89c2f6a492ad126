//! How a batch of commands reaches the connections: each gets all that is for it in one write.
//!
//! The commands for one connection are chained through the batch, broadcasts are merged in at their places, and
//! frames that lie side by side are written as one piece. Most batches are either for single connections only or
//! broadcasts only; for the latter the pieces are found once and serve for everybody.

use crate::driver::Conn;
use crate::event::ConnId;
use crate::hub::Hub;
use crate::mailbox::{Commands, Target, What};
use crate::stream::Stream;
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::task::Waker;

/// Pieces handed to one vectored write.
const SLICES: usize = 64;

/// Marks the end of a chain.
const NONE: u32 = u32::MAX;

/// Scratch space of a hub for the batch at hand; empty between batches but for its capacity.
#[derive(Default)]
pub(crate) struct Plan {
    /// For each command the next one for the same connection.
    next: Vec<u32>,
    /// The commands for everybody.
    broadcasts: Vec<u32>,
    /// Connections with commands of their own.
    touched: Vec<ConnId>,
    /// What one connection gets, in order.
    frames: Vec<u32>,
    pieces: Vec<Piece>,
}

/// A connection's chain of commands in the batch at hand.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    pub(crate) const EMPTY: Chain = Chain { first: NONE, last: NONE };
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
        let mut commands = std::mem::take(&mut self.commands);
        let any = self.link().mailbox.take(&mut commands);
        if any {
            // A timeout that begins with a command must not be cut short by the time the thread was kept from it.
            self.now = self.shared.now();
            self.carry_out(&mut commands);
            commands.clear();
        }
        self.commands = commands;
        any
    }

    fn carry_out(&mut self, commands: &mut Commands) {
        if commands.resume {
            self.resume();
        }
        for (conn, decision) in commands.decisions.drain(..) {
            self.decide(conn, decision);
        }
        if !commands.sockets.is_empty() {
            self.sockets.append(&mut commands.sockets);
            self.wake_root();
        }
        let mut plan = std::mem::take(&mut self.plan);
        self.make_plan(commands, &mut plan);
        self.deliver(commands, &mut plan);
        self.encoder.clear();
        plan.next.clear();
        plan.broadcasts.clear();
        plan.touched.clear();
        self.plan = plan;
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

    /// Chains the commands for each connection.
    fn make_plan(&mut self, commands: &Commands, plan: &mut Plan) {
        plan.next.resize(commands.list.len(), NONE);
        for (index, command) in commands.list.iter().enumerate() {
            let index = index as u32;
            match command.target {
                Target::All { .. } => plan.broadcasts.push(index),
                Target::One(id) => {
                    let Some(conn) = self.get_mut(id) else { continue };
                    match plan.next.get_mut(conn.chain.last as usize) {
                        Some(next) => *next = index,
                        None => {
                            conn.chain.first = index;
                            plan.touched.push(id);
                        }
                    }
                    conn.chain.last = index;
                }
            }
        }
    }

    fn deliver(&mut self, commands: &Commands, plan: &mut Plan) {
        if plan.broadcasts.is_empty() {
            // Put back for its capacity: this runs for every batch.
            let touched = std::mem::take(&mut plan.touched);
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
            if conn.chain.first != NONE || !for_everybody {
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
    /// Merges a connection's own commands with the broadcasts that are for it, up to a close or abort, and ends its
    /// chain.
    fn frames_of(&mut self, conn: &mut Conn, commands: &Commands) {
        self.frames.clear();
        let mut own = std::mem::replace(&mut conn.chain, Chain::EMPTY).first;
        let mut broadcasts = self.broadcasts.iter().copied().peekable();
        loop {
            match broadcasts.peek() {
                Some(&broadcast) if broadcast < own => {
                    broadcasts.next();
                    if !is_excepted(commands, broadcast, conn.id) {
                        self.frames.push(broadcast);
                    }
                }
                _ if own == NONE => return,
                _ => {
                    self.frames.push(own);
                    if is_ending(commands, own) {
                        // Of a close and an abort in one batch the abort counts.
                        while let Some(next) = self.next.get(own as usize).filter(|next| **next != NONE) {
                            own = *next;
                        }
                        self.frames.pop();
                        self.frames.push(own);
                        return;
                    }
                    own = self.next.get(own as usize).copied().unwrap_or(NONE);
                }
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
                Some(What::Close { .. } | What::Abort | What::Fence) | None => {}
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

fn is_excepted(commands: &Commands, broadcast: u32, id: ConnId) -> bool {
    let Some(command) = commands.list.get(broadcast as usize) else { return false };
    let Target::All { except: Some(except) } = command.target else { return false };
    commands.exceptions.get(except as usize).is_some_and(|except| except.contains(&id))
}

/// Writes frames that are encoded for one connection as [`write`] does.
pub(crate) fn write_frames(
    stream: &mut Stream,
    waker: Option<&Waker>,
    frames: &[Bytes],
) -> io::Result<usize> {
    write_slices(stream, waker, frames, |frame| frame)
}

/// Writes pieces until all is written or the socket takes no more; says how many bytes it took.
pub(crate) fn write(
    stream: &mut Stream,
    waker: Option<&Waker>,
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
    waker: Option<&Waker>,
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
