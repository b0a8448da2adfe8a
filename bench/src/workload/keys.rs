//! The keys that exist in a database, and how often each is asked for.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use rand::Rng;
use tokio_postgres::Client;

use super::queries::{Argument, QUERIES, Query};
use super::wire::Text;
use super::zipf::Zipf;

/// The values of every kind of parameter, read once from a database.
#[derive(Debug)]
pub struct Keys {
    pools: HashMap<Argument, Pool>,
}

#[derive(Debug)]
struct Pool {
    values: Vec<Text>,
    zipf: Zipf,
}

/// One query with one parameter: positions in the list of queries and among the values.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Question {
    pub(super) query: usize,
    pub(super) value: usize,
}

impl Keys {
    /// Reads the keys.
    ///
    /// # Errors
    /// When the tables are not those of the sample application, or are empty.
    pub async fn load(client: &Client) -> anyhow::Result<Self> {
        let mut pools = HashMap::new();
        for argument in Argument::ALL {
            let sql = argument
                .values()
                .context("every argument but none has values")?;
            let rows = client
                .query(sql, &[])
                .await
                .with_context(|| format!("{argument:?}"))?;
            ensure!(!rows.is_empty(), "no values: {sql}");
            let values: Vec<Text> = rows.iter().map(|row| Text(row.get(0))).collect();
            let zipf = Zipf::new(values.len());
            pools.insert(argument, Pool { values, zipf });
        }
        Ok(Self { pools })
    }

    /// A question as the application would ask it.
    pub(super) fn draw(&self, random: &mut impl Rng) -> Question {
        let total: u32 = QUERIES.iter().map(|query| query.weight).sum();
        let mut point = random.random_range(0..total);
        let chosen = QUERIES.iter().position(|query| {
            let chosen = point < query.weight;
            point = point.saturating_sub(query.weight);
            chosen
        });
        let query = chosen.expect("the point lies below the sum of the weights");
        let pool = self.pools.get(&QUERIES[query].argument);
        Question {
            query,
            value: pool.map_or(0, |pool| pool.zipf.draw(random)),
        }
    }

    /// A question of a given query about a key that only `worker` of `workers` writes.
    pub(super) fn draw_owned(
        &self,
        query: usize,
        (worker, workers): (usize, usize),
        random: &mut impl Rng,
    ) -> Option<Question> {
        let pool = self.pools.get(&QUERIES[query].argument)?;
        let drawn = pool.zipf.draw(random);
        let value = drawn - drawn % workers + worker;
        (value < pool.values.len()).then_some(Question { query, value })
    }

    /// The query and its parameter, if it has one.
    pub(super) fn resolve(&self, question: Question) -> (&'static Query, Option<&Text>) {
        let query = &QUERIES[question.query];
        let values = self.pools.get(&query.argument).map(|pool| &pool.values);
        (query, values.and_then(|values| values.get(question.value)))
    }
}
