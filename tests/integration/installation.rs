//! A control plane with the operator installed and running, as a person would install it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use multigres_crds::schema;
use testbed::evidence::Evidence;
use testbed::{ControlPlane, Kubectl, Options, ProcessEnded, ProcessGroup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

/// Namespace of the operator.
pub const NAMESPACE: &str = "multigres-system";
/// As whom the operator writes.
pub const OPERATOR: &str = "system:serviceaccount:multigres-system:multigres-operator";

/// Longest time that anything is waited for; only a failing test takes so long.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A port that was free when asked for may be taken before the operator listens on it.
const START_ATTEMPTS: usize = 5;

/// Logs for the check of a whole run (`tests/conduct.rs`).
static EVIDENCE: LazyLock<Evidence> = LazyLock::new(|| {
    let root = concat!(env!("CARGO_TARGET_TMPDIR"), "/evidence");
    Evidence::of(Path::new(root), env!("CARGO_CRATE_NAME")).unwrap()
});

/// The binary under test.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_multigres-operator"))
}

/// A control plane with the operator installed.
pub struct Installation {
    pub control_plane: ControlPlane,
    pub ports: Ports,
    kubeconfig: PathBuf,
    log: PathBuf,
    operator: std::sync::Mutex<Option<ProcessGroup>>,
}

/// Ports of the operator.
#[derive(Clone, Copy)]
pub struct Ports {
    pub admission: u16,
    pub ops: u16,
}

impl Ports {
    /// Ports nobody listens on at the moment.
    pub fn free() -> Result<Self> {
        let port = || anyhow::Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        Ok(Self { admission: port()?, ops: port()? })
    }
}

impl Installation {
    /// One that all tests share which leave it as it is outside their own namespace.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Installation> = OnceCell::const_new();
        let options = || Options { fake_nodes: 3, ..Options::default() };
        SHARED.get_or_init(|| async { Self::start(options()).await.expect("the operator starts") }).await
    }

    /// Starts a control plane of its own and the operator in front of it.
    pub async fn start(options: Options) -> Result<Self> {
        let audit_log = Some(EVIDENCE.log("audit"));
        let options = Options { crds: schema::crds(), audit_log, ..options };
        let control_plane = ControlPlane::start(options).await?;
        let kubeconfig = control_plane.service_account_kubeconfig(NAMESPACE, "multigres-operator").await?;
        let (ports, operator) = (Ports::free()?, std::sync::Mutex::new(None));
        let log = EVIDENCE.log("operator");
        let mut installation = Self { control_plane, ports, kubeconfig, log, operator };
        for _ in 1..START_ATTEMPTS {
            match installation.install().await {
                Err(error) if port_was_taken(&error) => installation.ports = Ports::free()?,
                result => return result.map(|()| installation),
            }
        }
        installation.install().await.map(|()| installation)
    }

    async fn install(&self) -> Result<()> {
        self.control_plane.kubectl().must_with_stdin(["apply", "-f", "-"], &self.manifests()).await?;
        self.start_operator().await
    }

    /// The manifests that it was made from.
    pub fn manifests(&self) -> String {
        manifests(self.ports)
    }

    /// Starts the operator and waits until it is ready.
    pub async fn start_operator(&self) -> Result<()> {
        self.start_operator_with(&self.kubeconfig).await
    }

    /// The same with another kubeconfig, for example one that leads through a proxy.
    pub async fn start_operator_with(&self, kubeconfig: &Path) -> Result<()> {
        let (group, started) = self.start_replica(self.ports, kubeconfig, self.log()).await?;
        *self.operator.lock().unwrap() = Some(group);
        started
    }

    /// Starts a replica of the operator and waits until it is ready. The API server asks only the one that listens on the
    /// installation's own ports.
    pub async fn start_replica(
        &self,
        ports: Ports,
        kubeconfig: &Path,
        log: PathBuf,
    ) -> Result<(ProcessGroup, Result<()>)> {
        let mut command = binary();
        command
            .arg("run")
            .args(["--webhook-address", &format!("127.0.0.1:{}", ports.admission)])
            .args(["--ops-address", &format!("127.0.0.1:{}", ports.ops)])
            .args([
                "--topology",
                "absent",
                "--webhook-name",
                "127.0.0.1",
                "--namespace",
                NAMESPACE,
                "--drain",
                "0s",
            ])
            .env("KUBECONFIG", kubeconfig)
            .env("NO_COLOR", "1");
        let mut group = ProcessGroup::new(None)?;
        group.spawn("multigres-operator", command, log.clone())?;
        let ready = eventually("the operator is ready", || async {
            get(ports.ops, "/readyz")
                .await
                .ok()
                .filter(|response| response.starts_with("HTTP/1.1 200"))
                .map(|_| ())
        });
        let started = tokio::select! {
            ready = ready => ready.with_context(|| std::fs::read_to_string(log).unwrap_or_default()),
            ended = group.first_end() => Err(ended),
        };
        Ok((group, started))
    }

    /// Asks the operator to end, as the kubelet would, and waits until it has.
    pub async fn end_operator(&self) -> Result<()> {
        let pid = self.operator_pid().context("it does not run")?;
        let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status()?;
        anyhow::ensure!(asked.success(), "no process {pid}");
        until_ended(pid).await?;
        self.stop_operator();
        Ok(())
    }

    /// Ends the operator at once.
    pub fn stop_operator(&self) {
        self.operator.lock().unwrap().take();
    }

    /// The process id of the operator, while it runs.
    pub fn operator_pid(&self) -> Option<u32> {
        self.operator.lock().unwrap().as_ref().map(|group| group.pids()[0])
    }

    /// The operator's log.
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }

    /// The kubeconfig of the operator itself.
    pub fn operator_kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A namespace that no other test uses.
    pub async fn namespace(&self, purpose: &str) -> Namespace<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{purpose}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.control_plane.kubectl().must(["create", "namespace", &name]).await.unwrap();
        Namespace { installation: self, name }
    }
}

