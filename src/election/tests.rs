//! Elections in virtual time: replicas whose calls fail, hang, and arrive late.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use kube::core::Status;
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::advance;

use super::*;
use crate::server::Readiness;

/// The Lease as an API server keeps it.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Option<Lease>>>);

impl Server {
    fn refusal(code: u16) -> kube::Error {
        kube::Error::Api(Status { code, ..Status::default() }.boxed())
    }

    fn read(&self) -> Option<Lease> {
        self.0.lock().unwrap().clone()
    }

    fn write(&self, lease: &Lease) -> kube::Result<Lease> {
        let mut stored = self.0.lock().unwrap();
        let version = stored.as_ref().and_then(ResourceExt::resource_version);
        if lease.resource_version() != version {
            return Err(Self::refusal(409));
        }
        let mut lease = lease.clone();
        let next = version.map_or(1, |version| version.parse::<u64>().unwrap() + 1);
        lease.metadata.resource_version = Some(next.to_string());
        *stored = Some(lease.clone());
        Ok(lease)
    }

    fn holder(&self) -> String {
        self.read().as_ref().map(|lease| holder(lease).to_owned()).unwrap_or_default()
    }

    fn steal(&self, by: &str) {
        let mut lease = self.read().unwrap();
        lease.spec.as_mut().unwrap().holder_identity = Some(by.to_owned());
        self.write(&lease).unwrap();
    }
}

/// State of the network between a replica and the server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Network {
    Passes {
        delay_ms: u64,
    },
    Refuses,
    /// Requests arrive, answers do not.
    LosesAnswers,
    /// Nothing arrives before the network passes again; then the server acts on it, whoever still waits.
    Stalls,
}

#[derive(Clone)]
struct Link {
    server: Server,
    network: tokio::sync::watch::Receiver<Network>,
}

impl Link {
    async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Server) -> kube::Result<T> + Send + 'static,
    ) -> kube::Result<T> {
        let (server, mut network) = (self.server.clone(), self.network.clone());
        // A task of its own: a request that was sent arrives, even if its sender gives up.
        let call = tokio::spawn(async move {
            let state = *network.wait_for(|network| *network != Network::Stalls).await.unwrap();
            match state {
                Network::Passes { delay_ms } => {
                    sleep(Duration::from_millis(delay_ms)).await;
                    let answer = act(&server);
                    sleep(Duration::from_millis(delay_ms)).await;
                    answer
                }
                Network::Refuses => Err(Server::refusal(503)),
                Network::LosesAnswers => {
                    let _ = act(&server);
                    std::future::pending().await
                }
                Network::Stalls => unreachable!(),
            }
        });
        call.await.unwrap()
    }
}

impl Ballot for Link {
    async fn read(&self) -> kube::Result<Option<Lease>> {
        self.call(|server| Ok(server.read())).await
    }

    async fn create(&self, lease: &Lease) -> kube::Result<Lease> {
        let lease = lease.clone();
        self.call(move |server| server.write(&lease)).await
    }

    async fn replace(&self, lease: &Lease) -> kube::Result<Lease> {
        let lease = lease.clone();
        self.call(move |server| server.write(&lease)).await
    }
}

struct Replica {
    network: tokio::sync::watch::Sender<Network>,
    election: Arc<Election<Link>>,
    readiness: Readiness,
    gate: Gate,
}

impl Replica {
    fn new(server: &Server, identity: &str) -> Self {
        let (network, receiver) = tokio::sync::watch::channel(Network::Passes { delay_ms: 10 });
        let link = Link { server: server.clone(), network: receiver };
        let readiness = Readiness::default();
        let gate = readiness.gate("lease");
        Self { network, election: Arc::new(Election::new(link, identity.to_owned())), readiness, gate }
    }

    async fn stand(&self) -> Result<(), Hung> {
        self.election.stand(&self.gate).await
    }

    fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    fn is_ready(&self) -> bool {
        self.readiness.closed().is_empty()
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_may_take_over() {
    for network in [Network::Refuses, Network::LosesAnswers, Network::Stalls] {
        let server = Server::default();
        let (leader, standby) = (Replica::new(&server, "a"), Replica::new(&server, "b"));
        leader.stand().await.unwrap();
        let fence = leader.election.fence();
        let (loss, taken) = tokio::join!(
            async {
                sleep(PERIOD * 3).await;
                leader.set(network);
                let begun = Instant::now();
                fence.clone().closed().await;
                assert!(begun.elapsed() <= DEADLINE, "{network:?}: {:?}", begun.elapsed());
                Instant::now()
            },
            async {
                tokio::select! {
                    loss = leader.election.hold() => assert_eq!(loss, Loss::NotRenewed),
                    () = sleep(Duration::from_mins(5)) => panic!("{network:?}: it holds on"),
                }
                standby.stand().await.unwrap();
                Instant::now()
            }
        );
        // Answers that are lost may have renewed the Lease until the end.
        let rest = taken - loss;
        assert!(
            rest >= DURATION.saturating_sub(DEADLINE),
            "{network:?}: only {rest:?} between the two leaders"
        );
        assert!(!fence.is_open());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stolen_or_deleted_lease_is_noticed_at_the_next_renewal() {
    for (identity, deleted) in [("thief", false), ("", true)] {
        let server = Server::default();
        let leader = Replica::new(&server, "a");
        leader.stand().await.unwrap();
        if deleted {
            *server.0.lock().unwrap() = None;
        } else {
            server.steal(identity);
        }
        let begun = Instant::now();
        assert!(matches!(leader.election.hold().await, Loss::Taken(_)));
        assert!(begun.elapsed() < PERIOD * 2, "{:?}", begun.elapsed());
        assert!(!leader.election.fence().is_open());
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_survives_what_is_shorter_than_its_deadline() {
    let server = Server::default();
    let leader = Replica::new(&server, "a");
    leader.stand().await.unwrap();
    let trouble = async {
        for network in [Network::Refuses, Network::LosesAnswers, Network::Stalls] {
            leader.set(network);
            // The last renewal may be a period old when it begins, and an attempt may hang at its end.
            sleep(DEADLINE.saturating_sub(PERIOD + ATTEMPT + Duration::from_secs(1))).await;
            leader.set(Network::Passes { delay_ms: 10 });
            sleep(DEADLINE).await;
        }
    };
    tokio::select! {
        loss = leader.election.hold() => panic!("{loss}"),
        () = trouble => {}
    }
    assert_eq!(server.holder(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_up_is_taken_at_once() {
    let server = Server::default();
    let (leader, standby) = (Replica::new(&server, "a"), Replica::new(&server, "b"));
    leader.stand().await.unwrap();
    let fence = leader.election.fence();
    let (taken, ()) = tokio::join!(
        async {
            standby.stand().await.unwrap();
            Instant::now()
        },
        async {
            sleep(PERIOD).await;
            leader.election.release().await;
            assert!(!fence.is_open());
        }
    );
    assert_eq!(server.holder(), "b");
    assert!(taken.elapsed() < PERIOD * 2);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_cannot_see_the_lease_is_not_ready_and_ends_where_calls_hang() {
    let server = Server::default();
    let (leader, candidate) = (Replica::new(&server, "a"), Replica::new(&server, "b"));
    leader.stand().await.unwrap();
    tokio::spawn({
        let election = leader.election.clone();
        async move { election.hold().await }
    });
    let standing = candidate.stand();
    tokio::pin!(standing);
    let mut pass = async |time| assert!(timeout(time, standing.as_mut()).await.is_err(), "it ended");
    assert!(!candidate.is_ready(), "before the first answer");
    pass(PERIOD).await;
    assert!(candidate.is_ready());
    // An API server that is away for however long is no reason to end.
    candidate.set(Network::Refuses);
    pass(HUNG * 2).await;
    assert!(!candidate.is_ready());
    candidate.set(Network::Passes { delay_ms: 10 });
    pass(PERIOD * 2).await;
    assert!(candidate.is_ready());
    candidate.set(Network::Stalls);
    pass(UNANSWERED + ATTEMPT + PERIOD).await;
    assert!(!candidate.is_ready());
    let begun = Instant::now();
    assert_eq!(standing.await, Err(Hung));
    assert!(begun.elapsed() <= HUNG);
}

#[test]
fn identities_are_unique_and_fit_into_a_header() {
    let identities: std::collections::BTreeSet<String> = (0..100).map(|_| identity()).collect();
    assert_eq!(identities.len(), 100);
    assert!(identities.iter().all(|identity| identity.is_ascii() && identity.len() > 32));
}

/// A replica that stands again whenever it lost, as a new process.
async fn live(
    server: Server,
    number: usize,
    network: tokio::sync::watch::Receiver<Network>,
    leaders: Arc<Mutex<Vec<Fence>>>,
) {
    for life in 0.. {
        let link = Link { server: server.clone(), network: network.clone() };
        let election = Election::new(link, format!("{number}-{life}"));
        leaders.lock().unwrap()[number] = election.fence();
        if election.stand(&Readiness::default().gate("lease")).await.is_ok() {
            election.hold().await;
        }
    }
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![
        4 => (0..3000_u64).prop_map(|delay_ms| Network::Passes { delay_ms }),
        1 => Just(Network::Refuses),
        1 => Just(Network::LosesAnswers),
        1 => Just(Network::Stalls),
    ]
}

proptest! {
    /// Whatever the network does to each of three replicas, at no time do two of them lead.
    #[test]
    fn never_do_two_lead(changes in prop::collection::vec((0..3_usize, network(), 0..20_000_u64), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let server = Server::default();
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..3).map(|_| tokio::sync::watch::channel(Network::Passes { delay_ms: 10 })).unzip();
            let closed = Tenure::none().fence();
            let leaders = Arc::new(Mutex::new(vec![closed; 3]));
            let mut replicas = JoinSet::new();
            for (number, network) in receivers.into_iter().enumerate() {
                replicas.spawn(live(server.clone(), number, network, leaders.clone()));
            }
            let open = || leaders.lock().unwrap().iter().filter(|fence| fence.is_open()).count();
            for (replica, network, after_ms) in changes {
                senders[replica].send_replace(network);
                for _ in 0..after_ms / 100 {
                    advance(Duration::from_millis(100)).await;
                    tokio::task::yield_now().await;
                    assert!(open() <= 1, "two replicas lead");
                }
            }
            // Nothing that happened before keeps anybody from leading afterwards.
            for sender in &senders {
                sender.send_replace(Network::Passes { delay_ms: 10 });
            }
            let mut leads = 0;
            for _ in 0..400 {
                sleep(Duration::from_millis(100)).await;
                assert!(open() <= 1, "two replicas lead");
                leads += open();
            }
            assert!(leads > 0, "nobody leads");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_won_has_a_closed_fence() {
    let replica = Replica::new(&Server::default(), "a");
    assert!(!replica.election.fence().is_open());
    assert!(replica.election.fence().closed().now_or_never().is_some());
}
