//! From nothing to SQL.

use anyhow::{Context, ensure};

use crate::bench::Bench;
use crate::cluster::Seen;
use crate::episode::Episode;

/// One manifest, applied once, is all it takes; and the status never says that writes are served before they are.
pub async fn one_apply_is_enough(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    cluster.show(&["get", "multigres"]).await?;
    let seen = cluster.until("the database is known to have data", Seen::is_initialized).await?;
    let pod = seen.standby().context("there is a standby")?;
    cluster.psql(&pod, "create table users (id int primary key, name text)").await?;
    cluster.psql(&pod, "insert into users values (1, 'Ada')").await?;
    let users = cluster.psql(&pod, "select * from users").await?;
    ensure!(users.contains("Ada"), "{users}");
    cluster.show(&["get", "secret,pdb,pvc", "-o", "name"]).await?;

    let applied = cluster.manifest.text.clone();
    cluster.change(&[]).await?;
    ensure!(applied == cluster.manifest.text);
    Episode::begin(cluster, "the same applied again").disrupting_none().end(cluster).await
}

/// Over all that was done to them, no cluster said what was not so for longer than the operator takes to look again.
pub async fn the_status_was_true(bench: &mut Bench) -> anyhow::Result<()> {
    let lies = bench.report.lies();
    ensure!(lies.is_empty(), "{}", lies.join("; "));
    Ok(())
}
