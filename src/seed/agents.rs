//! AI agents, what they decided, and the switches of the application.

use serde_json::json;

use super::copy::{Cents, Rows};
use super::dialogue;
use super::draw::place;
use super::outreach::slots;
use super::people;
use super::phrases;
use super::world::{DAY, HISTORY, HOUR, NOW, Table, World};

pub(super) const AGENT_CONFIGURATIONS: &[&str] = &[
    "id",
    "name",
    "version",
    "purpose",
    "model",
    "temperature",
    "system_prompt",
    "tools",
    "settings",
    "enabled",
    "created_by",
    "created_at",
    "updated_at",
];

pub(super) const AGENT_DECISIONS: &[&str] = &[
    "id",
    "agent_id",
    "lead_id",
    "conversation_id",
    "action",
    "status",
    "confidence",
    "rationale",
    "context",
    "reviewed_by",
    "decided_at",
    "created_at",
    "updated_at",
];

pub(super) const FEATURE_FLAGS: &[&str] = &[
    "key",
    "description",
    "enabled",
    "rollout_percent",
    "rules",
    "updated_by",
    "created_at",
    "updated_at",
];

/// Name, purpose and prompt of each agent.
const AGENTS: &[(&str, &str, &str)] = &[
    (
        "Scout",
        "qualification",
        "You find out whether a lead has budget, need and time. Ask one question at a time.",
    ),
    (
        "Herald",
        "outreach",
        "You write first messages. Be brief, be concrete, and never promise a discount.",
    ),
    (
        "Almanac",
        "scheduling",
        "You agree on a time for a meeting. Offer two slots and respect the time zone.",
    ),
    (
        "Harbor",
        "support",
        "You answer questions about the product. Hand over to a person if you are not sure.",
    ),
];

/// Each agent has been changed twice.
const VERSIONS: u64 = 3;

/// Key, description, and the share of users who have it.
const FLAGS: &[(&str, &str, u64)] = &[
    ("agent_autonomy", "Agents may send without a review", 10),
    (
        "agent_rationale",
        "Show why an agent decided as it did",
        100,
    ),
    ("bulk_import", "Import leads from spreadsheets", 100),
    ("calendar_sync", "Keep meetings in step with calendars", 100),
    ("call_transcripts", "Transcribe recorded calls", 25),
    ("campaign_variants", "Compare two texts of a step", 100),
    ("conversation_search", "Search in all messages", 50),
    ("dark_theme", "Offer the dark theme", 100),
    (
        "dashboard_forecast",
        "Show the forecast on the dashboard",
        75,
    ),
    ("lead_merge", "Merge duplicate leads", 100),
    ("lead_score_v2", "Score leads with the new model", 30),
    ("mobile_push", "Notify on telephones", 60),
    ("quote_builder", "Build quotes in a conversation", 0),
    ("sms_channel", "Send and receive text messages", 40),
    ("task_suggestions", "Let agents suggest tasks", 15),
    ("weekly_digest", "Send a summary every Monday", 100),
];

/// How many agent configurations there are, at any scale.
pub(super) const fn configurations() -> u64 {
    AGENTS.len() as u64 * VERSIONS
}

/// How many feature flags there are, at any scale.
pub(super) const fn flags() -> u64 {
    FLAGS.len() as u64
}

pub(super) fn write_configuration(world: &World, index: u64, rows: &mut Rows) {
    let mut draw = world.draw(Table::AgentConfigurations, index);
    let version = index % VERSIONS + 1;
    let (name, purpose, prompt) = AGENTS[place(index / VERSIONS)];
    let created = NOW
        .before_seconds(HISTORY)
        .after_seconds((version - 1) * 150 * DAY + draw.below(20 * DAY));
    rows.put(index + 1)
        .put(name)
        .put(version)
        .put(purpose)
        .put(["swarm-small-1", "swarm-small-2", "swarm-large-2"][place(version - 1)])
        .put(Cents(draw.between(0, 10) * 10))
        .put(prompt)
        .put(json!(draw.several(&["search_leads", "send_email", "book_meeting", "create_task", "read_calendar"], 3)))
        .put(json!({
            "limits": {"messages_per_day": draw.pick(&[100, 250, 1000]), "tokens_per_reply": 400},
            "handover": {"below_confidence_percent": draw.pick(&[50, 60, 70]), "on": ["contract", "complaint"]},
        }))
        .put(version == VERSIONS)
        .put(people::user(world, 0).id)
        .put(created)
        .put(created)
        .end();
}

pub(super) fn write_decision(world: &World, index: u64, rows: &mut Rows) {
    let mut draw = world.draw(Table::AgentDecisions, index);
    // Two of three decisions are made within a conversation, and are then about its lead and after its start.
    let (conversation, agent, lead_index, at) = if draw.percent(67) {
        let of = index * world.rows(Table::Conversations) / world.rows(Table::AgentDecisions);
        let conversation = dialogue::conversation(world, of);
        let at = people::soon_after(conversation.created, 24, &mut draw);
        (
            Some(conversation.id),
            conversation.agent,
            conversation.lead,
            at,
        )
    } else {
        let (lead, at) = world.activity(&mut draw, Table::AgentDecisions, index);
        (None, draw.below(configurations()), lead, at)
    };
    let lead = people::lead(world, lead_index);
    let action = draw.weighted(&[
        ("reply", 45),
        ("follow_up", 20),
        ("qualify", 12),
        ("schedule", 10),
        ("escalate", 8),
        ("disqualify", 5),
    ]);
    let status = draw.weighted(&[
        ("executed", 70),
        ("approved", 8),
        ("rejected", 12),
        ("proposed", 7),
        ("failed", 3),
    ]);
    let reviewer =
        matches!(status, "approved" | "rejected").then(|| people::salesperson(world, &mut draw));
    let confidence = draw.between(35, 99);
    let rationale = phrases::fill(draw.pick(phrases::RATIONALES), &slots(&lead, "", &mut draw));
    let updated = match reviewer {
        Some(_) => people::soon_after(at, 2 * DAY / HOUR, &mut draw),
        None => at,
    };
    rows.put(index + 1)
        .put(agent + 1)
        .put(lead.id)
        .put(conversation)
        .put(action)
        .put(status)
        .put(Cents(confidence))
        .put(rationale)
        .put(json!({
            "signals": [
                {"name": "messages_opened", "value": draw.below(12)},
                {"name": "days_since_contact", "value": draw.below(40)},
                {"name": "page_views", "value": draw.below(30), "pages": draw.several(&["pricing", "security", "docs"], 2)},
            ],
            "alternatives": [{"action": draw.pick(&["reply", "follow_up", "escalate"]), "confidence_percent": 100 - confidence}],
            "model": {"prompt_tokens": draw.between(500, 6000), "latency_ms": draw.between(400, 6000)},
        }))
        .put(reviewer)
        .put(at)
        .put(at)
        .put(updated)
        .end();
}

pub(super) fn write_flag(world: &World, index: u64, rows: &mut Rows) {
    let mut draw = world.draw(Table::FeatureFlags, index);
    let (key, description, rollout) = FLAGS[place(index)];
    let created = NOW.before_seconds(HISTORY - draw.below(300 * DAY));
    rows.put(key)
        .put(description)
        .put(rollout > 0)
        .put(rollout)
        .put(match rollout {
            0 | 100 => json!([]),
            _ => json!([{"attribute": "role", "in": ["admin", "manager"]}, {"attribute": "share", "below": rollout}]),
        })
        .put(people::user(world, 0).id)
        .put(created)
        .put(people::soon_after(created, 200 * 24, &mut draw))
        .end();
}
