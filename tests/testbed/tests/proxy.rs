//! The proxy passes everything until it is told to fail, fails as told, and passes again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use testbed::{Answer, ControlPlane, Network, Options, Proxy, Request};
use tokio::time::timeout;

/// Longer than any answer takes on a busy machine; only a failing test takes so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// A request that has no answer for so long is held; the statement is about this very time.
const SILENCE: Duration = Duration::from_millis(500);

struct Bench {
    // Dropped before the control plane it leads to.
    proxy: Proxy,
    _control_plane: ControlPlane,
    config: kube::Config,
}

impl Bench {
    async fn start() -> Self {
        let options = Options { controllers: false, ..Options::default() };
        let control_plane = ControlPlane::start(options).await.unwrap();
        let kubeconfig = control_plane.service_account_kubeconfig("default", "proxied").await.unwrap();
        let binding = ["create", "clusterrolebinding", "proxied", "--clusterrole=cluster-admin"];
        let account = ["--serviceaccount=default:proxied"];
        control_plane.kubectl().must(binding.into_iter().chain(account)).await.unwrap();
        let proxy = Proxy::start(&kubeconfig).await.unwrap();
        let config = config(proxy.kubeconfig()).await;
        Self { proxy, _control_plane: control_plane, config }
    }

    /// API of a new client, which has no connection yet.
    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(Client::try_from(self.config.clone()).unwrap(), "default")
    }

    async fn create(&self, name: &str) -> kube::Result<ConfigMap> {
        create(&self.maps(), name).await
    }
}

async fn config(kubeconfig: &Path) -> kube::Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    config
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> kube::Result<ConfigMap> {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    timeout(PATIENCE, maps.create(&PostParams::default(), &map)).await.expect("it is answered")
}

/// The name that a watch tells of next.
async fn next_name(events: &mut (impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin)) -> String {
    loop {
        let event = timeout(PATIENCE, events.next()).await.expect("there is an event").expect("it goes on");
        if let WatchEvent::Added(map) = event.unwrap() {
            return map.name_any();
        }
    }
}

/// A watch ends or breaks: the client takes a connection that breaks for the end of the watch.
async fn assert_ends(mut events: impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin) {
    let ends = async { while events.next().await.is_some_and(|event| event.is_ok()) {} };
    timeout(PATIENCE, ends).await.expect("the watch ends");
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        error => panic!("this is no answer: {error:?}"),
    }
}

#[tokio::test]
async fn it_passes_requests_and_watches_and_the_network_fails_as_told() {
    let bench = Bench::start().await;
    let maps = bench.maps();
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    create(&maps, "passed").await.unwrap();
    while next_name(&mut events).await != "passed" {}

    // Black: neither the watch nor a request hears anything, and both go on afterwards.
    bench.proxy.set(Network::Stall);
    let (old, new) = (maps.clone(), bench.maps());
    let held = [
        tokio::spawn(async move { create(&old, "old").await }),
        tokio::spawn(async move { create(&new, "new").await }),
    ];
    assert!(timeout(SILENCE, events.next()).await.is_err(), "nothing is heard while the network stalls");
    assert!(held.iter().all(|request| !request.is_finished()));
    bench.proxy.set(Network::Pass);
    for request in held {
        request.await.unwrap().unwrap();
    }
    let mut names = [next_name(&mut events).await, next_name(&mut events).await];
    names.sort();
    assert_eq!(names, ["new", "old"]);

    // Cut: what is open breaks, what is new works.
    bench.proxy.cut();
    assert_ends(events).await;
    create(&bench.maps(), "after-cut").await.unwrap();

    // Refused, and back on the same port.
    let events = bench.maps().watch(&WatchParams::default(), "0").await.unwrap().boxed();
    bench.proxy.set(Network::Refuse);
    assert_ends(events).await;
    let refused = bench.create("refused").await.unwrap_err();
    assert!(!matches!(refused, kube::Error::Api(_)), "{refused:?}");
    bench.proxy.set(Network::Pass);
    let back = async { while bench.create("back").await.is_err() {} };
    timeout(PATIENCE, back).await.unwrap();
}

#[tokio::test]
async fn single_requests_fail_as_told() {
    let bench = Bench::start().await;
    let exists = async |name: &str| bench.maps().get_opt(name).await.unwrap().is_some();

    // Answers of its own, for as many requests as are named.
    for (answer, expected) in [
        (Answer::Status(409), 409),
        (Answer::TooManyRequests(1), 429),
        (Answer::Status(500), 500),
        (Answer::Status(504), 504),
    ] {
        let fault = bench.proxy.inject_times(1, answer, Request::is_write);
        assert!(!exists("injected").await, "reads are left alone");
        assert_eq!(code(&bench.create("injected").await.unwrap_err()), expected);
        assert_eq!(fault.hits(), 1);
    }
    bench.create("injected").await.unwrap();

    // Connections that break before or after it is done.
    for (answer, done) in [(Answer::Cut, false), (Answer::Lose, true)] {
        let name = format!("{answer:?}").to_lowercase();
        let _fault = bench.proxy.inject_times(1, answer, Request::is_write);
        let error = bench.create(&name).await.unwrap_err();
        assert!(!matches!(error, kube::Error::Api(_)), "{error:?}");
        assert_eq!(exists(&name).await, done, "{answer:?}");
    }

    // Held: the others go on, and it does, too, when it is released, or breaks.
    for released in [true, false] {
        let name = format!("held-{released}");
        let of = name.clone();
        let fault = bench.proxy.inject(Answer::Stall, move |request| {
            request.method == "POST" && request.resource() == "configmaps"
        });
        let maps = bench.maps();
        let held = tokio::spawn(async move { create(&maps, &of).await });
        timeout(PATIENCE, fault.hit(1)).await.unwrap();
        assert!(!exists(&name).await);
        assert!(!held.is_finished());
        if released {
            fault.release();
        }
        drop(fault);
        assert_eq!(held.await.unwrap().is_ok(), released);
        assert_eq!(exists(&name).await, released);
    }

    // Counting keeps nothing from passing, nor other faults from applying.
    let count = bench.proxy.inject(Answer::Pass, Request::is_write);
    let _fault = bench.proxy.inject_times(1, Answer::Status(500), Request::is_write);
    assert_eq!(code(&bench.create("counted").await.unwrap_err()), 500);
    bench.create("counted").await.unwrap();
    assert_eq!(count.hits(), 2);

    // Watches end in the middle, and no other request does.
    let maps = bench.maps();
    let events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    bench.proxy.drop_watches();
    assert_ends(events).await;
    assert!(exists("counted").await);
    // The next watch is another.
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    next_name(&mut events).await;
}

#[tokio::test]
async fn certificates_cannot_be_passed_on() {
    let control_plane =
        ControlPlane::start(Options { controllers: false, ..Options::default() }).await.unwrap();
    let error = Proxy::start(control_plane.kubeconfig()).await.err().unwrap();
    assert!(error.to_string().contains("takes a kubeconfig with a token"), "{error}");
}
