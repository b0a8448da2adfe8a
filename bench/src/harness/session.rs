//! One connection of the application: runs whole actions with the driver, in the protocol the scenario names.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use super::scenario::{Protocol, Scenario, Step};
use crate::sandbox::connect;
use crate::workload::{Text, inline};

/// A scenario made ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    actions: Vec<Vec<PlannedStep>>,
}

#[derive(Debug)]
struct PlannedStep {
    sql: String,
    params: Vec<Source>,
    /// The step whose rows it is repeated for.
    over: Option<usize>,
    /// The columns that later steps need.
    keep: Vec<String>,
}

/// Where a parameter comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A position among the kept columns of the step it is repeated for.
    Column(usize),
    /// A position among the drawn values.
    Value(usize),
}

/// The kept columns of a step's rows.
type Kept = Vec<Vec<Option<String>>>;

impl Plan {
    pub(super) fn new(scenario: Scenario) -> Self {
        let actions = scenario.actions.iter();
        let actions = actions
            .map(|action| {
                let steps = action.steps.iter();
                steps
                    .map(|step| plan_step(&scenario, &action.steps, step))
                    .collect()
            })
            .collect();
        Self { scenario, actions }
    }
}

/// Names were checked when the scenario was read, so each is found.
fn plan_step(scenario: &Scenario, steps: &[Step], step: &Step) -> PlannedStep {
    let kept_of = |name: &str| -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        for param in steps.iter().flat_map(|step| &step.params) {
            if let Some((from, column)) = param.split_once('.')
                && from == name
                && !columns.iter().any(|known| known == column)
            {
                columns.push(column.to_owned());
            }
        }
        columns
    };
    let mut over = None;
    let mut params = Vec::new();
    for param in &step.params {
        let source = match param.split_once('.') {
            Some((name, column)) => {
                over = steps.iter().position(|step| step.name == name);
                let kept = kept_of(name);
                Source::Column(kept.iter().position(|kept| kept == column).unwrap_or(0))
            }
            None => {
                let position = scenario.values.keys().position(|name| name == param);
                Source::Value(position.unwrap_or(0))
            }
        };
        params.push(source);
    }
    let keep = if step.name.is_empty() {
        Vec::new()
    } else {
        kept_of(&step.name)
    };
    PlannedStep {
        sql: step.sql.clone(),
        params,
        over,
        keep,
    }
}

/// A connection.
pub(super) struct Session {
    client: Client,
    plan: Arc<Plan>,
    /// The statements of each action, if they are prepared.
    prepared: Vec<Vec<Statement>>,
}

impl Session {
    pub(super) async fn open(url: &str, plan: &Arc<Plan>) -> anyhow::Result<Self> {
        let client = connect(url).await.context("cannot connect")?;
        let mut prepared = Vec::new();
        if plan.scenario.protocol == Protocol::Prepared {
            for steps in &plan.actions {
                let mut statements = Vec::new();
                for step in steps {
                    let statement = client.prepare(&step.sql).await;
                    statements.push(statement.with_context(|| step.sql.clone())?);
                }
                prepared.push(statements);
            }
        }
        Ok(Self {
            client,
            plan: Arc::clone(plan),
            prepared,
        })
    }

    /// Has the connection ended?
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs an action; returns how many statements that took, transaction control not counted.
    ///
    /// # Errors
    /// The server's, the connection's, or a column that is not text.
    pub(super) async fn run(&self, action: usize, values: &[Arc<str>]) -> anyhow::Result<u64> {
        if !self.plan.scenario.transactions {
            return self.run_steps(action, values).await;
        }
        self.client.batch_execute("BEGIN").await?;
        let outcome = self.run_steps(action, values).await;
        let end = if outcome.is_ok() {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        self.client.batch_execute(end).await?;
        outcome
    }

    async fn run_steps(&self, action: usize, values: &[Arc<str>]) -> anyhow::Result<u64> {
        let mut statements = 0;
        let mut results: Vec<Kept> = Vec::new();
        for (number, step) in self.plan.actions[action].iter().enumerate() {
            let place = (action, number);
            let mut kept = Kept::new();
            let rows = step.over.map(|over| &results[over]);
            let repetitions = rows.map_or(1, Vec::len);
            for repetition in 0..repetitions {
                let row = rows.map(|rows| rows[repetition].as_slice());
                let Some(params) = parameters(step, values, row) else {
                    continue;
                };
                statements += 1;
                kept.extend(self.ask(place, step, &params).await?);
            }
            results.push(kept);
        }
        Ok(statements)
    }

    async fn ask(
        &self,
        (action, number): (usize, usize),
        step: &PlannedStep,
        params: &[&str],
    ) -> anyhow::Result<Kept> {
        if self.plan.scenario.protocol == Protocol::Simple {
            let messages = self.client.simple_query(&inline(&step.sql, params)).await?;
            return Ok(keep_of_messages(&messages, &step.keep));
        }
        let params: Vec<Text> = params.iter().map(|text| Text((*text).to_owned())).collect();
        let rows = match self.prepared.get(action) {
            Some(statements) => {
                let params: Vec<_> = params
                    .iter()
                    .map(|text| text as &(dyn ToSql + Sync))
                    .collect();
                self.client.query(&statements[number], &params).await?
            }
            None => {
                // The server shall find the types out, as it does for drivers that send texts.
                let params: Vec<_> = params
                    .iter()
                    .map(|text| (text as &(dyn ToSql + Sync), Type::UNKNOWN))
                    .collect();
                self.client.query_typed(&step.sql, &params).await?
            }
        };
        keep_of_rows(&rows, &step.keep)
    }
}

/// A step's parameters; nothing when one is NULL, for there is nothing to look up then.
fn parameters<'a>(
    step: &PlannedStep,
    values: &'a [Arc<str>],
    row: Option<&'a [Option<String>]>,
) -> Option<Vec<&'a str>> {
    let params = step.params.iter().map(|source| match source {
        Source::Column(column) => row?.get(*column)?.as_deref(),
        Source::Value(value) => values.get(*value).map(AsRef::as_ref),
    });
    params.collect()
}

fn keep_of_rows(rows: &[Row], keep: &[String]) -> anyhow::Result<Kept> {
    if keep.is_empty() {
        return Ok(Kept::new());
    }
    let mut kept = Kept::with_capacity(rows.len());
    for row in rows {
        let mut columns = Vec::with_capacity(keep.len());
        for name in keep {
            columns.push(row.try_get(name.as_str())?);
        }
        kept.push(columns);
    }
    Ok(kept)
}

fn keep_of_messages(messages: &[SimpleQueryMessage], keep: &[String]) -> Kept {
    if keep.is_empty() {
        return Kept::new();
    }
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        // The library's enum may grow.
        _ => None,
    });
    let column = |row: &tokio_postgres::SimpleQueryRow, name: &String| {
        row.try_get(name.as_str()).ok().flatten().map(str::to_owned)
    };
    rows.map(|row| keep.iter().map(|name| column(row, name)).collect())
        .collect()
}
