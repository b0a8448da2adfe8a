//! `pgkeel-tiers [PGKEEL [COUNT]]`: what a hit from Redis costs, beside PostgreSQL and a bare GET.

use std::path::PathBuf;

use anyhow::Context as _;
use pgkeel_bench::tiers::measure;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = match arguments.next() {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("pgkeel"),
    };
    let count = arguments.next().map_or(Ok(2_000), |count| count.parse());
    print!(
        "{}",
        measure(binary, count.context("COUNT is a number")?).await?
    );
    Ok(())
}
