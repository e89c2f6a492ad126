//! What the threads of one server share: the settings, and one link for each I/O thread.

use crate::backplane::Backplane;
use crate::buffers::Buffers;
use crate::config::Settings;
use crate::history::History;
use crate::inbox::Inbox;
use crate::mailbox::{Mailbox, QueueCaps};
use crate::pace::Others;
use crate::presence::Presence;
use crate::repeats::Repeats;
use crate::stats::Counters;
use crate::systemd::Notify;
use crate::tls::Tls;
use crate::wake::HostWake;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use wsengine_proto::handshake::Policy;

/// Everything that host threads and I/O threads share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) buffers: Buffers,
    /// Who may connect, as all options together say.
    pub(crate) policy: Policy,
    pub(crate) tls: Option<Tls>,
    pub(crate) links: Vec<Link>,
    /// There is no backplane, no history and no presence: messages for many go to them as they are. One answer for all that
    /// publish, instead of three from different places.
    pub(crate) is_plain: bool,
    pub(crate) wake: HostWake,
    /// Those who send little.
    pub(crate) others: Others,
    pub(crate) started: Instant,
    /// I/O threads that have not ended yet.
    pub(crate) running: AtomicUsize,
    /// Bytes in the outboxes of all connections.
    pub(crate) queued_bytes: AtomicUsize,
    pub(crate) handshakes: Arc<AtomicUsize>,
    /// How many of them there may be.
    pub(crate) max_sockets: usize,
    /// Until then their places are wanted, in milliseconds.
    wanted: AtomicU64,
    /// Files that may be read at once, each for one of these sockets.
    pub(crate) files: Arc<Semaphore>,
    /// How many may push at once.
    pub(crate) max_pushers: usize,
    /// Events in the host's hands that it has not looked at.
    pub(crate) held_events: AtomicUsize,
    pub(crate) seats: Seats,
    pub(crate) history: History,
    pub(crate) presence: Presence,
    /// What other processes and other nodes have said lately.
    pub(crate) repeats: Mutex<Repeats>,
    /// Where messages for many go, if there are other nodes.
    pub(crate) backplane: Option<Backplane>,
    /// Where systemd wants to hear of us.
    pub(crate) notify: Option<Notify>,
    /// The host has polled since somebody looked.
    pub(crate) polled: AtomicBool,
}

/// Where the host and one I/O thread meet, and nowhere else.
pub(crate) struct Link {
    pub(crate) inbox: Inbox,
    pub(crate) mailbox: Mailbox,
    pub(crate) counters: Counters,
    /// No queue of a connection of this thread is larger.
    pub(crate) largest_queue: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(settings: Settings, tls: Option<Tls>, open_files: usize) -> io::Result<Self> {
        let threads = settings.thread_count();
        let caps = QueueCaps { bytes: settings.send_queue_bytes, messages: settings.send_queue_messages };
        let random = || RandomState::new().hash_one(std::process::id());
        let node = format!("{:016x}{:016x}", random(), random());
        let history = History::new(settings.history.clone(), settings.history_bytes);
        let presence = Presence::new(&settings.presence, &node);
        let link = || Link {
            inbox: Inbox::new(settings.event_queue_events, settings.event_queue_bytes, threads),
            mailbox: Mailbox::new(caps, settings.backplane.is_some(), presence.gone()),
            counters: Counters::default(),
            largest_queue: AtomicUsize::new(0),
        };
        Ok(Shared {
            buffers: Buffers::default(),
            is_plain: settings.backplane.is_none() && !history.is_on() && !presence.is_on(),
            links: (0..threads).map(|_| link()).collect(),
            wake: HostWake::new()?,
            others: Others::default(),
            started: Instant::now(),
            running: AtomicUsize::new(threads),
            queued_bytes: AtomicUsize::new(0),
            handshakes: Arc::default(),
            max_sockets: max_sockets(open_files),
            wanted: AtomicU64::new(0),
            files: Arc::new(Semaphore::new(max_files(open_files))),
            max_pushers: max_pushers(&settings, open_files),
            held_events: AtomicUsize::new(0),
            seats: Seats::new(&settings, open_files),
            policy: settings.whole_policy(),
            backplane: settings.backplane.as_ref().map(|_| Backplane::new(&settings.app, &node)),
            history,
            presence,
            repeats: Mutex::default(),
            notify: if settings.systemd_notify { Notify::from_environment() } else { None },
            polled: AtomicBool::new(false),
            tls,
            settings,
        })
    }

