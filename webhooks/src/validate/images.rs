//! Images: what is a reference, and what will not work.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use memchr::memrchr;

use super::text::and_more;
use super::view::{Database, View};
use super::{ChildContext, ClusterContext, Field, Fields, Reporter, rule};
use crate::path::Path;
use crate::report::{Reason, quote, shorten};
use crate::syntax::{begins_and_ends, cut};

/// The PostgreSQL that Multigres is made for.
const POSTGRES_MAJOR: u32 = 17;
/// Longest image that a warning repeats in full.
const MAX_IMAGE: usize = 48;

rule!(
    /// An image is a reference that container runtimes accept.
    C16 since "0.1.0" = { image: references }
);

fn references(path: &Path<'_>, image: &str, report: &mut Reporter<'_>) {
    if Reference::parse(image).is_none() {
        let message = format!(
            "{} is not an image reference; write for example \"ghcr.io/multigres/multigres:v0.1.0\"",
            quote(image)
        );
        report.error(path, Reason::Invalid, image, message);
    }
}

rule!(
    /// An image without a fixed version may be a different one after a restart.
    W02 since "0.1.0" = cluster: floating_tags, child: floating_tags_of_child
);

fn floating_tags(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    tell_floating(&cx.new, report);
}

fn floating_tags_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    tell_floating(&cx.new.spec, report);
}

fn tell_floating<'a>(object: &impl Fields<'a>, report: &mut Reporter<'_>) {
    let mut floating: BTreeMap<String, (String, usize)> = BTreeMap::new();
    object.each_field(&mut |path, field| {
        let Field::Image(image) = field else { return };
        let reference = Reference::split(image);
        if reference.is_floating() && reference.is_legal() {
            floating.entry(image.to_owned()).or_insert_with(|| (path.to_string(), 0)).1 += 1;
        }
    });
    for (image, (path, uses)) in floating {
        let more = and_more(uses - 1);
        let image = shorten(&image, MAX_IMAGE);
        report.warn(format!("image {image} has no fixed version; pin one ({path}{more})"));
    }
}

rule!(
    /// A stock image of PostgreSQL has neither pgctld nor pgBackRest.
    W01 since "0.1.0" = cluster: stock_postgres
);

fn stock_postgres(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    for (image, database) in postgres_images(&cx.new) {
        let reference = Reference::split(image);
        if reference.is_stock_postgres() && reference.is_legal() {
            let image = shorten(image, MAX_IMAGE);
            report
                .warn(format!("image {image} lacks pgctld and pgBackRest: pods will not start ({database})"));
        }
    }
}

rule!(
    /// Multigres supports one major version of PostgreSQL.
    W03 since "0.1.0" = cluster: other_major
);

fn other_major(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    for (image, database) in postgres_images(&cx.new) {
        let major = Reference::parse(image).and_then(|reference| reference.postgres_major());
        if let Some(major) = major.filter(|major| *major != POSTGRES_MAJOR) {
            let image = shorten(image, MAX_IMAGE);
            report.warn(format!(
                "image {image} is PostgreSQL {major}; Multigres needs {POSTGRES_MAJOR} ({database})"
            ));
        }
    }
}

/// Each image of PostgreSQL that is written, once, and where it is first used.
fn postgres_images<'a>(view: &View<'a>) -> BTreeMap<&'a str, &'a str> {
    let mut images = BTreeMap::new();
    let mut add = |image: Option<&'a String>, place: &'a str| {
        if let Some(image) = image {
            images.entry(image.as_str()).or_insert(place);
        }
    };
    let shared = view.spec().databases.as_ref().and_then(|databases| databases.images.as_ref());
    add(shared.and_then(|images| images.postgres.as_ref()), "databases.images");
    for Database { template, groups, .. } in &view.databases {
        add(template.spec.images.as_ref().and_then(|images| images.postgres.as_ref()), &template.name);
        for pool in groups.iter().flat_map(|group| &group.pools) {
            add(pool.member.postgres.image, &template.name);
        }
    }
    images
}

/// A reference to an image, as the OCI distribution specification has it: `[domain/]path[:tag][@digest]`.
pub(super) struct Reference<'a> {
    /// Domain and path.
    name: &'a str,
    /// The repository without its domain.
    path: &'a str,
    domain: Option<&'a str>,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        Some(Self::split(text)).filter(Self::is_legal)
    }

    /// The parts, legal or not, which are told apart by far less than they are checked for.
    fn split(text: &'a str) -> Self {
        // Neither tags nor digests hold a slash: what comes before the last one need not be searched for them.
        let last = memrchr(b'/', text.as_bytes()).map_or(0, |slash| slash + 1);
        let (place, last) = text.split_at(last);
        let (last, digest) = cut(last, b'@').map_or((last, None), |(last, digest)| (last, Some(digest)));
        let (last, tag) = cut(last, b':').map_or((last, None), |(last, tag)| (last, Some(tag)));
        let name = &text[..place.len() + last.len()];
        let is_domain = |first: &str| first.bytes().any(|c| matches!(c, b'.' | b':')) || first == "localhost";
        let (domain, path) = match cut(name, b'/') {
            Some((first, rest)) if is_domain(first) => (Some(first), rest),
            _ => (None, name),
        };
        Self { name, path, domain, tag, digest }
    }

    fn is_legal(&self) -> bool {
        self.name.len() <= 255
            && self.domain.is_none_or(is_host_and_port)
            && self.path.as_bytes().split(|c| *c == b'/').all(is_component)
            && self.tag.is_none_or(is_tag)
            && self.digest.is_none_or(is_digest)
    }

    /// True if the reference may point to another image tomorrow.
    fn is_floating(&self) -> bool {
        self.digest.is_none() && self.tag.is_none_or(|tag| tag == "latest")
    }

    /// True for one of PostgreSQL's official images on Docker Hub.
    fn is_stock_postgres(&self) -> bool {
        let hub = self.domain.is_none_or(|domain| matches!(domain, "docker.io" | "index.docker.io"));
        hub && matches!(self.path, "postgres" | "library/postgres")
    }

    /// The major version of PostgreSQL, where name and tag tell it.
    pub fn postgres_major(&self) -> Option<u32> {
        let name = self.path.rsplit('/').next()?;
        let tag = self.tag.filter(|_| name.contains("postgres"))?;
        let end = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
        let rest = &tag[end..];
        if rest.is_empty() || rest.starts_with(['.', '-']) { tag[..end].parse().ok() } else { None }
    }
}

