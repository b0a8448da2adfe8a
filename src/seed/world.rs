//! The data set as a whole: which tables, how many rows, when, and who is busy.
//!
//! Invariant: same seed and scale, same bytes. Times are relative to [`NOW`], a fixed date, and never
//! after it but for what is planned.

use super::copy::{Moment, Rows};
use super::draw::{Draw, Groups, Source, Zipf, place};
use super::{agents, dialogue, outreach, people};

/// The day the data was "taken": 2026-01-05 09:00 UTC, a Monday.
pub(super) const NOW: Moment = Moment::from_seconds(1_767_603_600);

pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 24 * HOUR;

/// How long before [`NOW`] the platform came into use.
pub(super) const HISTORY: u64 = 540 * DAY;

/// The least [`World::new`] takes: about ten leads.
pub const SCALE_MIN: f64 = 0.001;
/// The most [`World::new`] takes: ten million leads, some 65 GB.
pub const SCALE_MAX: f64 = 1000.0;

/// A table of the sample application. The order is that of loading: parents first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Table {
    /// The people who work with the platform.
    Users,
    /// What is sent, and in which order.
    Campaigns,
    /// The touches of a campaign.
    CampaignSteps,
    /// The people who may buy.
    Leads,
    /// Which lead is in which campaign.
    LeadCampaigns,
    /// Single touches: an e-mail, a call.
    Communications,
    /// Work for a user.
    Tasks,
    /// The settings of AI agents, in versions.
    AgentConfigurations,
    /// Dialogues with a lead.
    Conversations,
    /// What was said in them.
    Messages,
    /// What agents decided, and why.
    AgentDecisions,
    /// Switches of the application.
    FeatureFlags,
}

impl Table {
    /// Every table, in the order of the enum.
    pub const ALL: &'static [Self] = &[
        Self::Users,
        Self::Campaigns,
        Self::CampaignSteps,
        Self::Leads,
        Self::LeadCampaigns,
        Self::Communications,
        Self::Tasks,
        Self::AgentConfigurations,
        Self::Conversations,
        Self::Messages,
        Self::AgentDecisions,
        Self::FeatureFlags,
    ];

    /// Its name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Campaigns => "campaigns",
            Self::CampaignSteps => "campaign_steps",
            Self::Leads => "leads",
            Self::LeadCampaigns => "lead_campaigns",
            Self::Communications => "communications",
            Self::Tasks => "tasks",
            Self::AgentConfigurations => "agent_configurations",
            Self::Conversations => "conversations",
            Self::Messages => "messages",
            Self::AgentDecisions => "agent_decisions",
            Self::FeatureFlags => "feature_flags",
        }
    }

    /// The columns that are written, in their order in a row.
    #[must_use]
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Users => people::USERS,
            Self::Campaigns => outreach::CAMPAIGNS,
            Self::CampaignSteps => outreach::CAMPAIGN_STEPS,
            Self::Leads => people::LEADS,
            Self::LeadCampaigns => outreach::LEAD_CAMPAIGNS,
            Self::Communications => outreach::COMMUNICATIONS,
            Self::Tasks => outreach::TASKS,
            Self::AgentConfigurations => agents::AGENT_CONFIGURATIONS,
            Self::Conversations => dialogue::CONVERSATIONS,
            Self::Messages => dialogue::MESSAGES,
            Self::AgentDecisions => agents::AGENT_DECISIONS,
            Self::FeatureFlags => agents::FEATURE_FLAGS,
        }
    }

    /// The identity column whose sequence must follow the rows, if the table has one. Row `i` has the id
    /// `i + 1`.
    #[must_use]
    pub const fn identity(self) -> Option<&'static str> {
        match self {
            Self::CampaignSteps
            | Self::Communications
            | Self::Tasks
            | Self::AgentConfigurations
            | Self::Messages
            | Self::AgentDecisions => Some("id"),
            Self::Users
            | Self::Campaigns
            | Self::Leads
            | Self::LeadCampaigns
            | Self::Conversations
            | Self::FeatureFlags => None,
        }
    }

    fn write(self, world: &World, index: u64, rows: &mut Rows) {
        match self {
            Self::Users => people::write_user(world, index, rows),
            Self::Campaigns => outreach::write_campaign(world, index, rows),
            Self::CampaignSteps => outreach::write_step(world, index, rows),
            Self::Leads => people::write_lead(world, index, rows),
            Self::LeadCampaigns => outreach::write_enrolment(world, index, rows),
            Self::Communications => outreach::write_communication(world, index, rows),
            Self::Tasks => outreach::write_task(world, index, rows),
            Self::AgentConfigurations => agents::write_configuration(world, index, rows),
            Self::Conversations => dialogue::write_conversation(world, index, rows),
            Self::Messages => dialogue::write_message(world, index, rows),
            Self::AgentDecisions => agents::write_decision(world, index, rows),
            Self::FeatureFlags => agents::write_flag(world, index, rows),
        }
    }
}

/// How many rows the tables have that are not counted by another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Counts {
    users: u64,
    campaigns: u64,
    leads: u64,
    communications: u64,
    tasks: u64,
    conversations: u64,
    decisions: u64,
}

