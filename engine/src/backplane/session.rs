//! One session with Redis, from the connection to its loss. All goes over the one connection (RESP3), in its order: who
//! publishes after a subscription reaches the new member.

use super::topics::{Changes, Topics};
use super::{Backplane, MAX_WAITING_BYTES, Outgoing};
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
use tokio::time::{Instant, sleep_until};

/// How long Redis may take: to let us in, and to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// After so long without another word it is asked whether it is there; with the time for its answer that makes nine seconds.
const PING_INTERVAL: Duration = Duration::from_secs(5);
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
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), Lost> {
    let Some(backplane) = &shared.backplane else { return Ok(()) };
    let is_lost = Arc::new(AtomicBool::new(false));
    let session = tokio::select! {
        session = Session::open(shared, backplane, client, &is_lost) => session?,
        _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
    };
    session.subscribe(&["all".into()], |_| Audience::All).await?;
    session.follow(topics).await?;
    // Whether it may publish shows now, and not by the first message that is lost.
    session
        .ask(redis::cmd("PUBLISH").arg(format!("wse:{}:probe", backplane.app)).arg(&backplane.node))
        .await?;
    up();
    let mut next_ping = Instant::now() + PING_INTERVAL;
    loop {
        session.follow(topics).await?;
        let batch = session.take_batch();
        if !batch.is_empty() {
            session.publish(&batch).await?;
            next_ping = Instant::now() + PING_INTERVAL;
            continue;
        }
        if *stopped.borrow() {
            return Ok(());
        }
        let lag = Instant::now() + LAG;
        tokio::select! {
            () = backplane.bell.notified() => {}
            () = sleep_until(lag.min(next_ping)) => {}
            _ = stopped.changed() => {}
        }
        if is_lost.load(Ordering::Relaxed) {
            return Err(Lost("Redis has closed the connection".into()));
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
}

impl<'a> Session<'a> {
    async fn open(
        shared: &'a Arc<Shared>,
        backplane: &'a Backplane,
        client: &Client,
        is_lost: &Arc<AtomicBool>,
    ) -> Result<Self, Lost> {
        let info = client.get_connection_info().clone();
        // Without a name of the library: it would need one right more.
        let settings =
            info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(settings))?;
        let (to, is_lost) = (shared.clone(), is_lost.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_push_sender(move |pushed: PushInfo| {
                pushed_to(&to, &is_lost, pushed);
                Ok::<(), redis::aio::SendError>(())
            });
        let redis = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Session { shared, backplane, redis })
    }

    /// Waits for Redis, but no longer than messages may pile up.
    async fn answer<T>(&self, answer: impl Future<Output = redis::RedisResult<T>>) -> Result<T, Lost> {
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return Ok(answer?),
                () = self.backplane.bell.notified() => {}
            }
            if self.backplane.lock().bytes > MAX_WAITING_BYTES {
                return Err(Lost(format!("Redis takes too little: {MAX_WAITING_BYTES} bytes wait for it")));
            }
        }
    }

    async fn ask(&self, command: &Cmd) -> Result<Value, Lost> {
        let mut redis = self.redis.clone();
        self.answer(async move { command.query_async(&mut redis).await }).await
    }

    /// Tells Redis which topics are wanted.
    async fn follow(&self, topics: &mut Topics) -> Result<(), Lost> {
        for link in &self.shared.links {
            topics.learn(link.mailbox.take_news());
        }
        let Changes { subscribe, unsubscribe } = topics.changes();
        self.subscribe(&subscribe, Audience::Topic).await?;
        for names in unsubscribe.chunks(CHANNELS_PER_COMMAND) {
            let channels = self.channels(names, Audience::Topic);
            let mut redis = self.redis.clone();
            self.answer(async move { redis.unsubscribe(channels).await }).await?;
        }
        Ok(())
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

    /// The next messages of the hosts.
    fn take_batch(&self) -> Vec<Outgoing> {
        let mut state = self.backplane.lock();
        let mut bytes = 0;
        let fits = |message: &&Outgoing| {
            bytes += message.cost();
            bytes <= BATCH_BYTES
        };
        let count = state.waiting.iter().take_while(fits).count().max(1).min(state.waiting.len());
        let rest = state.waiting.split_off(count);
        let batch = std::mem::replace(&mut state.waiting, rest);
        state.bytes -= batch.iter().map(Outgoing::cost).sum::<usize>();
        batch
    }

    async fn publish(&self, batch: &[Outgoing]) -> Result<(), Lost> {
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for message in batch {
            pipeline.cmd("PUBLISH").arg(&message.channel).arg(&message.payload).ignore();
        }
        let mut redis = self.redis.clone();
        self.answer(async move { pipeline.exec_async(&mut redis).await }).await?;
        self.backplane.counts.sent.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Redis says something of its own accord.
fn pushed_to(shared: &Shared, is_lost: &AtomicBool, pushed: PushInfo) {
    let Some(backplane) = &shared.backplane else { return };
    match (pushed.kind, &pushed.data[..]) {
        (PushKind::Message, [Value::BulkString(channel), Value::BulkString(payload)]) => {
            shared.receive(backplane, channel, payload);
        }
        (PushKind::Disconnection, _) => {
            is_lost.store(true, Ordering::Relaxed);
            backplane.ring();
        }
        _ => {}
    }
}
