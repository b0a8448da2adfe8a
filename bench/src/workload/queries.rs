//! The sample application's queries and writes.
//!
//! Every ORDER BY ends in a unique column, so that an answer has one right order and two servers
//! can be compared.

/// What a query's one parameter is drawn from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Argument {
    Campaign,
    Conversation,
    Flag,
    Lead,
    /// A JSON object that some leads' metadata contain.
    Metadata,
    None,
    UserEmail,
    UserId,
}

impl Argument {
    /// Those that have values, in the order of the enum.
    pub(super) const ALL: [Self; 7] = [
        Self::Campaign,
        Self::Conversation,
        Self::Flag,
        Self::Lead,
        Self::Metadata,
        Self::UserEmail,
        Self::UserId,
    ];

    /// The query that lists the values, the most popular first.
    pub(super) const fn values(self) -> Option<&'static str> {
        match self {
            Self::Campaign => Some("SELECT id::text FROM campaigns ORDER BY id"),
            Self::Conversation => Some("SELECT id::text FROM conversations ORDER BY id"),
            Self::Flag => Some("SELECT key FROM feature_flags ORDER BY key"),
            Self::Lead => Some("SELECT id::text FROM leads ORDER BY id"),
            Self::Metadata => Some(
                "SELECT jsonb_build_object(key, value)::text FROM leads, jsonb_each(metadata) \
                 WHERE jsonb_typeof(value) IN ('string', 'boolean') \
                 GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 40",
            ),
            Self::None => None,
            Self::UserEmail => Some("SELECT email FROM users ORDER BY id"),
            Self::UserId => Some("SELECT id::text FROM users ORDER BY id"),
        }
    }
}

/// A read of the application.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    pub(super) argument: Argument,
    /// How often it is asked, relative to the others.
    pub(super) weight: u32,
}

/// Position in [`QUERIES`] of the query that shows an update of a lead.
pub(super) const LEAD_DETAILS: usize = 2;
/// Position in [`QUERIES`] of the query that shows a new message.
pub(super) const CONVERSATION: usize = 4;

/// What the application reads: a page view is a login, a few flags, a lead or a conversation.
pub(super) const QUERIES: [Query; 11] = [
    Query {
        name: "login",
        sql: "SELECT id, email, full_name, role, status, timezone, password_hash, settings \
              FROM users WHERE email = $1",
        argument: Argument::UserEmail,
        weight: 12,
    },
    Query {
        name: "feature flag",
        sql: "SELECT key, enabled, rollout_percent, rules FROM feature_flags WHERE key = $1",
        argument: Argument::Flag,
        weight: 14,
    },
    Query {
        name: "lead details",
        sql: "SELECT l.*, c.name AS campaign_name, c.status AS campaign_status, \
              u.full_name AS owner_name \
              FROM leads l LEFT JOIN campaigns c ON c.id = l.campaign_id \
              LEFT JOIN users u ON u.id = l.owner_id WHERE l.id = $1",
        argument: Argument::Lead,
        weight: 20,
    },
    Query {
        name: "lead's communications",
        sql: "SELECT id, channel, direction, status, subject, body, metadata, sent_at \
              FROM communications WHERE lead_id = $1 ORDER BY sent_at DESC, id DESC LIMIT 20",
        argument: Argument::Lead,
        weight: 12,
    },
    Query {
        name: "conversation with messages",
        sql: "SELECT c.id, c.subject, c.status, c.channel, m.id AS message_id, m.sender, m.body, \
              m.created_at FROM conversations c JOIN messages m ON m.conversation_id = c.id \
              WHERE c.id = $1 ORDER BY m.id DESC LIMIT 50",
        argument: Argument::Conversation,
        weight: 14,
    },
    Query {
        name: "open tasks",
        sql: "SELECT t.id, t.title, t.priority, t.due_at, l.first_name, l.last_name, l.company \
              FROM tasks t JOIN leads l ON l.id = t.lead_id \
              WHERE t.assignee_id = $1 AND t.status = 'open' ORDER BY t.due_at, t.id LIMIT 20",
        argument: Argument::UserId,
        weight: 7,
    },
    Query {
        name: "agent decisions",
        sql: "SELECT d.id, d.action, d.status, d.confidence, d.rationale, d.decided_at, a.name \
              FROM agent_decisions d JOIN agent_configurations a ON a.id = d.agent_id \
              WHERE d.lead_id = $1 ORDER BY d.decided_at DESC, d.id DESC LIMIT 10",
        argument: Argument::Lead,
        weight: 6,
    },
    Query {
        name: "owner's pipeline",
        sql: "SELECT status, count(*), sum(estimated_value) FROM leads WHERE owner_id = $1 \
              GROUP BY status ORDER BY status",
        argument: Argument::UserId,
        weight: 5,
    },
    Query {
        name: "campaign analytics",
        sql: "SELECT channel, count(*) AS sent, \
              count(*) FILTER (WHERE status IN ('opened', 'replied')) AS opened, \
              count(*) FILTER (WHERE status = 'replied') AS replied, \
              count(*) FILTER (WHERE status IN ('bounced', 'failed')) AS failed \
              FROM communications WHERE campaign_id = $1 GROUP BY channel ORDER BY channel",
        argument: Argument::Campaign,
        weight: 5,
    },
    Query {
        name: "dashboard",
        sql: "SELECT status, count(*), sum(estimated_value), avg(score) \
              FROM leads GROUP BY status ORDER BY status",
        argument: Argument::None,
        weight: 2,
    },
    Query {
        name: "lead search",
        sql: "SELECT id, first_name, last_name, company, status, score FROM leads \
              WHERE metadata @> $1::jsonb ORDER BY score DESC, id LIMIT 20",
        argument: Argument::Metadata,
        weight: 3,
    },
];

/// A lead moves through the pipeline: id, status, score.
pub(super) const UPDATE_LEAD: &str =
    "UPDATE leads SET status = $2, score = $3, updated_at = now() WHERE id = $1";

/// A message arrives: conversation, text.
pub(super) const INSERT_MESSAGE: &str =
    "INSERT INTO messages (conversation_id, sender, body) VALUES ($1, 'lead', $2) RETURNING id";

/// What a lead's status may become.
pub(super) const LEAD_STATUSES: [&str; 5] = ["contacted", "qualified", "proposal", "won", "lost"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_parameters_are_right() {
        assert_eq!(QUERIES[LEAD_DETAILS].name, "lead details");
        assert_eq!(QUERIES[CONVERSATION].name, "conversation with messages");
        for query in &QUERIES {
            let has_parameter = query.sql.contains("$1");
            assert_eq!(
                has_parameter,
                query.argument != Argument::None,
                "{}",
                query.name
            );
        }
    }
}
