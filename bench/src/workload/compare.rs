//! Asks two servers the same and compares the answers byte for byte.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::drive::Outcome;
use super::keys::{Keys, Question};
use super::queries::QUERIES;
use super::wire::{Answer, inline};
use crate::sandbox::connect;

/// Connections to each server that compare at the same time.
const CONNECTIONS: usize = 8;

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Distinct pairs of a query and its parameter.
    pub questions: u64,
    /// Answers of the second server that were compared: in both protocols, each twice, so that the
    /// second comes from the cache if anything does.
    pub answers: u64,
    /// Queries whose answers differed, with their parameter.
    pub differences: Vec<String>,
}

/// Compares the answers of two servers to every question asked in `outcomes`.
///
/// Nobody may write meanwhile.
///
/// # Errors
/// When a connection or a statement fails.
pub async fn compare(
    one: &str,
    other: &str,
    keys: &Arc<Keys>,
    outcomes: &[&Outcome],
) -> anyhow::Result<Comparison> {
    let questions: HashSet<Question> = outcomes
        .iter()
        .flat_map(|outcome| outcome.asked.iter().copied())
        .collect();
    let questions: Vec<Question> = questions.into_iter().collect();
    let mut running = JoinSet::new();
    for share in questions.chunks(questions.len().div_ceil(CONNECTIONS).max(1)) {
        let pair = Pair {
            one: Asker::open(one).await?,
            other: Asker::open(other).await?,
        };
        let (keys, share) = (Arc::clone(keys), share.to_vec());
        running.spawn(async move { pair.compare(&keys, &share).await });
    }
    let mut total = Comparison::default();
    while let Some(part) = running.join_next().await {
        let part = part.context("a comparison panicked")??;
        total.questions += part.questions;
        total.answers += part.answers;
        total.differences.extend(part.differences);
    }
    Ok(total)
}

/// The same client on both servers.
struct Pair {
    one: Asker,
    other: Asker,
}

impl Pair {
    async fn compare(&self, keys: &Keys, questions: &[Question]) -> anyhow::Result<Comparison> {
        let mut comparison = Comparison::default();
        for question in questions {
            comparison.questions += 1;
            for protocol in [Protocol::Extended, Protocol::Simple] {
                let expected = self.one.ask(keys, *question, protocol).await?;
                for _ in 0..2 {
                    comparison.answers += 1;
                    if self.other.ask(keys, *question, protocol).await? != expected {
                        let (query, argument) = keys.resolve(*question);
                        let argument = argument.map_or("", |text| text.0.as_str());
                        let difference = format!("{} {argument} ({protocol:?})", query.name);
                        comparison.differences.push(difference);
                    }
                }
            }
        }
        Ok(comparison)
    }
}

/// How a question is put (PostgreSQL, 55.2 "Message Flow").
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Extended,
    Simple,
}

struct Asker {
    client: Client,
    statements: Vec<Statement>,
}

impl Asker {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let client = connect(url)
            .await
            .with_context(|| format!("cannot connect to {url}"))?;
        let mut statements = Vec::new();
        for query in &QUERIES {
            statements.push(client.prepare(query.sql).await.context(query.name)?);
        }
        Ok(Self { client, statements })
    }

    async fn ask(
        &self,
        keys: &Keys,
        question: Question,
        protocol: Protocol,
    ) -> anyhow::Result<Answer> {
        let (query, argument) = keys.resolve(question);
        match protocol {
            Protocol::Extended => {
                let argument = argument.map(|text| text as &(dyn ToSql + Sync));
                let statement = &self.statements[question.query];
                Answer::of_rows(&self.client.query(statement, argument.as_slice()).await?)
            }
            Protocol::Simple => {
                let argument = argument.map(|text| text.0.as_str());
                let sql = inline(query.sql, argument.as_slice());
                Ok(Answer::of_messages(&self.client.simple_query(&sql).await?))
            }
        }
    }
}
