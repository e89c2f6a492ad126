//! One session with Redis, from the connection to its loss. All goes over the one connection (RESP3), in its order: who
//! publishes after a subscription reaches the new member.

use super::topics::{Changes, Topics};
use super::{Backplane, MAX_WAITING_BYTES, Mode, Outgoing};
use crate::envelope::{self, Audience};
use crate::link::Shared;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, Value,
};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How long Redis may take: to let us in, and to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// After so long without another word it is asked whether it is there; with the time for its answer that makes nine seconds.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// When the server stops Redis has so long.
const GRACE_AT_STOP: Duration = Duration::from_millis(250);
/// How long a topic that has lost its last member may be subscribed to.
const LAG: Duration = Duration::from_secs(1);
/// Channels in one command.
const CHANNELS_PER_COMMAND: usize = 1_000;
/// Bytes of messages in one pipeline.
const BATCH_BYTES: usize = 1 << 20;

/// Why a session has ended.
pub(super) struct Lost(pub(super) String);

impl From<RedisError> for Lost {
    fn from(error: RedisError) -> Self {
        Lost(error.to_string())
    }
}

/// Serves until Redis is lost, or the server stops. Calls `up` when messages may go by Redis.
pub(super) async fn run(
    shared: &Arc<Shared>,
    client: &Client,
    topics: &mut Topics,
    up: impl FnOnce(),
    stopped: &watch::Receiver<bool>,
) -> Result<(), Lost> {
    let Some(backplane) = &shared.backplane else { return Ok(()) };
    let is_lost = Arc::new(AtomicBool::new(false));
    let mut ended = stopped.clone();
    let mut session = tokio::select! {
        session = Session::open(shared, backplane, client, &is_lost, stopped) => session?,
        _ = ended.wait_for(|stopped| *stopped) => return Ok(()),
    };
    session.subscribe(&["all".into()], |_| Audience::All).await?;
    session.follow(topics).await?;
    // Whether it may publish shows now, and not by the first message that is lost.
    session
        .ask(redis::cmd("PUBLISH").arg(format!("wse:{}:probe", backplane.app)).arg(&backplane.node))
        .await?;
    up();
    session.is_up = true;
    let mut next_ping = Instant::now() + PING_INTERVAL;
    loop {
        // First what is published, then for whom: so each message comes after the subscriptions before it.
        session.take_batch();
        let has_followed = session.follow(topics).await?;
        if session.publish().await? {
            next_ping = Instant::now() + PING_INTERVAL;
            continue;
        }
        if has_followed {
            continue;
        }
        if *stopped.borrow() {
            // What was published comes back before the answer to this.
            session.ask(&redis::cmd("PING")).await?;
            return Ok(());
        }
        let lag = Instant::now() + LAG;
        tokio::select! {
            () = backplane.bell.notified() => {}
            () = sleep_until(lag.min(next_ping)) => {}
            _ = ended.wait_for(|stopped| *stopped) => {}
        }
        if is_lost.load(Ordering::Relaxed) {
            return Err(Lost("Redis has closed the connection".into()));
        }
        if backplane.lock().mode == Mode::Alone {
            return Err(too_little());
        }
        if Instant::now() >= next_ping {
            session.ask(&redis::cmd("PING")).await?;
            next_ping = Instant::now() + PING_INTERVAL;
        }
    }
}

struct Session<'a> {
    shared: &'a Shared,
    backplane: &'a Backplane,
    redis: MultiplexedConnection,
    is_lost: Arc<AtomicBool>,
    stopped: watch::Receiver<bool>,
    /// Messages go by it.
    is_up: bool,
    /// The next messages of the hosts.
    batch: Vec<Outgoing>,
}

impl Drop for Session<'_> {
    /// What did not get to Redis is delivered here, in its place. A Redis that was stuck may go on with this connection while
    /// there is another: what comes by it then is not for anybody.
    fn drop(&mut self) {
        self.is_lost.store(true, Ordering::Relaxed);
        let mut state = self.backplane.lock();
        for message in self.batch.drain(..).rev() {
            state.bytes += message.cost();
            state.waiting.push_front(message);
        }
    }
}

