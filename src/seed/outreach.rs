//! Campaigns, their steps, who is in them, and the single touches and tasks that come of it.

use serde_json::{Value, json};

use super::copy::{Moment, Rows, Uuid};
use super::draw::{Draw, place};
use super::people::{self, Lead};
use super::phrases::{self, Slots};
use super::words;
use super::world::{DAY, ENROLMENTS, HISTORY, HOUR, NOW, STEPS, Table, World};

pub(super) const CAMPAIGNS: &[&str] = &[
    "id",
    "owner_id",
    "name",
    "channel",
    "status",
    "goal",
    "budget_cents",
    "starts_on",
    "ends_on",
    "settings",
    "created_at",
    "updated_at",
];

pub(super) const CAMPAIGN_STEPS: &[&str] = &[
    "id",
    "campaign_id",
    "position",
    "channel",
    "delay_hours",
    "subject",
    "body_template",
    "created_at",
    "updated_at",
];

pub(super) const LEAD_CAMPAIGNS: &[&str] = &[
    "lead_id",
    "campaign_id",
    "step_id",
    "enrolled_by",
    "status",
    "enrolled_at",
    "completed_at",
    "created_at",
    "updated_at",
];

pub(super) const COMMUNICATIONS: &[&str] = &[
    "id",
    "lead_id",
    "campaign_id",
    "step_id",
    "user_id",
    "external_id",
    "channel",
    "direction",
    "status",
    "subject",
    "body",
    "metadata",
    "sent_at",
    "created_at",
    "updated_at",
];

pub(super) const TASKS: &[&str] = &[
    "id",
    "lead_id",
    "assignee_id",
    "title",
    "status",
    "priority",
    "due_at",
    "completed_at",
    "created_at",
    "updated_at",
];

/// How long a campaign runs.
const CAMPAIGN_LENGTH: u64 = 120 * DAY;

/// How many of `campaigns` have not begun: the last twentieth.
pub(super) const fn drafts(campaigns: u64) -> u64 {
    campaigns.div_ceil(20)
}

struct Campaign {
    id: Uuid,
    channel: &'static str,
    starts: Moment,
}

fn campaign(world: &World, index: u64) -> (Campaign, Draw) {
    let mut draw = world.draw(Table::Campaigns, index);
    let id = draw.uuid();
    let channel = draw.weighted(&[
        ("email", 5),
        ("mixed", 3),
        ("phone", 1),
        ("linkedin", 1),
        ("sms", 1),
    ]);
    let total = world.rows(Table::Campaigns);
    let begun = total - drafts(total);
    let starts = if index < begun {
        NOW.before_seconds(HISTORY)
            .after_seconds((HISTORY - 10 * DAY) * index / begun)
    } else {
        NOW.after_seconds((7 + draw.below(30)) * DAY)
    };
    (
        Campaign {
            id,
            channel,
            starts,
        },
        draw,
    )
}

pub(super) fn campaign_id(world: &World, index: u64) -> Uuid {
    campaign(world, index).0.id
}

pub(super) fn write_campaign(world: &World, index: u64, rows: &mut Rows) {
    let (campaign, mut draw) = campaign(world, index);
    let ends = campaign.starts.after_seconds(CAMPAIGN_LENGTH);
    let created = campaign
        .starts
        .min(NOW)
        .before_seconds(draw.between(5, 20) * DAY);
    let status = if campaign.starts > NOW {
        "draft"
    } else if ends > NOW {
        draw.weighted(&[("active", 5), ("paused", 1)])
    } else {
        draw.weighted(&[("completed", 3), ("archived", 1)])
    };
    let kind = draw.pick(&[
        "Welcome",
        "Renewal",
        "Win back",
        "Launch",
        "Webinar",
        "Trade fair",
        "Upgrade",
    ]);
    let industry = draw.pick(words::INDUSTRIES);
    rows.put(campaign.id)
        .put(people::salesperson(world, &mut draw))
        .put(format!("{kind} {industry} {}", index + 1))
        .put(campaign.channel)
        .put(status)
        .put(draw.pick(&[
            "book meetings",
            "qualify leads",
            "sell upgrades",
            "gather feedback",
        ]))
        .put(draw.between(5, 400) * 10_000)
        .put(campaign.starts.date())
        .put(draw.percent(80).then_some(ends.date()))
        .put(json!({
            "audience": {
                "industries": [industry],
                "countries": draw.several(&["US", "GB", "DE", "FR", "SE", "IE"], 3),
                "score_min": draw.below(6) * 10,
            },
            "send_window": {"from": "08:00", "to": "18:00", "days": phrases::DAYS},
            "daily_limit": draw.pick(&[50, 100, 250, 500]),
            "variants": [{"name": "a", "share": 50}, {"name": "b", "share": 50}],
        }))
        .put(created)
        .put(campaign.starts.min(NOW))
        .end();
}

