//! pgbench: TPC-B and plain reads, by each protocol, on connections of its own.

use std::process::Command;

use super::{run, told};
use crate::support::Stage;

/// What TPC-B keeps equal, whatever is interrupted: all that was added to one table was added to the others.
const INVARIANT: &str = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), \
    (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches), \
    (SELECT coalesce(sum(delta), 0) FROM pgbench_history)";

fn pgbench(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(stage.postgres.program("pgbench"));
    command.args(arguments).arg(stage.proxy.url());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_transaction_fails_and_no_balance_is_lost() {
    let stage = Stage::new().await;
    let output = run(pgbench(&stage, &["--initialize", "--quiet", "--scale=1"])).await;
    assert!(output.status.success(), "{}", told(&output));
    for protocol in ["simple", "extended", "prepared"] {
        let protocol = format!("--protocol={protocol}");
        let loads: [&[&str]; 4] = [
            &["--client=4", "--transactions=100"],
            // The same accounts twice: the second time they come from the cache.
            &[
                "--client=4",
                "--transactions=100",
                "--select-only",
                "--random-seed=7",
            ],
            &[
                "--client=4",
                "--transactions=100",
                "--select-only",
                "--random-seed=7",
            ],
            // Both at once, each transaction on a new connection.
            &[
                "--client=3",
                "--transactions=30",
                "--connect",
                "--builtin=tpcb-like@1",
                "--builtin=select-only@3",
            ],
        ];
        for load in loads {
            let arguments: Vec<&str> =
                [&[protocol.as_str(), "--no-vacuum", "--jobs=1"], load].concat();
            let output = run(pgbench(&stage, &arguments)).await;
            let told = told(&output);
            assert!(output.status.success(), "{arguments:?}: {told}");
            assert!(
                told.contains("number of failed transactions: 0 (0.000%)"),
                "{arguments:?}: {told}"
            );
        }
        assert_balanced(&stage).await;
    }
    let hits = stage.hits().await;
    println!("{hits} hits");
    assert!(hits > 100, "only {hits} hits");
}

/// Through the proxy twice, the second time from the cache, and around it.
async fn assert_balanced(stage: &Stage) {
    let (proxied, direct) = (stage.proxied().await, stage.direct().await);
    let mut seen = Vec::new();
    for client in [&proxied, &proxied, &direct] {
        let row = client.query_one(INVARIANT, &[]).await.expect("a row");
        let sums: [i64; 4] = std::array::from_fn(|column| row.get(column));
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
        seen.push(sums);
    }
    assert!(seen.iter().all(|sums| sums == &seen[0]), "{seen:?}");
}
