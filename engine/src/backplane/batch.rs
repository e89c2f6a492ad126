//! What goes to Redis in one batch: messages, words of this node, questions of those who come back; and what becomes of it.

use super::Outgoing;
use super::history::{self, Found};
use super::session::{Lost, Session};
use super::topics::Topics;
use crate::envelope::{self, Nodes};
use crate::history::Replay;
use crate::presence::To;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of messages in one pipeline.
const BATCH_BYTES: usize = 1 << 20;
/// With so many topics to ask about, those who come back wait with the messages, and there is a limit to these.
const MOST_WANTED: usize = 1_000;

impl Session<'_> {
    /// Looks how much of what hosts have left is next, and has topics followed to which somebody comes back. It stays where it
    /// is, for hosts that find Redis too slow deliver it in its order.
    pub(super) fn look_ahead(&mut self, topics: &mut Topics) {
        let state = self.backplane.lock();
        let (mut bytes, mut wanted) = (0, self.wanted.len());
        let next = state.waiting.iter().take_while(|what| {
            let is_resume = matches!(what, Outgoing::Resume(_));
            let fits = bytes < BATCH_BYTES && !(is_resume && wanted >= MOST_WANTED);
            bytes += what.cost();
            wanted += usize::from(is_resume);
            fits
        });
        self.ahead = 0;
        for what in next {
            self.ahead += 1;
            if let Outgoing::Resume(resume) = what {
                topics.hold(&resume.topic);
            }
        }
    }

    /// Takes it.
    pub(super) fn take_batch(&mut self) {
        let mut state = self.backplane.lock();
        for _ in 0..self.ahead {
            let Some(message) = state.waiting.pop_front() else { return };
            state.bytes -= message.cost();
            match message {
                Outgoing::Resume(resume) => {
                    let comers = self.comers.entry(resume.topic.clone()).or_default();
                    if comers.is_empty() {
                        self.wanted.push_back(resume.topic.clone());
                    }
                    comers.push(resume);
                }
                Outgoing::Kept(kept) if self.is_suspended => {
                    let (channel, payload) = kept.into_plain(&self.backplane.app);
                    self.batch.push(Outgoing::Message(channel, payload));
                }
                message => self.batch.push(message),
            }
        }
    }

    /// Publishes what there is of messages and of words of this node, and asks for those who come back. False: there was
    /// nothing.
    pub(super) async fn publish(&mut self, topics: &mut Topics) -> Result<bool, Lost> {
        if self.is_suspended {
            self.dismiss(topics);
        }
        let app = &self.backplane.app;
        let words = self.shared.presence.words(self.shared.now(), BATCH_BYTES);
        let most = history::reading(self.shared).0.min(self.wanted.len());
        let wanted: Vec<_> = self.wanted.drain(..most).collect();
        if self.batch.is_empty() && words.is_empty() && wanted.is_empty() {
            return Ok(false);
        }
        // From here on nobody knows what becomes of them, so they are not delivered another time.
        let batch = std::mem::take(&mut self.batch);
        let mut pipeline = Pipeline::with_capacity(batch.len() + words.len() + wanted.len());
        for what in &batch {
            match (what, &self.scripts) {
                (Outgoing::Message(channel, payload), _) => {
                    pipeline.cmd("PUBLISH").arg(channel).arg(payload);
                }
                (Outgoing::Kept(kept), Some(scripts)) => {
                    pipeline.add_command(kept.command(app, scripts));
                }
                // They are not there without the option, and who comes back is not in here.
                (Outgoing::Kept(_), None) | (Outgoing::Resume(_), _) => {}
            }
        }
        for topic in &wanted {
            let (Some(scripts), Some(comers)) = (&self.scripts, self.comers.get(topic)) else { continue };
            pipeline.add_command(history::read(self.shared, app, scripts, topic, comers));
            self.backplane.late().entry(topic.clone()).or_default();
        }
        for (to, word) in words {
            let channel = match &to {
                To::Nodes => envelope::channel_of_nodes(app, Nodes::All),
                To::Node(node) => envelope::channel_of_nodes(app, Nodes::One(node)),
                To::Topic(topic) => envelope::channel_of_nodes(app, Nodes::Topic(topic)),
            };
            pipeline.cmd("PUBLISH").arg(channel).arg(word).ignore();
        }
        pipeline.ignore_errors();
        let mut redis = self.redis.clone();
        let answers: Vec<RedisResult<Value>> =
            self.answer(async move { pipeline.query_async(&mut redis).await }).await?;
        let (published, read) = answers.split_at(batch.len().min(answers.len()));
        let has_forgotten = self.greet(topics, wanted, read);
        self.settle(batch, published, has_forgotten).await?;
        Ok(true)
    }

    /// Looks at what became of a batch. What Redis could not keep is published all the same: it goes once more, after this batch
    /// and before the next. The hole that it is has to be told before that and after it.
    async fn settle(
        &mut self,
        batch: Vec<Outgoing>,
        answers: &[RedisResult<Value>],
        mut has_forgotten: bool,
    ) -> Result<(), Lost> {
        let mut lost: Result<(), Lost> = Ok(());
        let mut is_refused = false;
        for (what, answer) in batch.into_iter().zip(answers) {
            match (what, answer) {
                (_, Ok(_)) => {
                    self.backplane.counts.sent.fetch_add(1, Ordering::Relaxed);
                }
                (what, Err(error)) if is_no_script(error) => {
                    has_forgotten = true;
                    self.batch.push(what);
                }
                (Outgoing::Kept(kept), Err(error)) => {
                    tracing::debug!(%error, "Redis cannot keep a message");
                    is_refused = true;
                    self.backplane.lock().has_hole = true;
                    let (channel, payload) = kept.into_plain(&self.backplane.app);
                    self.batch.push(Outgoing::Message(channel, payload));
                }
                (what, Err(error)) => {
                    lost = Err(error.clone().into());
                    self.batch.push(what);
                }
            }
        }
        lost?;
        if self.backplane.lock().has_hole {
            self.tell_hole().await?;
        }
        if is_refused {
            self.backplane.lock().has_hole = true;
        }
        if has_forgotten { self.load_scripts().await } else { Ok(()) }
    }

    /// Nobody can be told what he has missed.
    fn dismiss(&mut self, topics: &mut Topics) {
        for topic in std::mem::take(&mut self.wanted) {
            for comer in self.comers.remove(&topic).unwrap_or_default() {
                comer.finish(self.shared, &mut self.backplane.lock(), Replay::unknown());
                topics.release(&topic);
            }
        }
    }

    /// Whoever has come back becomes a member. Nothing that Redis says is heard meanwhile. True: Redis has been told to forget
    /// the scripts.
    fn greet(&mut self, topics: &mut Topics, wanted: Vec<Arc<str>>, answers: &[RedisResult<Value>]) -> bool {
        let mut has_forgotten = false;
        let late = std::mem::take(&mut *self.backplane.late());
        for (topic, answer) in wanted.into_iter().zip(answers) {
            let rule = self.shared.history.rule(&topic);
            let found = match (answer, rule) {
                (Err(error), _) if is_no_script(error) => {
                    // Asked once more.
                    self.wanted.push_back(topic);
                    has_forgotten = true;
                    continue;
                }
                (Ok(answer), Some(rule)) => {
                    Found::read(answer.clone(), &topic, rule).map_err(|error| error.to_string())
                }
                (Err(error), _) => Err(error.to_string()),
                (_, None) => continue,
            };
            if let Err(error) = &found {
                tracing::debug!(%topic, error, "what Redis has kept cannot be read");
            }
            let late = late.get(&topic);
            for comer in self.comers.remove(&topic).unwrap_or_default() {
                let replay = found
                    .as_ref()
                    .map_or_else(|_| Replay::unknown(), |found| found.replay(comer.since, late));
                comer.finish(self.shared, &mut self.backplane.lock(), replay);
                topics.release(&topic);
            }
        }
        has_forgotten
    }
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