struct Step {
    channel: &'static str,
    subject: &'static str,
    body: &'static str,
}

fn step(campaign: &Campaign, position: u64) -> Step {
    let channel = match campaign.channel {
        "mixed" if position % 3 == 1 => "phone",
        "mixed" if position % 3 == 2 => "linkedin",
        "mixed" => "email",
        only => only,
    };
    let (subject, body) = phrases::OUTREACH[place(position) % phrases::OUTREACH.len()];
    Step {
        channel,
        subject,
        body,
    }
}

pub(super) fn write_step(world: &World, index: u64, rows: &mut Rows) {
    let (parent, position) = STEPS.parent(index);
    let (campaign, _) = campaign(world, parent);
    let step = step(&campaign, position);
    let created = campaign.starts.min(NOW).before_seconds(4 * DAY);
    rows.put(index + 1)
        .put(campaign.id)
        .put(position + 1)
        .put(step.channel)
        .put(position * 72)
        .put((step.channel == "email").then_some(step.subject))
        .put(step.body)
        .put(created)
        .put(created)
        .end();
}

pub(super) fn write_enrolment(world: &World, index: u64, rows: &mut Rows) {
    let (lead_index, position) = ENROLMENTS.parent(index);
    let lead = people::lead(world, lead_index);
    let mut draw = world.draw(Table::LeadCampaigns, index);
    let total = world.rows(Table::Campaigns);
    let begun = total - drafts(total);
    let first = lead.campaign.unwrap_or(lead_index % begun);
    // A lead's second campaign is the next one to begin.
    let campaign_index = (first + position) % begun;
    let (campaign, _) = campaign(world, campaign_index);
    let enrolled = people::soon_after(lead.created.max(campaign.starts), 20 * 24, &mut draw);
    let status = draw.weighted(&[
        ("active", 30),
        ("completed", 35),
        ("replied", 20),
        ("pending", 7),
        ("bounced", 4),
        ("opted_out", 4),
    ]);
    let ended = match status {
        "active" | "pending" => None,
        _ => Some(people::soon_after(enrolled, 30 * 24, &mut draw)),
    };
    let steps = STEPS.size(campaign_index);
    let reached = match status {
        "pending" => None,
        "completed" => Some(steps),
        _ => Some(draw.between(1, steps)),
    };
    rows.put(lead.id)
        .put(campaign.id)
        .put(reached.map(|position| STEPS.first(campaign_index) + position))
        .put(draw.percent(40).then_some(lead.owner).flatten())
        .put(status)
        .put(enrolled)
        .put(ended)
        .put(enrolled)
        .put(ended.unwrap_or(enrolled))
        .end();
}

/// Who a touch is with, when it was, and whether it came from us.
struct Touch {
    lead: u64,
    at: Moment,
    direction: &'static str,
}

fn touch(world: &World, index: u64) -> (Touch, Draw) {
    let mut draw = world.draw(Table::Communications, index);
    let (lead, at) = world.activity(&mut draw, Table::Communications, index);
    let direction = draw.weighted(&[("outbound", 7), ("inbound", 3)]);
    (
        Touch {
            lead,
            at,
            direction,
        },
        draw,
    )
}

/// When each lead was last written to or called, in the order of leads.
pub(super) fn last_contacts(world: &World) -> Vec<Option<Moment>> {
    let mut last: Vec<Option<Moment>> = (0..world.rows(Table::Leads)).map(|_| None).collect();
    for index in 0..world.rows(Table::Communications) {
        let (touch, _) = touch(world, index);
        let entry = &mut last[place(touch.lead)];
        if touch.direction == "outbound" {
            *entry = (*entry).max(Some(touch.at));
        }
    }
    last
}

