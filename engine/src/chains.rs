//! Which commands of a batch are for which connection: a chain through the batch for each of them.

/// Stands for no link and no command.
pub(crate) const NONE: u32 = u32::MAX;

/// A part of a batch ends with the message to a topic that brings its links to so many (8 MiB). Few in unit
/// tests, which never have as many.
const MAX_LINKS: usize = if cfg!(test) { 16 } else { 1 << 20 };
/// So many have room for the next batch.
const KEPT_LINKS: usize = 1 << 17;

/// A connection's chain in the batch at hand: the links where it begins and ends.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    pub(crate) const EMPTY: Chain = Chain { first: NONE, last: NONE };

    pub(crate) fn is_empty(self) -> bool {
        self.first == NONE
    }

    /// Empties it and gives its first link.
    #[inline]
    pub(crate) fn take(&mut self) -> u32 {
        std::mem::replace(self, Chain::EMPTY).first
    }
}

/// The links of all chains. The first links stand for the commands, in their order; with a message to a topic
/// come as many more as the topic has members.
#[derive(Default)]
pub(crate) struct Chains {
    /// What follows each link.
    next: Vec<u32>,
    /// The commands that the further links stand for.
    more: Vec<u32>,
    /// How many links stand for the commands.
    first: u32,
}

impl Chains {
    /// Makes a link for each command.
    pub(crate) fn begin(&mut self, commands: usize) {
        self.first = commands as u32;
        self.more.clear();
        self.next.clear();
        self.next.resize(commands, NONE);
    }

    /// The batch is done.
    pub(crate) fn end(&mut self) {
        self.begin(0);
        self.next.shrink_to(KEPT_LINKS);
        self.more.shrink_to(KEPT_LINKS);
    }

    /// Adds a link that stands for a command.
    pub(crate) fn add(&mut self, command: u32) -> u32 {
        self.more.push(command);
        self.next.push(NONE);
        self.next.len() as u32 - 1
    }

    pub(crate) fn is_full(&self) -> bool {
        self.more.len() >= MAX_LINKS
    }

    /// Appends a link to a chain. True: it is the first.
    #[inline]
    pub(crate) fn append(&mut self, chain: &mut Chain, link: u32) -> bool {
        let last = std::mem::replace(&mut chain.last, link);
        match self.next.get_mut(last as usize) {
            Some(next) => *next = link,
            None => chain.first = link,
        }
        last == NONE
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { next: &self.next, more: &self.more, first: self.first }
    }
}

/// Chains that are whole.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    next: &'a [u32],
    more: &'a [u32],
    first: u32,
}

impl View<'_> {
    /// The command that a link stands for.
    #[inline]
    pub(crate) fn command(self, link: u32) -> u32 {
        if link < self.first {
            return link;
        }
        self.more.get((link - self.first) as usize).copied().unwrap_or(NONE)
    }

    /// The link that follows another.
    #[inline]
    pub(crate) fn after(self, link: u32) -> u32 {
        self.next.get(link as usize).copied().unwrap_or(NONE)
    }
}
