//! The order in which leadership and its work end, in virtual time, and with a real engine whose watch dies.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::*;
use crate::server::Readiness;

/// A Lease that nobody contends for, and a journal of what happened in which order.
#[derive(Clone, Default)]
struct World {
    lease: Arc<Mutex<Option<Lease>>>,
    journal: Arc<Mutex<Vec<&'static str>>>,
}

impl World {
    fn note(&self, what: &'static str) {
        self.journal.lock().unwrap().push(what);
    }

    fn journal(&self) -> Vec<&'static str> {
        self.journal.lock().unwrap().clone()
    }

    fn holder(&self) -> Option<String> {
        self.lease.lock().unwrap().clone()?.spec?.holder_identity
    }

    fn set_holder(&self, holder: &str) {
        self.lease.lock().unwrap().as_mut().unwrap().spec.as_mut().unwrap().holder_identity =
            Some(holder.to_owned());
    }
}

impl Ballot for World {
    async fn read(&self) -> kube::Result<Option<Lease>> {
        Ok(self.lease.lock().unwrap().clone())
    }

    async fn create(&self, lease: &Lease) -> kube::Result<Lease> {
        self.replace(lease).await
    }

    async fn replace(&self, lease: &Lease) -> kube::Result<Lease> {
        *self.lease.lock().unwrap() = Some(lease.clone());
        if self.holder().is_none() {
            self.note("released");
        }
        Ok(lease.clone())
    }
}

/// Notes that it was dropped, as a task is that ends or is aborted.
struct Ends(World);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.note("work ended");
    }
}

/// Work that takes some time to finish once it is asked to.
fn team(world: &World, finishing: Duration) -> Team {
    let world = world.clone();
    let part = move |elected: CancellationToken, finish: CancellationToken| async move {
        let ends = Ends(world);
        tokio::select! {
            () = elected.cancelled() => {}
            () = finish.cancelled() => return Ok(()),
        }
        finish.cancelled().await;
        sleep(finishing).await;
        ends.0.note("finished");
        Ok(())
    };
    Team::start([part])
}

struct Run {
    world: World,
    readiness: Readiness,
    shutdown: CancellationToken,
    end: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Run {
    async fn start(world: &World, team: Team) -> Self {
        let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
        let election = Election::new(world.clone(), "me".to_owned());
        let end = tokio::spawn(lead(election, team, readiness.gate("lease"), shutdown.clone()));
        sleep(Duration::from_secs(1)).await;
        Self { world: world.clone(), readiness, shutdown, end }
    }
}

#[tokio::test(start_paused = true)]
async fn at_a_shutdown_the_lease_is_renewed_until_the_work_has_finished_and_given_up_after() {
    let world = World::default();
    let run = Run::start(&world, team(&world, FINISH * 9 / 10)).await;
    assert_eq!(run.world.holder().as_deref(), Some("me"));
    let before = world.lease.lock().unwrap().clone();
    run.shutdown.cancel();
    sleep(FINISH / 2).await;
    assert_eq!(world.holder().as_deref(), Some("me"));
    assert_ne!(world.lease.lock().unwrap().clone(), before, "it is not renewed");
    run.end.await.unwrap().unwrap();
    assert_eq!(world.journal(), ["finished", "work ended", "released"]);
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_work_that_does_not_finish_is_not_given_up() {
    let world = World::default();
    let run = Run::start(&world, team(&world, FINISH * 2)).await;
    let begun = Instant::now();
    run.shutdown.cancel();
    let error = run.end.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("did not finish"), "{error:#}");
    assert!(begun.elapsed() <= FINISH + ABORT);
    assert_eq!(world.journal(), ["work ended"]);
    assert_eq!(world.holder().as_deref(), Some("me"));
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_ends_the_work_at_once_also_while_it_finishes() {
    for shuts_down in [false, true] {
        let world = World::default();
        let run = Run::start(&world, team(&world, FINISH)).await;
        if shuts_down {
            run.shutdown.cancel();
        }
        world.set_holder("thief");
        let begun = Instant::now();
        let error = run.end.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("thief"), "{error:#}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(world.journal(), ["work ended"]);
        assert_eq!(run.readiness.closed(), ["lease"]);
    }
}

/// A candidate that is asked to end does not wait to be elected first.
#[tokio::test(start_paused = true)]
async fn a_candidate_ends_when_it_is_asked_to() {
    let world = World::default();
    let leader = Run::start(&world, team(&world, Duration::ZERO)).await;
    world.set_holder("another");
    leader.end.await.unwrap().unwrap_err();
    let candidate = Run::start(&world, team(&world, Duration::ZERO)).await;
    assert!(candidate.readiness.closed().is_empty());
    candidate.shutdown.cancel();
    candidate.end.await.unwrap().unwrap();
    assert_eq!(world.holder().as_deref(), Some("another"));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_panics_ends_a_candidate_and_a_leader() {
    for leads in [false, true] {
        let (world, cue) = (World::default(), Arc::new(Notify::new()));
        let run = Run::start(&world, team(&world, Duration::ZERO)).await;
        if leads {
            run.shutdown.cancel();
            run.end.await.unwrap().unwrap();
        } else {
            world.set_holder("another");
            run.end.await.unwrap().unwrap_err();
        }
        let part = |_: CancellationToken, _: CancellationToken| {
            let cue = cue.clone();
            async move {
                cue.notified().await;
                panic!("as a watch might")
            }
        };
        let run = Run::start(&world, Team::start([part])).await;
        assert_eq!(world.holder().as_deref() == Some("me"), leads);
        assert!(run.readiness.closed().is_empty());
        cue.notify_one();
        let error = run.end.await.unwrap().unwrap_err();
        assert!(format!("{error:#}").contains("panicked"), "{error:#}");
        assert_eq!(run.readiness.closed(), ["lease"]);
        assert!(!world.journal().ends_with(&["released"]) || leads, "{:?}", world.journal());
    }
}
