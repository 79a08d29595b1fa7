//! The request line, read the way the API server reads it.

use hyper::http::request::Parts;

/// A request that a predicate looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, or empty.
    pub query: String,
    /// The header `User-Agent`, or empty.
    pub user_agent: String,
}

impl Request {
    pub(super) fn new(parts: &Parts) -> Self {
        let agent = parts.headers.get(hyper::header::USER_AGENT);
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            user_agent: agent
                .map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned())
                .unwrap_or_default(),
        }
    }

    /// True for requests that change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// True for watches.
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"))
    }

    /// True for requests to evict a pod.
    pub fn is_eviction(&self) -> bool {
        self.method == "POST" && self.resource() == "pods" && self.subresource() == "eviction"
    }

    /// Namespace of the object, or empty.
    pub fn namespace(&self) -> &str {
        match *self.segments() {
            ["namespaces", namespace, _, ..] => namespace,
            _ => "",
        }
    }

    /// Plural name of the resource, or empty for paths that are none.
    pub fn resource(&self) -> &str {
        self.object().first().copied().unwrap_or_default()
    }

    /// Name of the object, or empty for collections.
    pub fn name(&self) -> &str {
        self.object().get(1).copied().unwrap_or_default()
    }

    /// `status`, `eviction` and the like, or empty.
    pub fn subresource(&self) -> &str {
        self.object().get(2).copied().unwrap_or_default()
    }

    /// Resource, name and subresource, as far as the path has them.
    fn object(&self) -> Vec<&str> {
        let segments = self.segments();
        match *segments {
            ["namespaces", _, _, ..] => segments[2..].to_vec(),
            _ => segments,
        }
    }

    /// Segments of the path below the API's version.
    fn segments(&self) -> Vec<&str> {
        let mut segments = self.path.trim_matches('/').split('/');
        let version = match segments.next() {
            Some("api") => 1,
            Some("apis") => 2,
            _ => return Vec::new(),
        };
        segments.skip(version).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str) -> Request {
        let request = hyper::Request::builder().method(method).uri(url).body(()).unwrap();
        Request::new(&request.into_parts().0)
    }

    #[test]
    fn the_parts_of_a_path_are_told_apart() {
        for (path, expected) in [
            ("/api/v1/namespaces/a/pods/b/eviction", ["a", "pods", "b", "eviction"]),
            ("/api/v1/namespaces/a/pods", ["a", "pods", "", ""]),
            ("/api/v1/pods", ["", "pods", "", ""]),
            ("/api/v1/namespaces/a", ["", "namespaces", "a", ""]),
            ("/apis/apps/v1/namespaces/a/statefulsets/b/scale", ["a", "statefulsets", "b", "scale"]),
            ("/apis/multigres.com/v1alpha1/multishards", ["", "multishards", "", ""]),
            ("/readyz", ["", "", "", ""]),
        ] {
            let request = request("GET", path);
            assert_eq!(
                [request.namespace(), request.resource(), request.name(), request.subresource()],
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn writes_watches_and_evictions_are_told_apart() {
        for (method, url, write, watch, eviction) in [
            ("GET", "/api/v1/pods", false, false, false),
            ("GET", "/api/v1/pods?allowWatchBookmarks=true&watch=true", false, true, false),
            ("PATCH", "/api/v1/namespaces/a/pods/b/status", true, false, false),
            ("POST", "/api/v1/namespaces/a/pods/b/eviction", true, false, true),
            ("GET", "/api/v1/namespaces/a/pods/eviction", false, false, false),
        ] {
            let request = request(method, url);
            assert_eq!(
                (request.is_write(), request.is_watch(), request.is_eviction()),
                (write, watch, eviction),
                "{url}"
            );
        }
    }
}