/// Waits until a process has ended. A member of a group is reaped by its group; until then it is there as a zombie.
pub async fn until_ended(pid: u32) -> Result<()> {
    let ended = || async {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    };
    eventually("the operator ended", ended).await
}

/// A namespace of a test's own.
pub struct Namespace<'a> {
    pub installation: &'a Installation,
    pub name: String,
}

impl Namespace<'_> {
    pub fn client(&self) -> Client {
        self.installation.control_plane.client()
    }

    pub fn kubectl(&self) -> Kubectl {
        self.installation.control_plane.kubectl()
    }

    /// kubectl in this namespace, which must succeed.
    pub async fn must(&self, args: &[&str]) -> String {
        let args = ["-n", &self.name].into_iter().chain(args.iter().copied());
        self.kubectl().must(args).await.unwrap()
    }

    /// `kubectl apply` of a manifest in this namespace, whatever namespace it names; returns what kubectl says.
    pub async fn apply(&self, manifest: &str) -> std::result::Result<String, String> {
        self.with_input(&["apply", "-f", "-"], manifest).await
    }

    /// kubectl with input in this namespace.
    pub async fn with_input(&self, args: &[&str], input: &str) -> std::result::Result<String, String> {
        let args = ["-n", &self.name].into_iter().chain(args.iter().copied());
        let output = self.kubectl().run_with_stdin(args, input).await.unwrap();
        if output.status.success() { Ok(output.stdout + &output.stderr) } else { Err(output.stderr) }
    }

    /// One object as JSON, or nothing.
    pub async fn get(&self, kind: &str, name: &str) -> Option<serde_json::Value> {
        let args = ["-n", &self.name, "get", kind, name, "-o", "json", "--ignore-not-found"];
        let text = self.kubectl().must(args).await.unwrap();
        serde_json::from_str(&text).ok()
    }

    /// Waits until an object is as it should be, and returns it.
    pub async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        holds: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        eventually(&format!("{kind} {name}: {what}"), || async {
            self.get(kind, name).await.filter(|object| holds(object))
        })
        .await
        .unwrap()
    }
}

/// Tries until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, attempt: impl Fn() -> F) -> Result<T> {
    let tries = async {
        loop {
            if let Some(answer) = attempt().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.with_context(|| format!("waited in vain: {what}"))
}

/// A plain HTTP GET on loopback.
pub async fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

fn manifests(ports: Ports) -> String {
    let url = format!("https://127.0.0.1:{}", ports.admission);
    let output = binary().args(["manifests", "--webhook-url", &url]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn port_was_taken(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ProcessEnded>().is_some_and(ProcessEnded::port_was_taken)
}
