//! What must hold for the data set as a whole, checked on the text that COPY would get.

use std::collections::{HashMap, HashSet};

use super::*;

/// Every foreign key of the schema: table, column, table referred to, column referred to.
const REFERENCES: &[(Table, &str, Table, &str)] = &[
    (Table::Users, "manager_id", Table::Users, "id"),
    (Table::Campaigns, "owner_id", Table::Users, "id"),
    (Table::CampaignSteps, "campaign_id", Table::Campaigns, "id"),
    (Table::Leads, "owner_id", Table::Users, "id"),
    (Table::Leads, "campaign_id", Table::Campaigns, "id"),
    (Table::LeadCampaigns, "lead_id", Table::Leads, "id"),
    (Table::LeadCampaigns, "campaign_id", Table::Campaigns, "id"),
    (Table::LeadCampaigns, "step_id", Table::CampaignSteps, "id"),
    (Table::LeadCampaigns, "enrolled_by", Table::Users, "id"),
    (Table::Communications, "lead_id", Table::Leads, "id"),
    (Table::Communications, "campaign_id", Table::Campaigns, "id"),
    (Table::Communications, "step_id", Table::CampaignSteps, "id"),
    (Table::Communications, "user_id", Table::Users, "id"),
    (Table::Tasks, "lead_id", Table::Leads, "id"),
    (Table::Tasks, "assignee_id", Table::Users, "id"),
    (Table::AgentConfigurations, "created_by", Table::Users, "id"),
    (Table::Conversations, "lead_id", Table::Leads, "id"),
    (Table::Conversations, "assigned_user_id", Table::Users, "id"),
    (
        Table::Conversations,
        "agent_id",
        Table::AgentConfigurations,
        "id",
    ),
    (
        Table::Messages,
        "conversation_id",
        Table::Conversations,
        "id",
    ),
    (Table::Messages, "user_id", Table::Users, "id"),
    (
        Table::AgentDecisions,
        "agent_id",
        Table::AgentConfigurations,
        "id",
    ),
    (Table::AgentDecisions, "lead_id", Table::Leads, "id"),
    (
        Table::AgentDecisions,
        "conversation_id",
        Table::Conversations,
        "id",
    ),
    (Table::AgentDecisions, "reviewed_by", Table::Users, "id"),
    (Table::FeatureFlags, "updated_by", Table::Users, "id"),
];

/// Every unique constraint and primary key of the schema.
const UNIQUE: &[(Table, &[&str])] = &[
    (Table::Users, &["id"]),
    (Table::Users, &["email"]),
    (Table::Campaigns, &["id"]),
    (Table::Campaigns, &["name"]),
    (Table::CampaignSteps, &["id"]),
    (Table::CampaignSteps, &["campaign_id", "position"]),
    (Table::Leads, &["id"]),
    (Table::Leads, &["email"]),
    (Table::LeadCampaigns, &["lead_id", "campaign_id"]),
    (Table::Communications, &["id"]),
    (Table::Communications, &["external_id"]),
    (Table::Tasks, &["id"]),
    (Table::AgentConfigurations, &["id"]),
    (Table::AgentConfigurations, &["name", "version"]),
    (Table::Conversations, &["id"]),
    (Table::Messages, &["id"]),
    (Table::AgentDecisions, &["id"]),
    (Table::FeatureFlags, &["key"]),
];

/// The text of a whole table.
fn text(world: &World, table: Table) -> String {
    world.chunks(table, CHUNK_BYTES).collect()
}

/// The fields of `columns`, row by row.
fn fields(world: &World, table: Table, columns: &[&str]) -> Vec<Vec<String>> {
    let places: Vec<_> = columns
        .iter()
        .map(|column| {
            table
                .columns()
                .iter()
                .position(|name| name == column)
                .expect(column)
        })
        .collect();
    text(world, table)
        .lines()
        .map(|line| {
            let row: Vec<_> = line.split('\t').collect();
            places.iter().map(|&place| row[place].to_owned()).collect()
        })
        .collect()
}

fn column(world: &World, table: Table, column: &str) -> Vec<String> {
    fields(world, table, &[column])
        .into_iter()
        .flatten()
        .collect()
}

