//! Whether a role may do what a restore in place does: found before anybody is asked, and long before anything is dropped.

use super::preflight::Finding;
use super::requirements::listed;
use crate::catalog::ident::class;
use crate::catalog::sql;
use crate::error::Result;
use crate::pg::Session;
use crate::pg::quote::printable;

/// The objects that are dropped, with the schema of those in `public`. Extensions that are not ours may stay.
fn dropped() -> String {
    let whole = |catalog: &str| {
        format!(
            "SELECT 'pg_catalog.{catalog}'::pg_catalog.regclass::pg_catalog.oid AS classid, o.oid AS objid, NULL::pg_catalog.oid AS schema \
             FROM pg_catalog.{catalog} o WHERE o.oid >= 16384"
        )
    };
    let schemas = format!(
        "{} AND o.nspname <> 'public' AND {}",
        whole("pg_namespace"),
        sql::user_schema_name("o.nspname")
    );
    let in_public = "SELECT d.classid, d.objid, d.refobjid FROM pg_catalog.pg_depend d \
        WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.deptype = 'n' \
        AND d.refobjid = pg_catalog.to_regnamespace('public')::pg_catalog.oid AND d.objsubid = 0 \
        AND d.classid NOT IN ('pg_catalog.pg_extension'::pg_catalog.regclass, 'pg_catalog.pg_default_acl'::pg_catalog.regclass) \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend i \
          WHERE i.classid = d.classid AND i.objid = d.objid AND i.objsubid = 0 AND i.deptype = 'i')";
    let others = ["pg_event_trigger", "pg_publication", "pg_foreign_data_wrapper", "pg_language"].map(whole);
    // Those that nothing of a user's takes along when it is dropped.
    let casts = format!(
        "{} AND o.castsource < 16384 AND o.casttarget < 16384 AND o.castfunc < 16384",
        whole("pg_cast")
    );
    let methods = format!("{} AND o.amhandler < 16384", whole("pg_am"));
    [vec![schemas, in_public.to_owned(), casts, methods], others.to_vec()].concat().join(" UNION ALL ")
}

/// Those of them that the role may not drop: it is neither their owner's, nor that of their schema. Whom the server keeps no owner
/// of, its first superuser owns.
fn not_ours() -> String {
    format!(
        "SELECT i.type || ' ' || i.identity FROM ({}) o, LATERAL pg_catalog.pg_identify_object(o.classid, o.objid, 0) i \
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = o.classid AND e.objid = o.objid AND e.deptype = 'e') \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend s WHERE s.classid = o.classid AND s.objid = o.objid AND s.deptype = 'o' \
           AND s.dbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) \
           AND pg_catalog.pg_has_role(s.refobjid, 'USAGE')) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.oid = o.schema AND pg_catalog.pg_has_role(n.nspowner, 'USAGE')) \
         ORDER BY 1",
        dropped()
    )
}

/// Roles whose sessions are in the database, and cannot be ended by this one.
const OTHERS: &str = "SELECT DISTINCT r.rolname FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid \
    WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type NOT LIKE 'autovacuum%' \
    AND (r.rolsuper OR NOT (pg_catalog.pg_has_role(r.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))) ORDER BY 1";

/// What the session's role lacks to empty the database and to fill it again.
pub(super) async fn in_place(session: &Session) -> Result<Vec<Finding>> {
    if session.info().is_superuser {
        return Ok(Vec::new());
    }
    let (user, name) = (printable(&session.info().user), printable(&session.info().database));
    let mut findings = Vec::new();
    let mut refuse = |message: String, hint: &str| {
        findings.push(Finding { fatal: true, message, hint: Some(hint.to_owned()) });
    };
    let names = |rows: Vec<Vec<Option<String>>>| -> Vec<String> {
        rows.into_iter().flatten().flatten().map(|name| printable(&name)).collect()
    };
    let others = names(session.query_text(&not_ours()).await?);
    if !others.is_empty() {
        refuse(
            format!("{user} may not drop {}", listed(&others)),
            "connect as their owner, or as one who has its role",
        );
    }
    let large = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata m WHERE NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') \
                 AND pg_catalog.current_setting('lo_compat_privileges') = 'off'";
    if let Some(count) = session.query_one_text(large).await?.filter(|count| count != "0") {
        refuse(format!("{user} may not drop {count} large objects of others"), "connect as their owner");
    }
    let may = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')";
    if session.query_one_text(may).await?.as_deref() != Some("t") {
        refuse(
            format!("{user} may not create schemas in {name}"),
            "GRANT CREATE ON DATABASE is needed, for the marks of the restore as well as for schemas of the archive",
        );
    }
    let public = format!(
        "SELECT pg_catalog.has_schema_privilege(n.oid, 'CREATE') FROM pg_catalog.pg_namespace n WHERE n.oid = \
         pg_catalog.to_regnamespace('public')::pg_catalog.oid AND {}",
        sql::not_extension_member(class::PG_NAMESPACE, "n.oid")
    );
    if session.query_one_text(&public).await?.as_deref() == Some("f") {
        refuse(
            format!("{user} may not create anything in the schema public"),
            "GRANT CREATE ON SCHEMA public is needed",
        );
    }
    let sessions = names(session.query_text(OTHERS).await?);
    if !sessions.is_empty() {
        refuse(
            format!("{user} may not end the sessions of {}", listed(&sessions)),
            "have them ended first; sessions of superusers can be ended by superusers only, others by members of pg_signal_backend",
        );
    }
    Ok(findings)
}
