//! Extensions as an operating system packages them: Debian's PostgreSQL 15 with what it has of `PostGIS`, `pg_partman` and
//! small types. What is missing is a failure, as everything here runs on the system's own server.

use std::path::Path;

use crate::harness::cli::{backup, folder, restore};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Build, Options, Server};

/// Where Debian's packages put what `CREATE EXTENSION` reads.
const CONTROL_FILES: &str = "/usr/share/postgresql/15/extension";

/// Control files that must be there, and the packages they come with.
const PACKAGES: [(&str, &str); 8] = [
    ("hstore", "postgresql-15"),
    ("postgis", "postgresql-15-postgis-3"),
    ("pg_partman", "postgresql-15-partman"),
    ("semver", "postgresql-15-semver"),
    ("ip4r", "postgresql-15-ip4r"),
    ("prefix", "postgresql-15-prefix"),
    ("unit", "postgresql-15-unit"),
    ("hypopg", "postgresql-15-hypopg"),
];

/// What `pg_dump -s` does not tell: rows of users in configuration tables, values, who owns a member.
const FACTS: &str = "
    SET search_path = x, geo, partman, public;
    SELECT 'system', srtext, '' FROM spatial_ref_sys WHERE srid = 990001
    UNION ALL SELECT 'systems', count(*)::text, '' FROM spatial_ref_sys
    UNION ALL SELECT 'kept', parent_table, retention FROM part_config
    UNION ALL SELECT 'owner', relname, relowner::regrole::text FROM pg_class WHERE oid = 'partman.part_config'::regclass
    UNION ALL SELECT 'privileges', proname, proacl::text FROM pg_proc WHERE oid = 'x.crypt'::regproc
    UNION ALL SELECT 'place', id::text, concat_ws(' ', ST_AsEWKT(at), ST_AsText(area), ST_AsEWKT(line), ST_AsEWKT(any_of)) FROM places
    UNION ALL SELECT 'near', id::text, st_astext FROM near
    UNION ALL SELECT 'held', id::text, held::text FROM held WHERE c = 'mixed' OR c IS NULL
    UNION ALL SELECT 'measured', tableoid::regclass::text, count(*)::text FROM measured GROUP BY tableoid
    ORDER BY 1, 2, 3";

#[test]
fn extensions_of_debian_come_back_with_their_data() {
    for (extension, package) in PACKAGES {
        let control = Path::new(CONTROL_FILES).join(format!("{extension}.control"));
        assert!(control.exists(), "{} is missing\nhint: apt-get install {package}", control.display());
    }
    let server = Server::with(Build::System(15), Options { tcp: true, ..Options::default() });
    let source = server.create_db();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/extensions/debian.15.sql");
    server.script(&source, &fixture);
    let (folder, target) = (folder(), server.fresh_name());
    let made = backup(folder.path(), &server.url(&source), &[]);
    let run = restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &["--create"]);
    assert_eq!(run.expect(0).json()["verified"], true);
    // The server writes an internal option of its own to each column, and pg_dump tells it.
    for database in [&*source, &target] {
        server.sql(
            database,
            "UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '{pg_attver=%'",
        );
    }
    assert_same(&server, &source, &server, &target);
    let facts = server.rows(&source, FACTS);
    assert_eq!(facts, server.rows(&target, FACTS));
    for kind in ["system", "kept", "owner", "place", "near", "held", "measured"] {
        assert!(facts.iter().any(|fact| fact[0] == kind), "{kind}: {facts:?}");
    }
}