impl Counts {
    fn new(scale: f64) -> Self {
        // At most 3e7, so the conversion is exact. The floors leave something to choose from.
        let rows = |base: f64, least: u64| ((base * scale).round() as u64).max(least);
        Self {
            users: rows(200.0, 10),
            campaigns: rows(50.0, 5),
            leads: rows(10_000.0, 10),
            communications: rows(30_000.0, 30),
            tasks: rows(15_000.0, 15),
            conversations: rows(8_000.0, 8),
            decisions: rows(20_000.0, 20),
        }
    }
}

/// The steps of a campaign.
pub(super) const STEPS: Groups = Groups::new(&[3, 4, 5]);
/// The campaigns of a lead.
pub(super) const ENROLMENTS: Groups = Groups::new(&[1, 2, 1, 1, 2, 2]);
/// The messages of a conversation: 7.5 on average, most are short, a few go on and on.
pub(super) const MESSAGES: Groups = Groups::new(&[1, 2, 3, 4, 6, 8, 12, 24]);

/// A data set: everything that is fixed once seed and scale are known.
#[derive(Debug)]
pub struct World {
    source: Source,
    counts: Counts,
    lead_activity: Zipf,
    campaign_size: Zipf,
    last_contact: Vec<Option<Moment>>,
}

impl World {
    /// The data set of `seed` at `scale`, which is kept within [`SCALE_MIN`] and [`SCALE_MAX`]. Scale 1 has
    /// 10,000 leads and about 160,000 rows in all; everything grows with the scale alike.
    #[must_use]
    pub fn new(seed: u64, scale: f64) -> Self {
        let counts = Counts::new(scale.clamp(SCALE_MIN, SCALE_MAX));
        let mut world = Self {
            source: Source::new(seed),
            counts,
            lead_activity: Zipf::new(counts.leads),
            campaign_size: Zipf::new(counts.campaigns - outreach::drafts(counts.campaigns)),
            last_contact: Vec::new(),
        };
        world.last_contact = outreach::last_contacts(&world);
        world
    }

    /// How many rows `table` has.
    #[must_use]
    pub fn rows(&self, table: Table) -> u64 {
        match table {
            Table::Users => self.counts.users,
            Table::Campaigns => self.counts.campaigns,
            Table::CampaignSteps => STEPS.first(self.counts.campaigns),
            Table::Leads => self.counts.leads,
            Table::LeadCampaigns => ENROLMENTS.first(self.counts.leads),
            Table::Communications => self.counts.communications,
            Table::Tasks => self.counts.tasks,
            Table::AgentConfigurations => agents::configurations(),
            Table::Conversations => self.counts.conversations,
            Table::Messages => MESSAGES.first(self.counts.conversations),
            Table::AgentDecisions => self.counts.decisions,
            Table::FeatureFlags => agents::flags(),
        }
    }

    /// The rows of `table` in the text format of COPY, in chunks of about `chunk_bytes`.
    pub fn chunks(&self, table: Table, chunk_bytes: usize) -> impl Iterator<Item = String> {
        let mut indexes = 0..self.rows(table);
        let mut rows = Rows::default();
        std::iter::from_fn(move || {
            for index in indexes.by_ref() {
                table.write(self, index, &mut rows);
                if rows.len() >= chunk_bytes {
                    break;
                }
            }
            (rows.len() > 0).then(|| rows.take())
        })
    }

    /// The random numbers of a row.
    pub(super) fn draw(&self, table: Table, index: u64) -> Draw {
        self.source.row(table as u64, index)
    }

    /// The index of a lead, the busy ones often.
    pub(super) fn busy_lead(&self, draw: &mut Draw) -> u64 {
        self.lead_activity.index(draw)
    }

    /// The index of a campaign that has begun, the large ones often.
    pub(super) fn large_campaign(&self, draw: &mut Draw) -> u64 {
        self.campaign_size.index(draw)
    }

    /// When a lead was last written to or called.
    pub(super) fn last_contact(&self, lead: u64) -> Option<Moment> {
        self.last_contact[place(lead)]
    }

    /// Who row `index` of a table of activity is about, and when it happened. Rows are in the order of
    /// time as far as possible, and no lead does anything before it exists.
    pub(super) fn activity(&self, draw: &mut Draw, table: Table, index: u64) -> (u64, Moment) {
        const SPAN: u64 = 360 * DAY - 2 * HOUR;
        const ATTEMPTS: usize = 8;
        let rows = self.rows(table);
        let seconds = SPAN * index / rows;
        let jitter = draw.below(SPAN * 1_000_000 / rows);
        let moment = NOW
            .before_seconds(360 * DAY)
            .after_seconds(seconds)
            .after_micros(jitter);
        let mut lead = self.busy_lead(draw);
        for _ in 1..ATTEMPTS {
            if people::lead_created(self, lead) <= moment {
                return (lead, moment);
            }
            lead = self.busy_lead(draw);
        }
        let soon = people::lead_created(self, lead)
            .after_micros(draw.between(HOUR, 20 * HOUR) * 1_000_000);
        (lead, moment.max(soon))
    }
}
