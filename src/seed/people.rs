//! Users and leads.
//!
//! Addresses end in example.com (RFC 2606) and telephone numbers lie in the ranges that the countries set
//! aside for fiction, so nothing here can ever reach a person.

use serde_json::{Value, json};

use super::copy::{Cents, Moment, Rows, Uuid};
use super::draw::{Draw, place};
use super::words;
use super::world::{DAY, HISTORY, HOUR, NOW, Table, World};

pub(super) const USERS: &[&str] = &[
    "id",
    "email",
    "full_name",
    "role",
    "status",
    "manager_id",
    "password_hash",
    "timezone",
    "settings",
    "last_login_at",
    "created_at",
    "updated_at",
];

pub(super) const LEADS: &[&str] = &[
    "id",
    "owner_id",
    "campaign_id",
    "email",
    "first_name",
    "last_name",
    "company",
    "job_title",
    "phone",
    "country",
    "source",
    "status",
    "score",
    "estimated_value",
    "metadata",
    "last_contacted_at",
    "created_at",
    "updated_at",
];

/// What other tables need to know of a user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: Uuid,
    pub(super) first_name: &'static str,
    last_name: &'static str,
    created: Moment,
}

pub(super) fn user(world: &World, index: u64) -> User {
    user_and_rest(world, index).0
}

/// The managers are the first tenth of the users.
fn managers(world: &World) -> u64 {
    world.rows(Table::Users).div_ceil(10)
}

/// The id of a user who works with leads.
pub(super) fn salesperson(world: &World, draw: &mut Draw) -> Uuid {
    user(world, salesperson_index(world, draw)).id
}

/// The index of a user who works with leads.
pub(super) fn salesperson_index(world: &World, draw: &mut Draw) -> u64 {
    draw.between(managers(world), world.rows(Table::Users) - 1)
}

fn user_and_rest(world: &World, index: u64) -> (User, Draw) {
    let mut draw = world.draw(Table::Users, index);
    let user = User {
        id: draw.uuid(),
        first_name: draw.pick(words::FIRST_NAMES),
        last_name: draw.pick(words::LAST_NAMES),
        created: NOW
            .before_seconds(HISTORY)
            .after_seconds(draw.below(HISTORY * 3 / 4)),
    };
    (user, draw)
}

pub(super) fn write_user(world: &World, index: u64, rows: &mut Rows) {
    let (user, mut draw) = user_and_rest(world, index);
    let managers = managers(world);
    let role = match index {
        0 => "admin",
        _ if index < managers => "manager",
        _ => draw.weighted(&[("agent", 8), ("viewer", 2)]),
    };
    let status = match role {
        "agent" | "viewer" => draw.weighted(&[("active", 90), ("invited", 4), ("suspended", 6)]),
        _ => "active",
    };
    let manager = (index > 0).then(|| self::user(world, draw.below(managers.min(index))).id);
    let last_login = match status {
        "active" => Some(NOW.before_seconds(draw.below(20 * DAY))),
        _ => None,
    };
    let (first, last) = (
        words::address_part(user.first_name),
        words::address_part(user.last_name),
    );
    rows.put(user.id)
        .put(format!("{first}.{last}.{index}@swarm.example.com"))
        .put(format!("{} {}", user.first_name, user.last_name))
        .put(role)
        .put(status)
        .put(manager)
        .put(password_hash(&mut draw))
        .put(draw.pick(words::TIMEZONES))
        .put(json!({
            "theme": draw.pick(&["light", "dark"]),
            "notifications": {
                "email": draw.percent(80),
                "desktop": draw.percent(50),
                "digest": draw.pick(&["daily", "weekly", "never"]),
            },
            "pinned_views": draw.several(&["my leads", "open tasks", "hot leads", "escalations", "this week"], 2),
        }))
        .put(last_login)
        .put(user.created)
        .put(last_login.unwrap_or(user.created))
        .end();
}

/// The shape of an argon2id hash over random letters: no password matches it.
fn password_hash(draw: &mut Draw) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut letters =
        |count: usize| -> String { (0..count).map(|_| char::from(draw.pick(LETTERS))).collect() };
    format!(
        "$argon2id$v=19$m=19456,t=2,p=1${}${}",
        letters(22),
        letters(43)
    )
}

/// What other tables need to know of a lead.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) id: Uuid,
    pub(super) created: Moment,
    pub(super) first_name: &'static str,
    pub(super) last_name: &'static str,
    pub(super) company: String,
    pub(super) owner: Option<Uuid>,
    /// The index of the campaign it came from.
    pub(super) campaign: Option<u64>,
}

pub(super) fn lead(world: &World, index: u64) -> Lead {
    lead_and_rest(world, index).0
}

/// When a lead came in: leads are in the order of time, the last a day ago.
pub(super) fn lead_created(world: &World, index: u64) -> Moment {
    created(world, index, &mut world.draw(Table::Leads, index))
}

fn created(world: &World, index: u64, draw: &mut Draw) -> Moment {
    const SPAN: u64 = HISTORY - DAY;
    let rows = world.rows(Table::Leads);
    let jitter = draw.below(SPAN * 1_000_000 / rows);
    NOW.before_seconds(HISTORY)
        .after_seconds(SPAN * index / rows)
        .after_micros(jitter)
}