pub(super) fn write_communication(world: &World, index: u64, rows: &mut Rows) {
    let (touch, mut draw) = touch(world, index);
    let lead = people::lead(world, touch.lead);
    // Nobody is in a campaign before it begins.
    let of_campaign = lead
        .campaign
        .filter(|_| draw.percent(70))
        .and_then(|campaign_index| {
            let (campaign, _) = campaign(world, campaign_index);
            let position = draw.below(STEPS.size(campaign_index));
            (campaign.starts <= touch.at).then_some((campaign_index, campaign, position))
        });
    let step = of_campaign
        .as_ref()
        .map(|(_, campaign, position)| step(campaign, *position));
    let channel = match &step {
        Some(step) => step.channel,
        None => draw.weighted(&[("email", 6), ("phone", 3), ("linkedin", 1), ("sms", 1)]),
    };
    let status = match touch.direction {
        "inbound" => "received",
        _ => draw.weighted(&[
            ("delivered", 40),
            ("opened", 30),
            ("replied", 15),
            ("sent", 8),
            ("bounced", 4),
            ("failed", 3),
        ]),
    };
    let sender = people::user(world, draw.below(world.rows(Table::Users))).first_name;
    let slots = slots(&lead, sender, &mut draw);
    let (subject, body) = match (touch.direction, &step) {
        ("inbound", _) => {
            let topic = &phrases::TOPICS[place(draw.below(phrases::TOPICS.len() as u64))];
            let opening = draw.pick(phrases::LEAD_OPENINGS);
            (
                topic.subject,
                format!("{opening}{}", draw.pick(topic.questions)),
            )
        }
        (_, _) if channel == "phone" => ("", draw.pick(phrases::CALL_NOTES).to_owned()),
        (_, Some(step)) => (step.subject, step.body.to_owned()),
        (_, None) => {
            let (subject, body) = draw.pick(phrases::OUTREACH);
            (subject, body.to_owned())
        }
    };
    let by_a_person = touch.direction == "outbound" && (channel == "phone" || draw.percent(40));
    rows.put(index + 1)
        .put(lead.id)
        .put(of_campaign.as_ref().map(|(_, campaign, _)| campaign.id))
        .put(
            of_campaign
                .as_ref()
                .map(|(index, _, position)| STEPS.first(*index) + position + 1),
        )
        .put(lead.owner.filter(|_| by_a_person))
        .put((channel != "phone").then(|| format!("{channel}-{:08x}-{index}", draw.below(1 << 32))))
        .put(channel)
        .put(touch.direction)
        .put(status)
        .put((channel == "email").then(|| phrases::fill(subject, &slots)))
        .put(phrases::fill(&body, &slots))
        .put(touch_metadata(channel, status, touch.at, &mut draw))
        .put(touch.at)
        .put(touch.at)
        .put(touch.at)
        .end();
}

fn touch_metadata(channel: &str, status: &str, at: Moment, draw: &mut Draw) -> Value {
    if channel == "phone" {
        return json!({
            "call": {
                "duration_seconds": draw.between(20, 1800),
                "outcome": draw.pick(&["reached", "voicemail", "no answer"]),
            },
        });
    }
    let mut events = vec![json!({"type": "sent", "at": at.to_string()})];
    if status != "sent" {
        let later = people::soon_after(at, 24, draw);
        events.push(json!({"type": status, "at": later.to_string()}));
    }
    json!({
        "provider": draw.pick(&["relay-1", "relay-2"]),
        "variant": draw.pick(&["a", "b"]),
        "attempts": draw.weighted(&[(1, 90), (2, 8), (3, 2)]),
        "events": events,
    })
}

pub(super) fn write_task(world: &World, index: u64, rows: &mut Rows) {
    let mut draw = world.draw(Table::Tasks, index);
    let (lead_index, created) = world.activity(&mut draw, Table::Tasks, index);
    let lead = people::lead(world, lead_index);
    let due = created.after_seconds(draw.between(4, 14 * 24) * HOUR);
    let status = if due < NOW {
        draw.weighted(&[("done", 80), ("cancelled", 10), ("open", 10)])
    } else {
        draw.weighted(&[("done", 20), ("open", 80)])
    };
    let completed = (status == "done").then(|| people::soon_after(created, 10 * 24, &mut draw));
    let title = draw.pick(phrases::TASKS);
    let slots = slots(&lead, "", &mut draw);
    rows.put(index + 1)
        .put(lead.id)
        .put(lead.owner)
        .put(phrases::fill(title, &slots))
        .put(status)
        .put(draw.weighted(&[(1, 5), (2, 20), (3, 50), (4, 20), (5, 5_u64)]))
        .put(due)
        .put(completed)
        .put(created)
        .put(completed.unwrap_or(created))
        .end();
}

/// What the gaps of a text to or from `lead` are filled with.
pub(super) fn slots<'a>(lead: &'a Lead, sender: &'a str, draw: &mut Draw) -> Slots<'a> {
    Slots {
        first: lead.first_name,
        company: &lead.company,
        sender,
        day: draw.pick(phrases::DAYS),
        seats: draw.pick(&[5, 10, 15, 25, 40, 60, 120, 250]),
        amount: draw.between(12, 480) * 100,
    }
}
