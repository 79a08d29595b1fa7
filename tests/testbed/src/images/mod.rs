//! Container images without an image builder.
//!
//! A node that is reached by nothing but the test has no registry to pull from. Its images are put together from the
//! testbed's own programs, on top of a slim Debian where they need more than themselves, and given to the container
//! runtime as one stream. Their layers are kept in the cache.

mod archive;
mod layer;

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::binaries::{ETCD, MULTIADMIN, MULTIGATEWAY, MULTIGRES, MULTIORCH, MULTIPOOLER, PGCTLD, Tool};
use layer::Layer;

/// Runs nothing; holds the namespaces of a pod.
pub const PAUSE: &str = "localhost/multigres/pause:1";

/// Source of an image.
#[derive(Debug, Clone)]
pub struct Image {
    name: &'static str,
    tags: Vec<&'static str>,
    settings: Settings,
    on_debian: bool,
    files: Vec<(Source, &'static str)>,
}

/// A program and where it comes from.
#[derive(Debug, Clone)]
enum Source {
    Tool(&'static Tool),
    Package(&'static str),
    Binary(PathBuf),
}

/// Settings of an image's containers: the `config` of the OCI image specification.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entrypoint: Vec<String>,
}

/// Images whose layers exist.
pub struct BuiltImages(Vec<BuiltImage>);

struct BuiltImage {
    names: Vec<String>,
    settings: Settings,
    layers: Vec<Layer>,
}

impl Image {
    /// `localhost/multigres/etcd:v3.6.6`.
    pub fn etcd() -> Self {
        Self::new("etcd", ["v3.6.6"]).with(Source::Tool(&ETCD), "usr/local/bin/etcd")
    }

    /// `localhost/multigres/multigres:v0.1.0`, which is also `v0.1.0-b`: an upgrade to the same.
    pub fn multigres() -> Self {
        Self::new("multigres", ["v0.1.0", "v0.1.0-b"])
            .on_debian("65532")
            .with(Source::Tool(&MULTIADMIN), "multigres/bin/multiadmin")
            .with(Source::Tool(&MULTIGATEWAY), "multigres/bin/multigateway")
            .with(Source::Tool(&MULTIGRES), "multigres/bin/multigres")
            .with(Source::Tool(&MULTIORCH), "multigres/bin/multiorch")
            .with(Source::Tool(&MULTIPOOLER), "multigres/bin/multipooler")
    }

    /// `localhost/multigres/pgctld:v0.1.0`, which is also `v0.1.0-b`: an upgrade to the same.
    pub fn pgctld() -> Self {
        Self::new("pgctld", ["v0.1.0", "v0.1.0-b"])
            .on_debian("999")
            .with(Source::Tool(&PGCTLD), "usr/local/bin/pgctld")
    }

    /// `localhost/multigres/multigres-operator:dev`, from a binary that may be dynamically linked.
    pub fn operator(binary: PathBuf) -> Self {
        let mut image = Self::new("multigres-operator", ["dev"])
            .on_debian("65532")
            .with(Source::Binary(binary), "multigres-operator");
        image.settings.entrypoint = vec!["/multigres-operator".to_owned()];
        image
    }

    /// Everything a Multigres cluster runs.
    pub fn cluster() -> Vec<Self> {
        vec![Self::etcd(), Self::multigres(), Self::pgctld()]
    }

    pub(crate) fn pause() -> Self {
        let mut image = Self::new("pause", ["1"]).with(Source::Package("/usr/bin/catatonit"), "catatonit");
        image.settings.entrypoint = vec!["/catatonit".to_owned(), "-P".to_owned()];
        image
    }

    fn new<const N: usize>(name: &'static str, tags: [&'static str; N]) -> Self {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/multigres/bin";
        Self {
            name,
            tags: tags.to_vec(),
            settings: Settings { env: vec![path.to_owned()], ..Settings::default() },
            on_debian: false,
            files: Vec::new(),
        }
    }

    fn on_debian(mut self, user: &str) -> Self {
        self.on_debian = true;
        user.clone_into(&mut self.settings.user);
        self.settings.env.push("LANG=en_US.UTF-8".to_owned());
        self
    }

    fn with(mut self, source: Source, destination: &'static str) -> Self {
        self.files.push((source, destination));
        self
    }

    fn build(&self) -> anyhow::Result<BuiltImage> {
        let base = self.on_debian.then(layer::debian).transpose()?;
        let files = self.files.iter().map(|(source, destination)| Ok((source.path()?, *destination)));
        let files = files.collect::<anyhow::Result<Vec<_>>>()?;
        let own = if self.files.iter().all(|(source, _)| source.is_pinned()) {
            layer::cached(self.name, &files)?
        } else {
            layer::passing(&files)?
        };
        Ok(BuiltImage {
            names: self.tags.iter().map(|tag| format!("localhost/multigres/{}:{tag}", self.name)).collect(),
            settings: self.settings.clone(),
            layers: base.into_iter().chain([own]).collect(),
        })
    }
}

impl Source {
    fn path(&self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Tool(tool) => tool.path(),
            Self::Package(path) => Ok(path.into()),
            Self::Binary(path) => Ok(path.clone()),
        }
    }

    /// Images under development change too often to be cached.
    fn is_pinned(&self) -> bool {
        !matches!(self, Self::Binary(_))
    }
}

impl BuiltImages {
    /// Builds what is missing of some images; blocks meanwhile, for minutes the first time.
    pub fn build(images: &[Image]) -> anyhow::Result<Self> {
        Ok(Self(images.iter().map(Image::build).collect::<anyhow::Result<_>>()?))
    }

    /// Writes them as one archive, in which layers that they share are contained once.
    pub fn write(&self, archive: impl Write) -> anyhow::Result<()> {
        archive::write(&self.0, archive)
    }
}
