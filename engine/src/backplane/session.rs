//! One session with Redis, from the connection to its loss. All goes over the one connection (RESP3), in its order: who
//! publishes after a subscription reaches the new member.

use super::history::{self, Kept, Resume, Scripts};
use super::place::Place;
use super::topics::{Changes, Topics};
use super::{Backplane, MAX_WAITING_BYTES, Mode, Outgoing};
use crate::envelope::{self, Audience, Nodes};
use crate::link::Shared;
use crate::presence::Word;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, Value,
};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
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

/// Why a session has ended.
pub(super) struct Lost(pub(super) String);

impl From<RedisError> for Lost {
    fn from(error: RedisError) -> Self {
        Lost(error.to_string())
    }
}

/// Serves until Redis is lost, or the server stops. Calls `up` when messages go by Redis.
pub(super) async fn run(
    shared: &Arc<Shared>,
    place: &Place,
    topics: &mut Topics,
    up: impl FnOnce(),
    stopped: &watch::Receiver<bool>,
) -> Result<(), Lost> {
    let Some(backplane) = &shared.backplane else { return Ok(()) };
    let is_lost = Arc::new(AtomicBool::new(false));
    let mut ended = stopped.clone();
    let mut session = tokio::select! {
        session = Session::open(shared, backplane, place, &is_lost, stopped) => session?,
        _ = ended.wait_for(|stopped| *stopped) => return Ok(()),
    };
    session.subscribe(&session.fixed_channels()).await?;
    session.load_scripts().await?;
    session.follow(topics).await?;
    // Whether it may publish shows now, and not by the first message that is lost.
    session
        .ask(redis::cmd("PUBLISH").arg(format!("wse:{}:probe", backplane.app)).arg(&backplane.node))
        .await?;
    session.join().await?;
    up();
    shared.presence.up();
    let mut next_ping = Instant::now() + PING_INTERVAL;
    loop {
        // First what is published, then for whom: so each message comes after the subscriptions before it.
        session.look_ahead(topics);
        let has_followed = session.follow(topics).await?;
        session.take_batch();
        if session.publish(topics).await? {
            next_ping = Instant::now() + PING_INTERVAL;
            continue;
        }
        if has_followed {
            continue;
        }
        if *stopped.borrow() {
            session.say_bye().await?;
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
        if session.is_suspended {
            session.tell_hole().await?;
        }
        if Instant::now() >= next_ping {
            session.ask(&redis::cmd("PING")).await?;
            next_ping = Instant::now() + PING_INTERVAL;
        }
    }
}

pub(super) struct Session<'a> {
    pub(super) shared: &'a Shared,
    pub(super) backplane: &'a Backplane,
    pub(super) redis: MultiplexedConnection,
    is_lost: Arc<AtomicBool>,
    stopped: watch::Receiver<bool>,
    /// Messages go by it.
    is_up: bool,
    /// The next messages of the hosts.
    pub(super) batch: Vec<Outgoing>,
    /// Who comes back, and waits for an answer, by topic; and the topics in their order.
    pub(super) comers: HashMap<Arc<str>, Vec<Resume>>,
    pub(super) wanted: VecDeque<Arc<str>>,
    pub(super) scripts: Option<Scripts>,
    /// So many messages of the hosts are next.
    pub(super) ahead: usize,
    /// Redis cannot be told of a hole now: until then nothing is kept and nobody knows what he has missed.
    pub(super) is_suspended: bool,
}

impl Drop for Session<'_> {
    /// What did not get to Redis is delivered here, in its place. A Redis that was stuck may go on with this connection while
    /// there is another: what comes by it then is not for anybody.
    fn drop(&mut self) {
        self.is_lost.store(true, Ordering::Relaxed);
        self.shared.presence.down();
        self.backplane.late().clear();
        let mut state = self.backplane.lock();
        let comers = self.comers.drain().flat_map(|(_, comers)| comers).map(Outgoing::Resume);
        for message in comers.chain(self.batch.drain(..)).collect::<Vec<_>>().into_iter().rev() {
            state.bytes += message.cost();
            state.waiting.push_front(message);
        }
    }
}

