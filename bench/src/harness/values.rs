//! Parameters: drawn once for an action, so that its statements speak of the same lead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use rand::Rng;
use tokio_postgres::Client;

use super::scenario::{Draw, Scenario, Values};
use crate::workload::Zipf;

/// What the parameters of a scenario are drawn from, in the order of their names.
#[derive(Debug)]
pub(super) struct Pools(Vec<Pool>);

#[derive(Debug)]
enum Pool {
    Between(i64, i64),
    Texts(Vec<Arc<str>>, Option<Zipf>),
    /// A pattern, and how often it was drawn.
    Unique(String, AtomicU64),
}

impl Pools {
    /// Reads the values that are in the database.
    pub(super) async fn load(scenario: &Scenario, client: &Client) -> anyhow::Result<Self> {
        let mut pools = Vec::new();
        for (name, values) in &scenario.values {
            let pool = Pool::load(values, client).await;
            pools.push(pool.with_context(|| format!("values {name:?}"))?);
        }
        Ok(Self(pools))
    }

    /// One value for each name.
    pub(super) fn draw(&self, random: &mut impl Rng) -> Vec<Arc<str>> {
        self.0.iter().map(|pool| pool.draw(random)).collect()
    }
}

impl Pool {
    async fn load(values: &Values, client: &Client) -> anyhow::Result<Self> {
        Ok(match values {
            Values::Sql { sql, draw } => {
                let mut texts = Vec::new();
                for row in client.query(sql, &[]).await? {
                    texts.push(Arc::from(row.try_get::<_, &str>(0)?));
                }
                ensure!(!texts.is_empty(), "no rows: {sql}");
                let zipf = (*draw == Draw::Zipf).then(|| Zipf::new(texts.len()));
                Self::Texts(texts, zipf)
            }
            Values::OneOf { one_of } => {
                ensure!(!one_of.is_empty(), "nothing to choose from");
                Self::Texts(
                    one_of.iter().map(|text| Arc::from(text.as_str())).collect(),
                    None,
                )
            }
            Values::Between {
                between: [low, high],
            } => {
                ensure!(low <= high, "{low} is above {high}");
                Self::Between(*low, *high)
            }
            Values::Unique { unique } => {
                // Another run must not draw the same.
                let run = std::process::id();
                let pattern = unique.replace("{}", &format!("{run}-{{}}"));
                Self::Unique(pattern, AtomicU64::new(0))
            }
        })
    }

    fn draw(&self, random: &mut impl Rng) -> Arc<str> {
        match self {
            Self::Between(low, high) => random.random_range(*low..=*high).to_string().into(),
            Self::Texts(texts, Some(zipf)) => Arc::clone(&texts[zipf.draw(random)]),
            Self::Texts(texts, None) => Arc::clone(&texts[random.random_range(0..texts.len())]),
            Self::Unique(pattern, drawn) => {
                let number = drawn.fetch_add(1, Ordering::Relaxed);
                pattern.replace("{}", &number.to_string()).into()
            }
        }
    }
}
