//! Keeping an instance in its fleet: connects, joins, and carries steps and messages until the link is lost.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::fleet::{Fleet, Resync, Step};
use super::link::{Arguments, Joining, Link, LinkError, Names, Place, Push, Stepped, is_end, said};
use super::message::{Act, FORMAT};
use super::numbers::Numbers;
use crate::freshness::peers::Event;

/// What keeps the instance in its fleet.
pub(super) struct Driver {
    pub(super) fleet: Fleet,
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    pub(super) place: Arc<Place>,
    pub(super) names: Names,
    pub(super) numbers: Arc<Numbers>,
    pub(super) words: usize,
    pub(super) lease: Duration,
    pub(super) stop: CancellationToken,
    /// It was said that there is no link.
    pub(super) is_loss_told: bool,
    pub(super) url: String,
}

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

type Pending<T> = Option<Pin<Box<dyn Future<Output = Result<T, LinkError>> + Send>>>;

/// Why a link is over.
enum Over {
    /// It has to join anew, over another.
    Resync,
    /// It is broken.
    Broken(LinkError),
    /// The proxy ends.
    Stopped,
}

impl From<Resync> for Over {
    fn from(_: Resync) -> Self {
        Self::Resync
    }
}

impl From<LinkError> for Over {
    fn from(error: LinkError) -> Self {
        Self::Broken(error)
    }
}

/// What is on its way.
#[derive(Default)]
struct UnderWay {
    step: Pending<Stepped>,
    sent: Option<Step>,
    tell: Pending<()>,
    expel: Pending<bool>,
}

impl Driver {
    /// Runs until the proxy ends.
    pub(super) async fn run(mut self) {
        loop {
            let Some(link) = self.connect().await else {
                return;
            };
            let over = self.live(link).await;
            let now = Instant::now();
            self.fleet.on_lost(now);
            self.numbers.note_linked(false);
            match over {
                Over::Stopped => return,
                Over::Resync => tracing::debug!("resynchronising with the fleet"),
                Over::Broken(error) => {
                    self.tell_loss(&error);
                    self.fleet.on_attempt_failed(now, now);
                }
            }
        }
    }

    fn tell_loss(&mut self, error: &LinkError) {
        if !std::mem::replace(&mut self.is_loss_told, true) {
            tracing::warn!(
                url = self.url,
                "Redis cannot be used, so reads go to PostgreSQL where the fleet would have to be asked: {error}"
            );
        }
    }