    /// Are there as many sockets that are no connections yet as there may be? To be asked by who has another one.
    pub(crate) fn has_all_sockets(&self) -> bool {
        let has_all = self.handshakes.load(Ordering::Relaxed) >= self.max_sockets;
        if has_all {
            self.wanted.store(self.now().as_millis() as u64 + PLACES_WANTED_MS, Ordering::Relaxed);
        }
        has_all
    }

    /// Does somebody wait for the place of such a socket, or did a moment ago? When the first has gone for them the rest of
    /// those who are late shall go, too, and not each a second after the other.
    pub(crate) fn places_are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > self.now().as_millis() as u64
    }

    /// How many handshakes of one thread may wait for the host: half of the sockets, so that files and refusals go on.
    pub(crate) fn max_undecided(&self) -> usize {
        (self.max_sockets / 2 / self.links.len()).max(1)
    }

    /// Tells systemd, if it wants to hear.
    pub(crate) fn tell_systemd(&self, what: &str) {
        if let Some(notify) = &self.notify {
            notify.say(what);
        }
    }

    /// Has the host polled since this was asked last, or does it wait for events?
    pub(crate) fn host_is_alive(&self) -> bool {
        self.polled.swap(false, Ordering::Relaxed) || self.wake.is_armed()
    }

    /// The engine's time.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Descriptors kept back from connections and from all that peers make us open: listeners, the host's own.
const RESERVED_FILES: usize = 64;
/// So long after there was no place for a socket.
const PLACES_WANTED_MS: u64 = 100;
/// Sockets that are no connections yet, of all threads, where there are descriptors enough.
const MAX_SOCKETS: usize = 1_024;

/// Where descriptors are few they must not run out before it shows that there are too many of such sockets.
fn max_sockets(open_files: usize) -> usize {
    (open_files / 4).clamp(1, MAX_SOCKETS)
}

/// Files that are served, so that those who read slowly have neither all descriptors nor all places of newcomers.
fn max_files(open_files: usize) -> usize {
    max_sockets(open_files).div_ceil(4)
}

/// Those who push, where there are descriptors enough: 512, and 64 who have yet to say the password.
const MAX_PUSHERS: usize = 576;

fn max_pushers(settings: &Settings, open_files: usize) -> usize {
    if settings.push_listen.is_empty() { 0 } else { (open_files / 8).clamp(2, MAX_PUSHERS) }
}

/// A place among those that may be connected. It is taken with the 101 and given back when this is dropped, however its
/// connection ends; so is what counted of its queue.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    ip: Option<IpAddr>,
    queued_bytes: usize,
}

impl Seat {
    /// Takes a seat, or says why there is none.
    pub(crate) fn take(shared: &Arc<Shared>, ip: Option<IpAddr>) -> Result<Seat, &'static str> {
        shared.seats.take(ip).map(|()| Seat { shared: shared.clone(), ip, queued_bytes: 0 })
    }

    /// What lies in its queue now, for the sum of all queues.
    pub(crate) fn count_queue(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.queued_bytes, bytes);
        // Less than before wraps, and so does the sum.
        self.shared.queued_bytes.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.queued_bytes > 0 {
            self.count_queue(0);
        }
        self.shared.seats.leave(self.ip);
    }
}

/// How many may be connected, in all and from one address.
pub(crate) struct Seats {
    max: usize,
    max_per_ip: usize,
    taken: AtomicUsize,
    by_ip: Mutex<HashMap<IpAddr, usize>>,
}

impl Seats {
    fn new(settings: &Settings, open_files: usize) -> Self {
        let files = if settings.static_root.is_some() { max_files(open_files) } else { 0 };
        let others = RESERVED_FILES + max_sockets(open_files) + files + max_pushers(settings, open_files);
        let allowed = open_files.saturating_sub(others).max(1);
        let max = match settings.max_connections {
            0 => allowed,
            max => max,
        };
        if max > allowed {
            tracing::warn!(
                max_connections = max,
                open_files,
                "the limit of open files allows fewer connections"
            );
        }
        Seats {
            max,
            max_per_ip: settings.max_connections_per_ip,
            taken: AtomicUsize::new(0),
            by_ip: Mutex::default(),
        }
    }

