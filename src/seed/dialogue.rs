//! Conversations and what was said in them.

use serde_json::{Value, json};

use super::agents;
use super::copy::{Moment, Rows, Uuid};
use super::draw::{Draw, place};
use super::outreach::slots;
use super::people::{self, Lead};
use super::phrases::{self, TOPICS, Topic};
use super::world::{DAY, MESSAGES as PER_CONVERSATION, NOW, Table, World};

pub(super) const CONVERSATIONS: &[&str] = &[
    "id",
    "lead_id",
    "assigned_user_id",
    "agent_id",
    "channel",
    "status",
    "subject",
    "metadata",
    "last_message_at",
    "closed_at",
    "created_at",
    "updated_at",
];

pub(super) const MESSAGES: &[&str] = &[
    "id",
    "conversation_id",
    "sender",
    "user_id",
    "body",
    "metadata",
    "created_at",
    "updated_at",
];

/// After so many messages the talk turns to another topic.
const MESSAGES_PER_TOPIC: u64 = 6;

/// What other tables need to know of a conversation.
pub(super) struct Conversation {
    pub(super) id: Uuid,
    /// The index of the lead.
    pub(super) lead: u64,
    /// The index of the agent.
    pub(super) agent: u64,
    pub(super) created: Moment,
    /// The usual time from one message to the next, in microseconds.
    gap: u64,
    topic: u64,
    status: &'static str,
    /// The index of the user who took over from the agent.
    user: Option<u64>,
}

impl Conversation {
    /// What is talked about at message `position`.
    fn topic(&self, position: u64) -> &'static Topic {
        &TOPICS[place((self.topic + position / MESSAGES_PER_TOPIC) % TOPICS.len() as u64)]
    }

    /// When message `position` was written. Later messages have later times.
    fn message_time(&self, world: &World, index: u64, position: u64) -> Moment {
        let jitter = match position {
            0 => 0,
            _ => message_draw(world, index, position).below(self.gap.max(1)),
        };
        self.created.after_micros(self.gap * position + jitter)
    }
}

pub(super) fn conversation(world: &World, index: u64) -> Conversation {
    conversation_and_rest(world, index).0
}

fn conversation_and_rest(world: &World, index: u64) -> (Conversation, Draw) {
    let mut draw = world.draw(Table::Conversations, index);
    let (lead, created) = world.activity(&mut draw, Table::Conversations, index);
    let gap_seconds = draw.pick(&[90, 600, 3 * 3600, 20 * 3600]);
    // The last message is not in the future.
    let room = created.micros_until(NOW) / (PER_CONVERSATION.size(index) + 1);
    let status = if created.after_seconds(30 * DAY) < NOW {
        draw.weighted(&[
            ("closed", 90),
            ("escalated", 4),
            ("waiting", 4),
            ("open", 2),
        ])
    } else {
        draw.weighted(&[
            ("open", 50),
            ("waiting", 25),
            ("escalated", 10),
            ("closed", 15),
        ])
    };
    let taken_over = status == "escalated" || draw.percent(35);
    let conversation = Conversation {
        id: draw.uuid(),
        lead,
        agent: draw.below(agents::configurations()),
        created,
        gap: (gap_seconds * 1_000_000).min(room),
        topic: draw.below(TOPICS.len() as u64),
        status,
        user: taken_over.then(|| people::salesperson_index(world, &mut draw)),
    };
    (conversation, draw)
}