    /// A link, as soon as there is one. What happens meanwhile is noted.
    async fn connect(&mut self) -> Option<Link> {
        let limit = self.lease / 2;
        loop {
            let began = Instant::now();
            let (place, names, id) = (
                Arc::clone(&self.place),
                self.names.clone(),
                self.fleet.id.clone(),
            );
            let opening = async move { Link::open(&place, &names, &id, limit).await };
            tokio::pin!(opening);
            let opened = loop {
                tokio::select! {
                    opened = &mut opening => break opened,
                    Some(event) = self.events.recv() => self.fleet.on_event(event, Instant::now()),
                    () = self.stop.cancelled() => return None,
                }
            };
            match opened {
                Ok(link) => return Some(link),
                Err(error) => {
                    self.tell_loss(&error);
                    self.fleet.on_attempt_failed(began, Instant::now());
                }
            }
            let pause = tokio::time::sleep(PAUSE);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(event) = self.events.recv() => self.fleet.on_event(event, Instant::now()),
                    () = self.stop.cancelled() => return None,
                }
            }
        }
    }

    async fn join(&mut self, link: &Link) -> Result<(), Over> {
        let (sign, message, bumps, windows) = self.fleet.joining();
        let (epoch, secret) = (random_name(), random_name());
        let sent = Instant::now();
        let joining = Joining {
            id: &self.fleet.id,
            sign,
            words: self.words,
            format: FORMAT,
            epoch: &epoch,
            secret: &secret,
            message: &message,
            bumps,
            windows,
        };
        let joined = link.join(joining, self.lease / 2).await?;
        // What happens between here and there waits in the channels.
        let parts = (&*joined.state, &*joined.members, &*joined.words);
        self.fleet
            .on_joined(joined.seq, parts, (sent, Instant::now()))?;
        self.numbers.note_linked(true);
        if std::mem::take(&mut self.is_loss_told) {
            tracing::info!(url = self.url, "Redis can be used again");
        }
        Ok(())
    }

    async fn live(&mut self, mut link: Link) -> Over {
        if let Err(over) = self.join(&link).await {
            return over;
        }
        let mut under_way = UnderWay::default();
        let mut next = Instant::now();
        loop {
            match self.turn(&mut link, &mut under_way, &mut next).await {
                Ok(()) => {}
                Err(over) => {
                    if let Some(step) = under_way.sent.take() {
                        self.fleet.on_step_failed(step);
                    }
                    return over;
                }
            }
        }
    }

    /// Sends what is due, waits for one thing to happen, and draws the consequences.
    async fn turn(
        &mut self,
        link: &mut Link,
        under_way: &mut UnderWay,
        next: &mut Instant,
    ) -> Result<(), Over> {
        let (now, limit) = (Instant::now(), self.lease / 2);
        if under_way.step.is_none() && (self.fleet.has_work() || now >= *next) {
            let step = self.fleet.step(now);
            under_way.step = Some(Box::pin(self.send(link, &step)));
            under_way.sent = Some(step);
            *next = now + self.lease / 4;
        }
        if under_way.tell.is_none() {
            let acks = self.fleet.take_acks();
            under_way.tell = (!acks.is_empty()).then(|| Box::pin(link.tell(acks, limit)) as _);
        }
        tokio::select! {
            biased;
            push = link.pushes.recv() => self.take_push(push)?,
            told = ready(&mut under_way.tell) => told?,
            expelled = ready(&mut under_way.expel) => { expelled?; }
            stepped = ready(&mut under_way.step) => {
                let stepped = stepped?;
                // What was published before the step was answered is here already, and comes first.
                while let Ok(push) = link.pushes.try_recv() {
                    self.take_push(Some(push))?;
                }
                let step = under_way.sent.take().expect("a step is under way");
                self.take_step(link, under_way, step, stepped)?;
            }
            Some(event) = self.events.recv() => {
                self.fleet.on_event(event, Instant::now());
                while let Ok(event) = self.events.try_recv() {
                    self.fleet.on_event(event, Instant::now());
                }
            }
            () = tokio::time::sleep_until((*next).into()), if under_way.step.is_none() => {}
            () = self.stop.cancelled() => {
                let step = self.fleet.leaving(Instant::now());
                let _ = self.send(link, &step).await;
                return Err(Over::Stopped);
            }
        }
        Ok(())
    }

    fn take_push(&mut self, push: Option<Push>) -> Result<(), Over> {
        let broken = || Over::Broken(LinkError::Unfit("the connection has ended".into()));
        let push = push.ok_or_else(broken)?;
        if is_end(&push) {
            return Err(broken());
        }
        if let Some((channel, text)) = said(&push) {
            let now = Instant::now();
            if channel == self.names.channel.as_bytes() {
                self.fleet.on_message(text, now)?;
            } else {
                self.fleet.on_ack(text, now);
            }
        }
        Ok(())
    }

    fn take_step(
        &mut self,
        link: &Link,
        under_way: &mut UnderWay,
        step: Step,
        stepped: Stepped,
    ) -> Result<(), Over> {
        let (seq, members) = match stepped {
            Stepped::Done { seq, members } => (seq, members),
            Stepped::EpochEnded | Stepped::Expelled => {
                self.fleet.on_step_failed(step);
                return Err(Over::Resync);
            }
        };
        let silent = self
            .fleet
            .on_stepped(step, (seq, &members), Instant::now())?;
        if let Some((id, sign)) = silent.filter(|_| under_way.expel.is_none()) {
            tracing::debug!(
                instance = id,
                "an instance is silent for longer than its lease"
            );
            let message = self.fleet.expulsion(&id);
            let epoch = self.fleet.epoch();
            let expelling = link.expel(epoch, (&id, &sign), &message, self.lease / 2);
            under_way.expel = Some(Box::pin(expelling));
        }
        Ok(())
    }

    fn send(
        &self,
        link: &Link,
        step: &Step,
    ) -> impl Future<Output = Result<Stepped, LinkError>> + Send + use<> {
        let mut arguments = Arguments::default();
        for act in &step.acts {
            arguments = match act {
                Act::Open { window, record } => {
                    let named = arguments.with("o").with(window).with(record.write());
                    named.with_slots(&record.slots)
                }
                Act::Close {
                    window,
                    late,
                    catalog,
                    ..
                } => {
                    let named = arguments.with("c").with(window);
                    named
                        .with(if *catalog { "1" } else { "0" })
                        .with_slots(late)
                }
                Act::Bump => arguments.with("b"),
                Act::Leave => arguments.with("l"),
                Act::Expel { .. } | Act::Join => arguments,
            };
        }
        if step.settles {
            arguments = arguments.with("s");
        }
        let signed = (self.fleet.epoch(), &*self.fleet.id, &*step.sign);
        link.step(signed, &step.message, arguments, self.lease / 2)
    }
}

/// What is under way, once it is done.
async fn ready<T>(pending: &mut Pending<T>) -> Result<T, LinkError> {
    match pending {
        Some(future) => {
            let done = future.await;
            *pending = None;
            done
        }
        None => std::future::pending().await,
    }
}

/// 128 random bits.
pub(super) fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}