fn lead_and_rest(world: &World, index: u64) -> (Lead, Draw) {
    let mut draw = world.draw(Table::Leads, index);
    let created = created(world, index, &mut draw);
    let lead = Lead {
        id: draw.uuid(),
        created,
        first_name: draw.pick(words::FIRST_NAMES),
        last_name: draw.pick(words::LAST_NAMES),
        company: format!(
            "{}{} {}",
            draw.pick(words::COMPANY_HEADS),
            draw.pick(words::COMPANY_TAILS),
            draw.pick(words::COMPANY_FORMS)
        ),
        owner: draw.percent(95).then(|| salesperson(world, &mut draw)),
        campaign: draw.percent(80).then(|| world.large_campaign(&mut draw)),
    };
    (lead, draw)
}

pub(super) fn write_lead(world: &World, index: u64, rows: &mut Rows) {
    let (lead, mut draw) = lead_and_rest(world, index);
    let last_contact = world.last_contact(index);
    let status = match last_contact {
        None => "new",
        Some(_) => draw.weighted(&[
            ("contacted", 46),
            ("qualified", 20),
            ("proposal", 8),
            ("won", 6),
            ("lost", 16),
            ("unsubscribed", 4),
        ]),
    };
    let source = match lead.campaign {
        Some(_) => draw.weighted(&[("outbound", 6), ("event", 2), ("import", 2)]),
        None => draw.weighted(&[("website", 6), ("referral", 3), ("partner", 1)]),
    };
    let score = match status {
        "won" | "proposal" => draw.between(60, 100),
        "qualified" => draw.between(45, 95),
        "lost" | "unsubscribed" => draw.below(40),
        _ => draw.below(80),
    };
    let (country, phone) = phone(&mut draw);
    let (first, last) = (
        words::address_part(lead.first_name),
        words::address_part(lead.last_name),
    );
    let company = words::address_part(lead.company.split(' ').next().unwrap_or_default());
    let campaign = lead
        .campaign
        .map(|campaign| super::outreach::campaign_id(world, campaign));
    let updated = last_contact.unwrap_or(lead.created);
    rows.put(lead.id)
        .put(lead.owner)
        .put(campaign)
        .put(format!("{first}.{last}.{index}@{company}.example.com"))
        .put(lead.first_name)
        .put(lead.last_name)
        .put(lead.company.as_str())
        .put(draw.pick(words::JOB_TITLES))
        .put(draw.percent(85).then_some(phone))
        .put(country)
        .put(source)
        .put(status)
        .put(score)
        // Most deals are small, some are not: the product of two draws.
        .put(Cents(draw.between(5, 120) * draw.between(5, 120) * 1000))
        .put(lead_metadata(&lead, source, &mut draw))
        .put(last_contact)
        .put(lead.created)
        .put(updated)
        .end();
}

fn lead_metadata(lead: &Lead, source: &str, draw: &mut Draw) -> Value {
    let employees = draw.pick(&[8_u64, 25, 60, 140, 300, 750, 2_000, 9_000]);
    let interests = place(draw.between(1, 4));
    let mut metadata = json!({
        "company": {
            "industry": draw.pick(words::INDUSTRIES),
            "employees": employees,
            "revenue_band": match employees {
                0..=60 => "under 10M",
                61..=750 => "10M to 100M",
                _ => "over 100M",
            },
        },
        "interests": draw.several(words::INTERESTS, interests),
        "consent": {
            "email": draw.percent(92),
            "sms": draw.percent(30),
            "given_at": lead.created.to_string(),
        },
        "tags": draw.several(&["decision maker", "budget holder", "technical", "vip"], 2),
        "segment": draw.weighted(&[("small", 6), ("medium", 3), ("enterprise", 1)]),
        "plan": draw.weighted(&[("team", 6), ("business", 3), ("custom", 1)]),
        "newsletter": draw.percent(40),
    });
    if source == "website" {
        metadata["utm"] = json!({
            "source": draw.pick(&["search", "newsletter", "social", "partner"]),
            "medium": draw.pick(&["organic", "paid", "email"]),
            "landing_pages": draw.several(&["/", "/pricing", "/demo", "/security", "/customers"], 2),
        });
    }
    metadata
}

/// A country and a telephone number in the range it has set aside for fiction.
fn phone(draw: &mut Draw) -> (&'static str, String) {
    let country = draw.weighted(&[
        ("US", 40),
        ("GB", 20),
        ("DE", 15),
        ("FR", 12),
        ("SE", 8),
        ("IE", 5),
    ]);
    let number = match country {
        "US" => format!(
            "+1 {} 555 01{:02}",
            draw.pick(&[202, 212, 312, 415, 503, 617]),
            draw.below(100)
        ),
        "GB" => format!("+44 7700 900{:03}", draw.below(1000)),
        "DE" => format!("+49 30 23125 {:03}", draw.below(1000)),
        "FR" => format!("+33 1 99 00 {:02} {:02}", draw.below(100), draw.below(100)),
        "SE" => format!("+46 70 174 06 {:02}", draw.between(5, 99)),
        _ => format!("+353 20 91{} {:04}", draw.below(10), draw.below(10_000)),
    };
    (country, number)
}

/// A moment of working life after `start`: up to `hours` later, not in the future.
pub(super) fn soon_after(start: Moment, hours: u64, draw: &mut Draw) -> Moment {
    start
        .after_micros(draw.below(hours * HOUR * 1_000_000))
        .min(NOW)
}
