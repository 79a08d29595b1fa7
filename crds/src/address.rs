//! Addresses of etcd: lists of `host:port`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv6Addr;

use crate::names;

/// One endpoint, in a form that compares: lower-cased, without a trailing dot, IPv6 addresses as short as can be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// DNS name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: i32,
}

/// Reason why a text is not a list of endpoints, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("must name at least one endpoint as \"host:port\"")]
    Empty,
    /// A Markdown link, as a copy from a rendered page leaves behind.
    #[error("{0:?} is a Markdown link; write the plain \"host:port\"")]
    Link(String),
    /// A URL.
    #[error("{0:?} has a URL scheme; write \"host:port\" without it")]
    Scheme(String),
    /// No port.
    #[error("{0:?} has no port; write \"host:port\", for example \"{0}:2379\"")]
    NoPort(String),
    /// A port that is none.
    #[error("{0:?} has no valid port; use a number from 1 to 65535")]
    Port(String),
    /// A host that is none.
    #[error("{0:?} has no valid host; use a DNS name or an IP address")]
    Host(String),
    /// The same endpoint again.
    #[error("{0:?} is listed twice; name each endpoint once")]
    Duplicate(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Parses `host:port[,host:port…]`.
///
/// # Errors
/// The first thing that is wrong with the list.
pub fn parse(list: &str) -> Result<Vec<Endpoint>, AddressError> {
    let mut endpoints = Vec::new();
    if list.trim().is_empty() {
        return Err(AddressError::Empty);
    }
    for text in list.split(',') {
        let endpoint = parse_endpoint(text)?;
        if endpoints.contains(&endpoint) {
            return Err(AddressError::Duplicate(text.to_owned()));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn parse_endpoint(text: &str) -> Result<Endpoint, AddressError> {
    let owned = || text.to_owned();
    if text.contains(['[', '(']) && text.contains("](") {
        return Err(AddressError::Link(owned()));
    }
    if text.contains("://") {
        return Err(AddressError::Scheme(owned()));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = if let Some((host, rest)) = bracketed {
        let host: Ipv6Addr = host.parse().map_err(|_| AddressError::Host(owned()))?;
        (host.to_string(), rest.strip_prefix(':').ok_or_else(|| AddressError::NoPort(owned()))?)
    } else {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| AddressError::NoPort(owned()))?;
        let host = host.strip_suffix('.').unwrap_or(host);
        if !is_host(host) {
            return Err(AddressError::Host(owned()));
        }
        (host.to_ascii_lowercase(), port)
    };
    let digits = port.bytes().all(|c| c.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if port > 0 && digits => Ok(Endpoint { host, port: port.into() }),
        _ => Err(AddressError::Port(owned())),
    }
}

/// True for a DNS name or an IPv4 address.
fn is_host(text: &str) -> bool {
    let label = |label: &str| names::is_dns_label(&label.to_ascii_lowercase().replace('_', "a"));
    let numeric = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    text.len() <= 253
        && text.split('.').all(label)
        && (!numeric || text.parse::<std::net::Ipv4Addr>().is_ok())
}

/// Address of a managed etcd: the one spelling of its client Service that pods are given.
pub fn managed_etcd(cluster: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc:{}", names::etcd_client(cluster), crate::defaults::ETCD_CLIENT_PORT)
}

/// True if the address is the client Service of the cluster's managed etcd, in any DNS spelling.
pub fn is_managed_etcd(address: &str, cluster: &str, namespace: &str) -> bool {
    let managed = Endpoint::of_etcd(format!("{}.{namespace}", names::etcd_client(cluster)));
    members(address, namespace) == BTreeSet::from([managed])
}

/// The endpoints of a list as they are known from everywhere: DNS names of a Service, or of a pod behind one, are cut
/// after the namespace. None where the list is none.
pub fn members(list: &str, namespace: &str) -> BTreeSet<Endpoint> {
    let endpoints = parse(list).unwrap_or_default().into_iter();
    endpoints.map(|endpoint| Endpoint { host: cut(&endpoint.host, namespace), ..endpoint }).collect()
}

/// The same for a managed etcd: its Services, and each of its members.
pub fn managed_members(cluster: &str, namespace: &str, replicas: i32) -> BTreeSet<Endpoint> {
    let peer = [&names::etcd_peer(cluster), ".", namespace].concat();
    let pods =
        (0..replicas).map(|ordinal| [&names::instance(&names::etcd(cluster), ordinal), ".", &peer].concat());
    let client = [&names::etcd_client(cluster), ".", namespace].concat();
    pods.chain([client, peer.clone()]).map(Endpoint::of_etcd).collect()
}

impl Endpoint {
    fn of_etcd(host: String) -> Self {
        Self { host, port: crate::defaults::ETCD_CLIENT_PORT }
    }
}

/// `etcd`, `etcd.ns.svc` and `etcd.ns.svc.cluster.local` are all `etcd.ns`.
fn cut(host: &str, namespace: &str) -> String {
    let labels: Vec<&str> = host.split('.').collect();
    // A namespace may be called `svc`, too: the last one tells.
    let end = [3, 2].into_iter().find(|end| labels.get(*end) == Some(&"svc"));
    match (end, labels.as_slice()) {
        (Some(end), labels) => labels[..end].join("."),
        (None, [service]) if !service.contains(':') => format!("{host}.{namespace}"),
        (None, [pod, service]) if is_member(pod, service) => format!("{host}.{namespace}"),
        _ => host.to_owned(),
    }
}

/// True if `<pod>.<service>` names an etcd member behind its peer Service, rather than a Service in a namespace.
fn is_member(pod: &str, service: &str) -> bool {
    let set = service.strip_suffix("-peer");
    let ordinal = set.and_then(|set| pod.strip_prefix(set)?.strip_prefix('-'));
    ordinal.is_some_and(|ordinal| ordinal.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        for (text, canonical) in [
            ("etcd.example.com:2379", vec!["etcd.example.com:2379"]),
            ("ETCD.:2379", vec!["etcd:2379"]),
            ("10.0.0.1:2379,[FD00:0::0:1]:2379", vec!["10.0.0.1:2379", "[fd00::1]:2379"]),
        ] {
            let endpoints: Vec<String> = parse(text).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(endpoints, canonical);
        }
    }

    #[test]
    fn rejected() {
        for (text, problem) in [
            ("", "at least one"),
            ("etcd", "no port"),
            ("etcd:0", "valid port"),
            ("etcd:+1", "valid port"),
            ("etcd:65536", "valid port"),
            (":2379", "valid host"),
            ("et cd:2379", "valid host"),
            ("300.1.1.1:2379", "valid host"),
            ("http://etcd:2379", "URL scheme"),
            ("[etcd:2379](http://etcd:2379)", "Markdown link"),
            ("[fd00::1]", "no port"),
            ("[etcd]:2379", "valid host"),
            ("a:1,A:1", "twice"),
            ("[::1]:1,[0:0::1]:1", "twice"),
            ("a:1,", "no port"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn spellings_of_the_managed_etcd() {
        for spelling in
            ["c-etcd-client", "c-etcd-client.n", "c-etcd-client.n.svc", "C-etcd-client.n.svc.cluster.local."]
        {
            assert!(is_managed_etcd(&format!("{spelling}:2379"), "c", "n"), "{spelling}");
        }
        assert!(is_managed_etcd(&managed_etcd("c", "svc"), "c", "svc"));
        for other in
            ["c-etcd-client.m.svc:2379", "c-etcd-client.n.svc:2380", "c-etcd-client.n.svc:2379,b:2379"]
        {
            assert!(!is_managed_etcd(other, "c", "n"), "{other}");
        }
    }

    #[test]
    fn members_are_the_same_from_everywhere() {
        let hosts = |list| -> Vec<String> { members(list, "n").iter().map(ToString::to_string).collect() };
        assert_eq!(hosts("b.m.svc.cluster.local:1,a:1"), ["a.n:1", "b.m:1"]);
        assert_eq!(
            hosts("etcd.example.com:1,10.0.0.1:1,[::1]:1"),
            ["10.0.0.1:1", "[::1]:1", "etcd.example.com:1"]
        );
        assert!(hosts("a:1,").is_empty());
        let managed = managed_members("c", "n", 3);
        for spelling in [
            "c-etcd-client",
            "c-etcd-2.c-etcd-peer",
            "c-etcd-2.c-etcd-peer.n.svc",
            "c-etcd-peer.n.svc.k8s.example",
        ] {
            assert!(!managed.is_disjoint(&members(&format!("{spelling}:2379"), "n")), "{spelling}");
        }
        assert_eq!(
            hosts("c-etcd-2.c-etcd-peer.svc.svc:1,d-etcd-x.c-etcd-peer:1"),
            ["c-etcd-2.c-etcd-peer.svc:1", "d-etcd-x.c-etcd-peer:1"]
        );
        assert!(managed.is_disjoint(&members("c-etcd-client.n.svc:2380,c-etcd-client.m.svc:2379", "n")));
    }
}
