//! Containers: what all of them have in common, and what all of Multigres' own have.

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapKeySelector, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction,
    HTTPGetAction, ObjectFieldSelector, Probe, ResourceRequirements, SecretKeySelector, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use multigres_crds::v1alpha1::{self as api, Amounts, TopologyReference};

use super::object::unless_empty;
use super::topology;

/// A container that may do nothing but run.
pub fn container(name: &str, image: &str, resources: &api::ResourceRequirements) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        resources: unless_empty(&requirements(resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// The same for a program that writes to its volumes only.
pub fn with_read_only_root(container: Container) -> Container {
    let context = container.security_context.unwrap_or_default();
    let context = SecurityContext { read_only_root_filesystem: Some(true), ..context };
    Container { security_context: Some(context), ..container }
}

/// One of Multigres' own components.
pub struct Component<'a> {
    /// Name of the program and its container.
    pub name: &'static str,
    /// Image that holds it.
    pub image: &'a str,
    /// CPU and memory.
    pub resources: &'a api::ResourceRequirements,
    /// The global topology.
    pub topology: &'a TopologyReference,
    /// Port of HTTP.
    pub http: i32,
    /// Port of gRPC.
    pub grpc: i32,
    /// Under which name its peers reach it.
    pub hostname: &'a str,
    /// Arguments that no other component has.
    pub args: Vec<String>,
}

impl Component<'_> {
    /// The container.
    pub fn container(self) -> Container {
        let mut args = vec![
            format!("--http-port={}", self.http),
            format!("--grpc-port={}", self.grpc),
            format!("--hostname={}", self.hostname),
        ];
        args.extend(topology::args(self.topology));
        args.extend(self.args);
        Container {
            command: Some(vec![format!("/multigres/bin/{}", self.name)]),
            env: Some(variables(&args)),
            args: Some(args),
            ports: Some(vec![port("http", self.http), port("grpc", self.grpc)]),
            readiness_probe: Some(often(http_get("/ready", self.http))),
            liveness_probe: Some(seldom(http_get("/live", self.http))),
            volume_mounts: unless_empty(&topology::mounts(self.topology)),
            ..container(self.name, self.image, self.resources)
        }
    }
}

/// A port of a container.
pub fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// An environment variable.
pub fn env(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

/// The variables that arguments name: Kubernetes replaces only those that the container declares.
pub fn variables(args: &[String]) -> Vec<EnvVar> {
    const FIELDS: [(&str, &str); 3] = [
        ("POD_NAME", "metadata.name"),
        ("POD_IP", "status.podIP"),
        ("POD_INDEX", "metadata.labels['apps.kubernetes.io/pod-index']"),
    ];
    let named = |name: &str| args.iter().any(|arg| arg.contains(&format!("$({name})")));
    FIELDS.iter().filter(|(name, _)| named(name)).map(|(name, path)| field(name, path)).collect()
}

fn field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { field_path: path.to_owned(), api_version: None };
    from(name, EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() })
}

/// An environment variable with the key of the same name of a Secret.
pub fn secret_env(name: &str, secret: &str, optional: Option<bool>) -> EnvVar {
    let key = SecretKeySelector { name: secret.to_owned(), key: name.to_owned(), optional };
    from(name, EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() })
}

/// An environment variable with the key of the same name of a ConfigMap.
pub fn config_env(name: &str, config_map: &str) -> EnvVar {
    let key = ConfigMapKeySelector { name: config_map.to_owned(), key: name.to_owned(), optional: None };
    from(name, EnvVarSource { config_map_key_ref: Some(key), ..EnvVarSource::default() })
}

fn from(name: &str, source: EnvVarSource) -> EnvVar {
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

/// A probe of a URL.
pub fn http_get(path: &str, port: i32) -> Probe {
    let action = HTTPGetAction {
        path: Some(path.to_owned()),
        port: IntOrString::Int(port),
        ..HTTPGetAction::default()
    };
    Probe { http_get: Some(action), ..Probe::default() }
}

/// A probe by a command in the container.
pub fn exec(command: &[&str]) -> Probe {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    Probe { exec: Some(ExecAction { command: Some(command) }), ..Probe::default() }
}

/// Pace of a readiness probe: a change is seen at once.
pub fn often(probe: Probe) -> Probe {
    Probe { period_seconds: Some(2), timeout_seconds: Some(2), ..probe }
}

/// Pace of a liveness probe: a busy node restarts nothing.
pub fn seldom(probe: Probe) -> Probe {
    Probe { period_seconds: Some(10), timeout_seconds: Some(5), ..probe }
}

fn requirements(resources: &api::ResourceRequirements) -> ResourceRequirements {
    let quantities = |map: &Amounts| {
        unless_empty(&map.iter().map(|(name, quantity)| (name.to_string(), quantity.into())).collect())
    };
    ResourceRequirements {
        requests: quantities(&resources.requests),
        limits: quantities(&resources.limits),
        claims: None,
    }
}