impl<'a> Session<'a> {
    async fn open(
        shared: &'a Arc<Shared>,
        backplane: &'a Backplane,
        client: &Client,
        is_lost: &Arc<AtomicBool>,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Self, Lost> {
        let info = client.get_connection_info().clone();
        // Without a name of the library: it would need one right more.
        let settings =
            info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(settings))?;
        let (to, over) = (shared.clone(), is_lost.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_push_sender(move |pushed: PushInfo| {
                pushed_to(&to, &over, pushed);
                Ok::<(), redis::aio::SendError>(())
            });
        let redis = client.get_multiplexed_async_connection_with_config(&config).await?;
        let (is_lost, stopped) = (is_lost.clone(), stopped.clone());
        Ok(Session { shared, backplane, redis, is_lost, stopped, is_up: false, batch: Vec::new() })
    }

    /// Waits for Redis, but when the server stops not for long, and not at all when hosts have given it up. Whoever rings
    /// meanwhile is heard afterwards, as nobody sleeps without having looked once more.
    async fn answer<T>(&self, answer: impl Future<Output = redis::RedisResult<T>>) -> Result<T, Lost> {
        let mut stopped = self.stopped.clone();
        let too_late = async {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            sleep(GRACE_AT_STOP).await;
        };
        let given_up = async {
            while self.backplane.lock().mode != Mode::Alone {
                self.backplane.bell.notified().await;
            }
        };
        tokio::select! {
            answer = answer => Ok(answer?),
            () = given_up, if self.is_up => Err(too_little()),
            () = too_late => Err(Lost("Redis does not answer, and the server stops".into())),
        }
    }

    async fn ask(&self, command: &Cmd) -> Result<Value, Lost> {
        let mut redis = self.redis.clone();
        self.answer(async move { command.query_async(&mut redis).await }).await
    }

    /// Tells Redis which topics are wanted. False: it knew.
    async fn follow(&self, topics: &mut Topics) -> Result<bool, Lost> {
        for link in &self.shared.links {
            topics.learn(link.mailbox.take_news());
        }
        let Changes { subscribe, unsubscribe } = topics.changes();
        let is_news = !subscribe.is_empty() || !unsubscribe.is_empty();
        self.subscribe(&subscribe, Audience::Topic).await?;
        for names in unsubscribe.chunks(CHANNELS_PER_COMMAND) {
            let channels = self.channels(names, Audience::Topic);
            let mut redis = self.redis.clone();
            self.answer(async move { redis.unsubscribe(channels).await }).await?;
        }
        Ok(is_news)
    }

    async fn subscribe<'n>(
        &self,
        names: &'n [Arc<str>],
        audience: impl Fn(&'n str) -> Audience<'n>,
    ) -> Result<(), Lost> {
        for names in names.chunks(CHANNELS_PER_COMMAND) {
            let channels = self.channels(names, &audience);
            let mut redis = self.redis.clone();
            self.answer(async move { redis.subscribe(channels).await }).await?;
        }
        Ok(())
    }

    fn channels<'n>(&self, names: &'n [Arc<str>], audience: impl Fn(&'n str) -> Audience<'n>) -> Vec<String> {
        names.iter().map(|name| envelope::channel(&self.backplane.app, audience(name))).collect()
    }

    fn take_batch(&mut self) {
        let mut state = self.backplane.lock();
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && let Some(message) = state.waiting.pop_front()
        {
            bytes += message.cost();
            self.batch.push(message);
        }
        state.bytes -= bytes;
    }

    /// False: there was nothing to publish.
    async fn publish(&mut self) -> Result<bool, Lost> {
        if self.batch.is_empty() {
            return Ok(false);
        }
        let count = self.batch.len();
        let mut pipeline = Pipeline::with_capacity(count);
        // From here on nobody knows what becomes of them, so they are not delivered another time.
        for message in self.batch.drain(..) {
            pipeline.cmd("PUBLISH").arg(&message.channel).arg(&message.payload).ignore();
        }
        let mut redis = self.redis.clone();
        self.answer(async move { pipeline.exec_async(&mut redis).await }).await?;
        self.backplane.counts.sent.fetch_add(count as u64, Ordering::Relaxed);
        Ok(true)
    }
}

fn too_little() -> Lost {
    Lost(format!("Redis takes too little: {MAX_WAITING_BYTES} bytes waited for it"))
}

/// Redis says something of its own accord.
fn pushed_to(shared: &Shared, is_lost: &AtomicBool, pushed: PushInfo) {
    let Some(backplane) = &shared.backplane else { return };
    match (pushed.kind, &pushed.data[..]) {
        (PushKind::Message, [Value::BulkString(channel), Value::BulkString(payload)])
            if !is_lost.load(Ordering::Relaxed) =>
        {
            shared.receive(backplane, channel, payload);
        }
        (PushKind::Disconnection, _) => {
            is_lost.store(true, Ordering::Relaxed);
            backplane.ring();
        }
        _ => {}
    }
}