    /// Peers without an address are counted in all only.
    fn take(&self, ip: Option<IpAddr>) -> Result<(), &'static str> {
        let below_max = |taken| (taken < self.max).then_some(taken + 1);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_max).is_err() {
            return Err("The server is full; try again later.");
        }
        let Some(ip) = self.counted(ip) else { return Ok(()) };
        let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_ip.entry(ip).or_insert(0);
        if *count >= self.max_per_ip {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return Err("Too many connections from this address.");
        }
        *count += 1;
        Ok(())
    }

    /// What a peer is counted as, if they are: of IPv6 the network, of whose addresses any peer has as many as it likes.
    fn counted(&self, ip: Option<IpAddr>) -> Option<IpAddr> {
        const NETWORK: u128 = u128::MAX << 64;
        // Addresses of IPv4 behind a translator (RFC 6052): 64:ff9b::/96.
        const TRANSLATED: u128 = 0x64_ff9b << 64;
        ip.filter(|_| self.max_per_ip > 0).map(|ip| match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(v6) if v6.to_bits() >> 32 == TRANSLATED => ip,
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & NETWORK)),
        })
    }

    fn leave(&self, ip: Option<IpAddr>) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(ip) = self.counted(ip) else { return };
        let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = by_ip.entry(ip) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn seats(max: &str, per_ip: &str) -> Seats {
        let mut config = Config::new();
        config.set("max_connections", max).unwrap();
        config.set("max_connections_per_ip", per_ip).unwrap();
        Seats::new(&config.settings, 1_024)
    }

    /// It may be put aside at any time, so nothing but what it says ends its work.
    #[test]
    fn a_woken_host_is_at_work_until_it_finds_nothing() {
        let wake = HostWake::new().unwrap();
        wake.notify();
        assert!(!wake.is_at_work(), "nobody sleeps");
        wake.arm();
        wake.notify();
        assert!(wake.is_at_work());
        wake.disarm();
        assert!(wake.is_at_work(), "it has woken and has taken nothing yet");
        wake.export();
        for something_waits in [true, false] {
            wake.settle(|| something_waits);
            assert!(wake.is_at_work(), "a poll has ended, and it looks at what that gave");
        }
        wake.set_at_work(false);
        assert!(!wake.is_at_work());
    }

    #[test]
    fn seats_are_counted_in_all_and_by_address() {
        let (one, two) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        let seats = seats("3", "2");
        assert!(seats.take(one).is_ok() && seats.take(one).is_ok());
        assert!(seats.take(one).is_err(), "third of one address");
        assert!(seats.take(two).is_ok());
        assert!(seats.take(two).is_err(), "fourth in all");
        seats.leave(one);
        assert!(seats.take(one).is_ok());
        for ip in [one, one, two] {
            seats.leave(ip);
        }
        assert!(seats.by_ip.lock().unwrap().is_empty());
    }

    /// Also of one that a fault of ours ends, which publishes nothing any more.
    #[test]
    fn with_a_seat_goes_what_counted_of_its_queue() {
        let shared = Arc::new(Shared::new(Config::new().settings, None, 1_024).unwrap());
        let queued = || shared.queued_bytes.load(Ordering::Relaxed);
        let (mut one, mut two) = (Seat::take(&shared, None).unwrap(), Seat::take(&shared, None).unwrap());
        one.count_queue(100);
        two.count_queue(7);
        one.count_queue(40);
        assert_eq!(queued(), 47);
        drop(one);
        assert_eq!(queued(), 7);
        drop(two);
        assert_eq!((queued(), shared.seats.taken.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one() {
        let ip = |text: &str| Some(text.parse().unwrap());
        let seats = seats("9", "2");
        assert!(seats.take(ip("2001:db8::1")).is_ok() && seats.take(ip("2001:db8::ffff:2")).is_ok());
        assert!(seats.take(ip("2001:db8::3")).is_err());
        assert!(seats.take(ip("2001:db8:0:1::3")).is_ok(), "another network");
        seats.leave(ip("2001:db8::1"));
        assert!(seats.take(ip("2001:db8::4")).is_ok());
        assert!(
            (1..4).all(|n| seats.take(ip(&format!("64:ff9b::192.0.2.{n}"))).is_ok()),
            "these are of IPv4"
        );
    }

    #[test]
    fn without_a_number_the_limit_of_open_files_counts() {
        assert_eq!(seats("0", "0").max, 1_024 - RESERVED_FILES - 256);
    }

    #[test]
    fn an_armed_host_is_woken_once() {
        let wake = HostWake::new().unwrap();
        wake.notify();
        wake.arm();
        wake.notify();
        assert!(!wake.is_armed());
    }
}