fn is_host_and_port(domain: &str) -> bool {
    if let Some((address, rest)) = domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        return address.parse::<Ipv6Addr>().is_ok()
            && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = cut(domain, b':').map_or((domain, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        begins_and_ends(label, |c| c.is_ascii_alphanumeric())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    host.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Lower-case letters and digits, with single separators (`.`, `_`, `__` or any number of `-`) between.
fn is_component(component: &[u8]) -> bool {
    let mut rest = component;
    loop {
        let word = rest.iter().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).count();
        let separator = match &rest[word..] {
            [] => return word > 0,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            dashes => dashes.iter().take_while(|c| **c == b'-').count(),
        };
        if word == 0 || separator == 0 {
            return false;
        }
        rest = &rest[word + separator..];
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|c| word(c) || matches!(c, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.bytes().next().is_some_and(|c| c.is_ascii_alphabetic())
            && algorithm.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'.' | b'_' | b'-'))
            && hex.len() >= 32
            && hex.bytes().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{FULL, SHORT, edit};
    use crate::validate::testing::create;

    #[test]
    fn references_are_read() {
        let sha = format!("postgres@sha256:{}", "0".repeat(64));
        for legal in [
            "postgres",
            "a/b__c/d---e:v1.2-3",
            "localhost/a",
            "ghcr.io:443/a/b:T",
            "[fd00::1]:5000/a:1",
            sha.as_str(),
        ] {
            assert!(Reference::parse(legal).is_some(), "{legal}");
        }
        for illegal in [
            "",
            "Postgres",
            "a//b",
            "a:",
            "a:b:c",
            "a b",
            "a@sha256:xyz",
            "https://a/b",
            "a/-b",
            "a..b",
            "a._b",
            "a___b",
            "/a",
            "a/",
            "a@b/c",
            "a:b/c@d",
            "[fd00::1]5000/a",
            "[fd00]:5000/a",
        ] {
            assert!(Reference::parse(illegal).is_none(), "{illegal}");
        }
    }

    #[test]
    fn majors_are_read() {
        for (image, major) in [
            ("postgres:15.3", Some(15)),
            ("example.com/x/postgresql:17-alpine", Some(17)),
            ("postgres:17", Some(17)),
            ("postgres", None),
            ("postgres:v17", None),
            ("postgres:17beta1", None),
            ("ghcr.io/multigres/pgctld:15", None),
        ] {
            assert_eq!(
                Reference::parse(image).and_then(|reference| reference.postgres_major()),
                major,
                "{image}"
            );
        }
    }

    #[test]
    fn in_a_cluster() {
        let image = |at, pointer: &str, image: &str| vec![edit(at, pointer, json!({"image": image}))];
        create(
            "C16",
            &[
                (vec![edit("/spec", "/cells/multiGatewayImage", json!("multigres/multigres:latest"))], &[]),
                (
                    vec![edit("/spec", "/cells/multiGatewayImage", json!("multi gres"))],
                    &["Invalid spec.cells.multiGatewayImage"],
                ),
                (
                    image(FULL, "/spec/postgresExporter", "X"),
                    &["Invalid spec.databases.templates[1].spec.postgresExporter.image"],
                ),
                (
                    image(SHORT, "/spec/pools/0/replica/multipooler", "X"),
                    &["Invalid spec.databases.templates[0].spec.pools[0].replica.multipooler.image"],
                ),
            ],
        );
        create(
            "W02",
            &[
                (image(SHORT, "/spec/pools/0/replica/postgres", "x:1"), &[]),
                (
                    [
                        image(SHORT, "/spec/pools/0/replica/postgres", "x"),
                        image(FULL, "/spec/postgresExporter", "x"),
                    ]
                    .concat(),
                    &[
                        "image x has no fixed version; pin one (spec.databases.templates[1].spec.postgresExporter.image and 1 more)",
                    ],
                ),
            ],
        );
        create(
            "W01",
            &[
                (image(SHORT, "/spec/pools/0/replica/postgres", "example.com/postgres:17"), &[]),
                (
                    image(SHORT, "/spec/pools/0/replica/postgres", "docker.io/library/postgres:17"),
                    &[
                        "image docker.io/library/postgres:17 lacks pgctld and pgBackRest: pods will not start (short)",
                    ],
                ),
            ],
        );
        create(
            "W03",
            &[
                (vec![edit("", "/spec/databases/images", json!({"postgres": "postgres:17.1"}))], &[]),
                (
                    vec![edit("", "/spec/databases/images", json!({"postgres": "postgres:15.3"}))],
                    &["image postgres:15.3 is PostgreSQL 15; Multigres needs 17 (databases.images)"],
                ),
            ],
        );
    }
}