impl<'a> Session<'a> {
    async fn open(
        shared: &'a Arc<Shared>,
        backplane: &'a Backplane,
        place: &Place,
        is_lost: &Arc<AtomicBool>,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Self, Lost> {
        let info = place.client().await?.get_connection_info().clone();
        // Without a name of the library: it would need one right more.
        let settings =
            info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(settings))?;
        let number = {
            let mut state = backplane.lock();
            state.sessions += 1;
            *backplane.heard() = state.sessions;
            state.sessions
        };
        let (to, over) = (shared.clone(), is_lost.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_push_sender(move |pushed: PushInfo| {
                pushed_to(&to, number, &over, pushed);
                Ok::<(), redis::aio::SendError>(())
            });
        let redis = client.get_multiplexed_async_connection_with_config(&config).await?;
        let (is_lost, stopped) = (is_lost.clone(), stopped.clone());
        Ok(Session {
            shared,
            backplane,
            redis,
            is_lost,
            stopped,
            is_up: false,
            batch: Vec::new(),
            comers: HashMap::new(),
            wanted: VecDeque::new(),
            scripts: None,
            ahead: 0,
            is_suspended: false,
        })
    }

    /// What is heard besides topics.
    fn fixed_channels(&self) -> Vec<String> {
        let Backplane { app, node, .. } = self.backplane;
        let mut channels = vec![envelope::channel(app, Audience::All)];
        if self.shared.presence.is_on() {
            channels.extend([Nodes::All, Nodes::One(node)].map(|to| envelope::channel_of_nodes(app, to)));
        }
        channels
    }

    /// Makes Redis know the scripts of the history, and looks whether this node may run them: a right that is missing shows
    /// now, and not by the first message.
    pub(super) async fn load_scripts(&mut self) -> Result<(), Lost> {
        if !self.shared.history.is_on() {
            return Ok(());
        }
        let about = self.ask(redis::cmd("INFO").arg("server")).await?;
        let about: String = redis::from_redis_value(about).map_err(|error| Lost(error.to_string()))?;
        let run = about.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().to_owned();
        let publish = self.load(history::PUBLISH).await?;
        let read = self.load(history::READ).await?;
        let scripts = Scripts { publish, read, run };
        let Backplane { app, node, .. } = self.backplane;
        match self.try_ask(Kept::probe(node).command(app, &scripts)).await? {
            Ok(_) => {}
            Err(error) if error.code() == Some("NOPERM") => return Err(error.into()),
            // It takes no writes now, which it is asked about before anything is kept.
            Err(_) => self.backplane.lock().has_hole = true,
        }
        self.ask(&history::read(self.shared, app, &scripts, "", &[])).await?;
        self.scripts = Some(scripts);
        Ok(())
    }

    /// From now on messages go by Redis. What was published without it is not in its history: it is told before, so that
    /// whoever may have missed that hears of a gap.
    async fn join(&mut self) -> Result<(), Lost> {
        while !self.try_join() {
            self.tell_hole().await?;
        }
        self.is_up = true;
        Ok(())
    }

    /// Has the epochs of all topics end. Where Redis takes no such word now, nothing is kept until it does.
    pub(super) async fn tell_hole(&mut self) -> Result<(), Lost> {
        self.backplane.lock().has_hole = false;
        let mark = RandomState::new().hash_one(std::process::id());
        let mut word = redis::cmd("SET");
        word.arg(history::times(&self.backplane.app)).arg(format!("{mark:016x}"));
        let told = self.try_ask(word).await;
        let is_told = matches!(told, Ok(Ok(_)));
        if !is_told {
            self.backplane.lock().has_hole = true;
        }
        if !is_told && !self.is_suspended {
            tracing::warn!("Redis takes no writes: it publishes, but keeps nothing until it does");
        }
        self.is_suspended = !is_told;
        told.map(drop)
    }

    /// False: there is a hole, of which Redis has to be told first.
    fn try_join(&self) -> bool {
        let mut state = self.backplane.lock();
        if state.has_hole && !self.is_suspended {
            return false;
        }
        // A server that stops meanwhile has nothing to wait for.
        if state.mode == Mode::Alone {
            state.mode = Mode::Joined;
        }
        true
    }

    async fn load(&self, script: &str) -> Result<String, Lost> {
        let name = self.ask(redis::cmd("SCRIPT").arg("LOAD").arg(script)).await?;
        redis::from_redis_value(name).map_err(|error| Lost(error.to_string()))
    }

    /// Waits for Redis, but when the server stops not for long, and not at all when hosts have given it up. Whoever rings
    /// meanwhile is heard afterwards, as nobody sleeps without having looked once more.
    pub(super) async fn answer<T>(
        &self,
        answer: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, Lost> {
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

    /// The same where Redis may refuse.
    async fn try_ask(&self, command: Cmd) -> Result<RedisResult<Value>, Lost> {
        let mut pipeline = Pipeline::new();
        pipeline.add_command(command).ignore_errors();
        let mut redis = self.redis.clone();
        let answers: Vec<RedisResult<Value>> =
            self.answer(async move { pipeline.query_async(&mut redis).await }).await?;
        answers.into_iter().next().ok_or_else(|| Lost("Redis does not answer".into()))
    }

    /// Tells Redis which topics are wanted. False: it knew.
    async fn follow(&self, topics: &mut Topics) -> Result<bool, Lost> {
        for link in &self.shared.links {
            topics.learn(link.mailbox.take_news());
        }
        let Changes { subscribe, unsubscribe } = topics.changes();
        let is_news = !subscribe.is_empty() || !unsubscribe.is_empty();
        self.subscribe(&self.channels(&subscribe)).await?;
        for channels in self.channels(&unsubscribe).chunks(CHANNELS_PER_COMMAND) {
            let mut redis = self.redis.clone();
            self.answer(async move { redis.unsubscribe(channels).await }).await?;
        }
        self.shared.presence.follow(&subscribe, &unsubscribe);
        Ok(is_news)
    }

    async fn subscribe(&self, channels: &[String]) -> Result<(), Lost> {
        for channels in channels.chunks(CHANNELS_PER_COMMAND) {
            let mut redis = self.redis.clone();
            self.answer(async move { redis.subscribe(channels).await }).await?;
        }
        Ok(())
    }

    fn channels(&self, topics: &[Arc<str>]) -> Vec<String> {
        let app = &self.backplane.app;
        let all = topics.iter().map(|name| envelope::channel(app, Audience::Topic(name)));
        let told = topics.iter().filter(|name| self.shared.tells_more(name));
        all.chain(told.map(|name| envelope::channel_of_nodes(app, Nodes::Topic(name)))).collect()
    }

    async fn say_bye(&self) -> Result<(), Lost> {
        if !self.shared.presence.is_on() {
            return Ok(());
        }
        let Backplane { app, node, .. } = self.backplane;
        let channel = envelope::channel_of_nodes(app, Nodes::All);
        self.ask(redis::cmd("PUBLISH").arg(channel).arg(Word::Bye.seal(node))).await.map(drop)
    }
}

fn too_little() -> Lost {
    Lost(format!("Redis takes too little: {MAX_WAITING_BYTES} bytes waited for it"))
}

/// Redis says something of its own accord.
fn pushed_to(shared: &Shared, session: u64, is_lost: &AtomicBool, pushed: PushInfo) {
    let Some(backplane) = &shared.backplane else { return };
    match (pushed.kind, &pushed.data[..]) {
        (PushKind::Message, [Value::BulkString(channel), Value::BulkString(payload)])
            if !is_lost.load(Ordering::Relaxed) =>
        {
            let heard = backplane.heard();
            if *heard == session {
                shared.receive(backplane, channel, payload);
            }
        }
        (PushKind::Disconnection, _) => {
            is_lost.store(true, Ordering::Relaxed);
            backplane.ring();
        }
        _ => {}
    }
}