pub(super) fn write_conversation(world: &World, index: u64, rows: &mut Rows) {
    let (conversation, mut draw) = conversation_and_rest(world, index);
    let lead = people::lead(world, conversation.lead);
    let topic = conversation.topic(0);
    let count = PER_CONVERSATION.size(index);
    let last = conversation.message_time(world, index, count - 1);
    let closed = (conversation.status == "closed").then(|| people::soon_after(last, 48, &mut draw));
    let subject = phrases::fill(topic.subject, &slots(&lead, "", &mut draw));
    rows.put(conversation.id)
        .put(lead.id)
        .put(conversation.user.map(|user| people::user(world, user).id))
        .put(conversation.agent + 1)
        .put(draw.weighted(&[("chat", 5), ("email", 3), ("linkedin", 1), ("sms", 1)]))
        .put(conversation.status)
        .put(subject)
        .put(json!({
            "topics": (0..count.div_ceil(MESSAGES_PER_TOPIC))
                .map(|part| conversation.topic(part * MESSAGES_PER_TOPIC).name)
                .collect::<Vec<_>>(),
            "language": draw.weighted(&[("en", 9), ("de", 1)]),
            "sentiment": {
                "label": draw.weighted(&[("positive", 5), ("neutral", 4), ("negative", 1)]),
                "score_percent": draw.below(101),
            },
        }))
        .put(last)
        .put(closed)
        .put(conversation.created)
        .put(closed.unwrap_or(last))
        .end();
}

/// The random numbers of message `position` of conversation `index`. The first one sets its time.
fn message_draw(world: &World, index: u64, position: u64) -> Draw {
    world.draw(Table::Messages, PER_CONVERSATION.first(index) + position)
}

pub(super) fn write_message(world: &World, index: u64, rows: &mut Rows) {
    let (conversation_index, position) = PER_CONVERSATION.parent(index);
    let conversation = conversation(world, conversation_index);
    let lead = people::lead(world, conversation.lead);
    let at = conversation.message_time(world, conversation_index, position);
    let mut draw = message_draw(world, conversation_index, position);
    draw.below(1); // the time
    let sender = sender(&conversation, conversation_index, position, &mut draw);
    let user = conversation.user.map(|user| people::user(world, user));
    let name = user.as_ref().map_or("Swarm", |user| user.first_name);
    let body = body(
        conversation.topic(position),
        sender,
        position,
        &lead,
        name,
        &mut draw,
    );
    rows.put(index + 1)
        .put(conversation.id)
        .put(sender)
        .put(user.filter(|_| sender == "user").map(|user| user.id))
        .put(body)
        .put(message_metadata(
            conversation.topic(position),
            sender,
            &mut draw,
        ))
        .put(at)
        .put(at)
        .end();
}

/// Lead and agent take turns; a user who took over speaks for the agent in the second half.
fn sender(conversation: &Conversation, index: u64, position: u64, draw: &mut Draw) -> &'static str {
    if position > 0 && draw.percent(3) {
        return "system";
    }
    if position.is_multiple_of(2) {
        return "lead";
    }
    let second_half = position * 2 >= PER_CONVERSATION.size(index);
    if conversation.user.is_some() && second_half {
        "user"
    } else {
        "agent"
    }
}

fn body(
    topic: &Topic,
    sender: &str,
    position: u64,
    lead: &Lead,
    name: &str,
    draw: &mut Draw,
) -> String {
    // Question n is followed by answer n, and nothing is asked twice within a topic.
    let turn = place(position % MESSAGES_PER_TOPIC / 2);
    let template = match sender {
        "lead" => format!(
            "{}{}",
            draw.pick(phrases::LEAD_OPENINGS),
            topic.questions[turn]
        ),
        "system" => draw.pick(phrases::NOTICES).to_owned(),
        _ => format!(
            "{}{}{}",
            draw.pick(phrases::OUR_OPENINGS),
            topic.answers[turn],
            draw.pick(phrases::OUR_CLOSINGS)
        ),
    };
    phrases::fill(&template, &slots(lead, name, draw))
}

fn message_metadata(topic: &Topic, sender: &str, draw: &mut Draw) -> Value {
    match sender {
        "lead" => json!({
            "intents": [topic.name],
            "sentiment": draw.weighted(&[("positive", 5), ("neutral", 4), ("negative", 1)]),
        }),
        "agent" => json!({
            "intents": [topic.name],
            "tokens": {"prompt": draw.between(400, 4000), "completion": draw.between(20, 300)},
            "latency_ms": draw.between(300, 4000),
        }),
        _ => json!({}),
    }
}
