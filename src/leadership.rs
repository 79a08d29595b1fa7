//! Leadership: candidates wait, the leader reconciles, and a replica that lost leadership writes nothing.
//!
//! The work of a leader ends before its Lease does, in every way in which leadership can end. A loss ends it at once,
//! by the fence around its client ([`crate::client`]) and by the end of its tasks. A shutdown lets it finish what it has
//! begun while the Lease is still renewed, and gives the Lease up only after that.

use std::time::Duration;

use anyhow::bail;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::election::{Ballot, Election};
use crate::server::Gate;

/// Longest time that the work may take to finish at a shutdown. The Lease of whoever takes longer is left to run out.
const FINISH: Duration = Duration::from_secs(20);
/// Longest time that tasks may take to end after they were aborted. Whoever takes longer blocks, and only the end of the
/// process helps: it comes before others take over.
const ABORT: Duration = Duration::from_secs(2);

/// The parts of the operator that a leader runs, and a candidate keeps prepared. None of them ends by itself.
pub struct Team {
    parts: JoinSet<anyhow::Result<()>>,
    elected: CancellationToken,
    finish: CancellationToken,
}

impl Team {
    /// Starts the parts. Each is given two tokens: the first is cancelled once this replica leads, the second when the
    /// part should finish what it has begun and end.
    pub fn start<F>(
        parts: impl IntoIterator<Item = impl FnOnce(CancellationToken, CancellationToken) -> F>,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (elected, finish) = (CancellationToken::new(), CancellationToken::new());
        let parts = parts.into_iter().map(|part| part(elected.clone(), finish.clone())).collect();
        Self { parts, elected, finish }
    }

    /// Waits for a part that ends although nobody asked it to. Says why it did.
    async fn breaks(&mut self) -> anyhow::Error {
        match self.parts.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Ok(Ok(()))) => anyhow::anyhow!("a part of the operator ended"),
            Some(Err(error)) => anyhow::Error::new(error).context("a part of the operator panicked"),
            // There is no part that could break.
            None => std::future::pending().await,
        }
    }

    /// Has every part finish what it has begun. Tells if all of them did.
    async fn finish(&mut self) -> bool {
        self.finish.cancel();
        let ends = async { while self.parts.join_next().await.is_some() {} };
        timeout(FINISH, ends).await.is_ok()
    }

    /// Ends every part where it stands.
    async fn abort(mut self) {
        if timeout(ABORT, self.parts.shutdown()).await.is_err() {
            tracing::error!("a part of the operator does not end; the process ends with it");
            std::process::exit(1);
        }
    }
}

/// Waits to lead, and has the team work for as long as it does. Fails when leadership is lost, when a part of the team
/// breaks, or when elections are impossible; then nothing is written any more, and the process is to end.
pub async fn lead<B: Ballot>(
    election: Election<B>,
    mut team: Team,
    gate: Gate,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let stood = tokio::select! {
        // A candidate whose caches are dead must not win.
        biased;
        error = team.breaks() => Err(error),
        () = shutdown.cancelled() => {
            team.abort().await;
            // An attempt that was under way may have won.
            election.release().await;
            return Ok(());
        }
        stood = election.stand(&gate) => stood.map_err(Into::into),
    };
    if let Err(error) = stood {
        gate.close();
        team.abort().await;
        return Err(error);
    }
    team.elected.cancel();
    let mut holding = std::pin::pin!(election.hold());
    let failure = tokio::select! {
        loss = &mut holding => loss.into(),
        error = team.breaks() => error,
        () = shutdown.cancelled() => {
            tokio::select! {
                loss = &mut holding => loss.into(),
                finished = team.finish() => {
                    if finished {
                        election.release().await;
                        return Ok(());
                    }
                    anyhow::anyhow!("the controllers did not finish in {} s; the Lease runs out", FINISH.as_secs())
                }
            }
        }
    };
    gate.close();
    team.abort().await;
    bail!(failure)
}

#[cfg(test)]
mod tests;