/// FNV-1a of the whole data set.
fn hash(world: &World) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &table in Table::ALL {
        for byte in text(world, table).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

#[test]
fn same_seed_and_scale_give_the_same_bytes() {
    let first = hash(&World::new(42, 0.01));
    assert_eq!(first, hash(&World::new(42, 0.01)));
    assert_ne!(first, hash(&World::new(43, 0.01)));
    // On any machine and in any version: a change of the data must be meant.
    assert_eq!(first, 0xfb25_8fa2_3e76_d266, "got {first:#018x}");
}

#[test]
fn the_size_of_chunks_does_not_change_the_text() {
    let world = World::new(1, 0.001);
    for &table in Table::ALL {
        let small: Vec<_> = world.chunks(table, 1).collect();
        assert_eq!(small.len() as u64, world.rows(table), "{}", table.name());
        assert_eq!(small.concat(), text(&world, table), "{}", table.name());
    }
}

#[test]
fn every_row_has_a_field_for_every_column() {
    let world = World::new(1, 0.01);
    for &table in Table::ALL {
        let text = text(&world, table);
        assert_eq!(
            text.lines().count() as u64,
            world.rows(table),
            "{}",
            table.name()
        );
        for line in text.lines() {
            assert_eq!(
                line.split('\t').count(),
                table.columns().len(),
                "{}: {line}",
                table.name()
            );
        }
    }
}

#[test]
fn references_point_to_rows_that_exist() {
    let world = World::new(7, 0.02);
    for &(table, name, parent, key) in REFERENCES {
        let keys: HashSet<_> = column(&world, parent, key).into_iter().collect();
        let values = column(&world, table, name);
        assert!(
            values.iter().any(|value| value != "\\N"),
            "{} {name} is never set",
            table.name()
        );
        for value in values {
            assert!(
                value == "\\N" || keys.contains(&value),
                "{} {name} {value}",
                table.name()
            );
        }
    }
}

#[test]
fn unique_columns_are_unique_at_every_scale() {
    for scale in [SCALE_MIN, 0.05] {
        let world = World::new(7, scale);
        for &(table, columns) in UNIQUE {
            let mut seen = HashSet::new();
            for row in fields(&world, table, columns) {
                let new = row.contains(&"\\N".to_owned()) || seen.insert(row.clone());
                assert!(new, "{} {columns:?} {row:?}", table.name());
            }
        }
    }
}

#[test]
fn the_scale_is_linear() {
    let (one, tenth) = (World::new(1, 1.0), World::new(1, 0.1));
    for (table, rows) in [
        (Table::Users, 200),
        (Table::Campaigns, 50),
        (Table::Leads, 10_000),
        (Table::Communications, 30_000),
        (Table::Conversations, 8_000),
        (Table::Messages, 60_000),
        (Table::AgentDecisions, 20_000),
    ] {
        assert_eq!(one.rows(table), rows, "{}", table.name());
        assert_eq!(tenth.rows(table), (rows / 10).max(5), "{}", table.name());
    }
}

#[test]
fn a_few_leads_have_most_of_the_activity() {
    let world = World::new(42, 0.2);
    let leads = usize::try_from(world.rows(Table::Leads)).unwrap();
    for table in [Table::Communications, Table::Tasks, Table::Conversations] {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for lead in column(&world, table, "lead_id") {
            *counts.entry(lead).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable_by(|left, right| right.cmp(left));
        let total: usize = counts.iter().sum();
        let share = |top: usize| counts.iter().take(top).sum::<usize>() * 100 / total;
        let (hundredth, fifth) = (share(leads / 100), share(leads / 5));
        assert!(hundredth >= 10, "{}: {hundredth} %", table.name());
        assert!(fifth >= 55, "{}: {fifth} %", table.name());
    }
}

#[test]
fn time_runs_forward() {
    let world = World::new(3, 0.05);
    let now = world::NOW.to_string();
    let created: HashMap<_, _> = fields(&world, Table::Leads, &["id", "created_at"])
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    for table in [
        Table::Communications,
        Table::Tasks,
        Table::Conversations,
        Table::AgentDecisions,
    ] {
        for row in fields(&world, table, &["lead_id", "created_at", "updated_at"]) {
            assert!(
                created[&row[0]] <= row[1],
                "{} before its lead: {row:?}",
                table.name()
            );
            assert!(
                row[1] <= row[2] && row[2] <= now,
                "{}: {row:?}",
                table.name()
            );
        }
    }
    let mut last: HashMap<String, String> = HashMap::new();
    for row in fields(&world, Table::Messages, &["conversation_id", "created_at"]) {
        assert!(row[1] <= now, "{row:?}");
        let before = last.insert(row[0].clone(), row[1].clone());
        assert!(before.is_none_or(|before| before <= row[1]), "{row:?}");
    }
    for row in fields(&world, Table::Conversations, &["id", "last_message_at"]) {
        assert_eq!(last[&row[0]], row[1], "the last message of {}", row[0]);
    }
}

#[test]
fn nobody_real_can_be_reached() {
    let world = World::new(5, 0.05);
    for table in [Table::Users, Table::Leads] {
        for email in column(&world, table, "email") {
            assert!(
                email.ends_with(".example.com") && email == email.to_lowercase(),
                "{email}"
            );
        }
    }
    const FICTION: &[&str] = &[
        "+44 7700 900",
        "+49 30 23125 ",
        "+33 1 99 00 ",
        "+46 70 174 06 ",
        "+353 20 91",
    ];
    for phone in column(&world, Table::Leads, "phone")
        .iter()
        .filter(|phone| *phone != "\\N")
    {
        let american = phone.starts_with("+1 ") && phone[6..].starts_with(" 555 01");
        assert!(
            american || FICTION.iter().any(|range| phone.starts_with(range)),
            "{phone}"
        );
    }
}

#[test]
fn metadata_is_json_with_objects_and_arrays() {
    let world = World::new(5, 0.01);
    let mut seen = (false, false);
    for metadata in column(&world, Table::Leads, "metadata") {
        let value: serde_json::Value =
            serde_json::from_str(&metadata.replace("\\\\", "\\")).unwrap();
        seen.0 |= value["company"]["employees"].is_u64();
        seen.1 |= value["interests"][0].is_string();
    }
    assert_eq!(seen, (true, true));
}

#[test]
fn the_scale_has_bounds() {
    assert_eq!(parse_scale("0.5"), Ok(0.5));
    for text in ["0", "-1", "nan", "inf", "2000"] {
        assert!(parse_scale(text).is_err(), "{text}");
    }
    assert!(parse_scale("many").is_err());
}
