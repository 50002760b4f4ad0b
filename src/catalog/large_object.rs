//! Large objects (PostgreSQL manual, chapter 35). They are data, not objects of the model: there may be millions, so
//! they travel as two streams of rows and are recreated by statements over sets, never by a round trip each.
//!
//! - metadata: `oid, owner, comment, acl, labels`, where `acl` is JSON as in [`super::acl`] or null for the default, and
//!   `labels` a JSON array of objects with `provider` and `label`, or null; archives of early versions have no `labels`;
//! - content: `oid, offset, data`, in parts of at most [`PART_BYTES`].

use std::collections::BTreeSet;

use super::acting::Acting;
use crate::pg::quote;

/// Columns of the metadata stream.
pub const METADATA_COLUMNS: [&str; 5] = ["oid", "owner", "comment", "acl", "labels"];

/// Columns of the content stream.
pub const CONTENT_COLUMNS: [&str; 3] = ["oid", "offset", "data"];

/// Bytes read at once of an object that can only be read through its functions.
pub const PART_BYTES: u32 = 1 << 20;

/// Whether the database has large objects, how many, and whether their pages may be read directly. One row:
/// `count`, `readable`.
pub const COUNT: &str = "SELECT pg_catalog.count(*) AS count, \
     pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') AS readable \
     FROM pg_catalog.pg_largeobject_metadata";

/// The query of the metadata stream, for `COPY (…) TO STDOUT`.
pub fn metadata_query() -> String {
    let acl = super::sql::acl_json("m.lomacl");
    format!(
        "SELECT m.oid, pg_catalog.pg_get_userbyid(m.lomowner), \
         pg_catalog.obj_description(m.oid, 'pg_largeobject'), {acl}, \
         (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('provider', l.provider, 'label', l.label) ORDER BY l.provider) \
          FROM pg_catalog.pg_seclabel l WHERE l.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass AND l.objoid = m.oid) \
         FROM pg_catalog.pg_largeobject_metadata m ORDER BY m.oid"
    )
}

/// The query of the content stream. Pages are read directly where that is allowed (they keep holes as holes), through
/// `lo_get` otherwise. A page holds a quarter of a block (`LOBLKSIZE` in PostgreSQL's `large_object.h`).
pub fn content_query(readable: bool) -> String {
    if readable {
        return "SELECT l.loid, l.pageno::pg_catalog.int8 OPERATOR(pg_catalog.*) \
                (pg_catalog.current_setting('block_size')::pg_catalog.int8 OPERATOR(pg_catalog./) 4::pg_catalog.int8), l.data \
                FROM pg_catalog.pg_largeobject l"
            .to_owned();
    }
    format!(
        "WITH RECURSIVE part(id, start, bytes) AS (\
         SELECT m.oid, 0::pg_catalog.int8, pg_catalog.lo_get(m.oid, 0, {PART_BYTES}) FROM pg_catalog.pg_largeobject_metadata m \
         UNION ALL SELECT p.id, p.start OPERATOR(pg_catalog.+) {PART_BYTES}::pg_catalog.int8, \
         pg_catalog.lo_get(p.id, p.start OPERATOR(pg_catalog.+) {PART_BYTES}::pg_catalog.int8, {PART_BYTES}) FROM part p \
         WHERE pg_catalog.octet_length(p.bytes) OPERATOR(pg_catalog.=) {PART_BYTES}) \
         SELECT id, start, bytes FROM part WHERE pg_catalog.octet_length(bytes) OPERATOR(pg_catalog.>) 0"
    )
}

/// Objects that are created in one transaction: owner, comment and privileges take a lock on each.
pub const BATCH: u64 = 200;

/// Makes the staging tables of a restoring session; those of a try that failed are dropped.
pub const CREATE_STAGING: &str = "\
    DROP TABLE IF EXISTS pg_temp.pgcask_lo_metadata, pg_temp.pgcask_lo_content;\
    CREATE TEMPORARY TABLE pgcask_lo_metadata (oid pg_catalog.oid, owner pg_catalog.text, comment pg_catalog.text, acl pg_catalog.text, \
    labels pg_catalog.text, at pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY);\
    CREATE TEMPORARY TABLE pgcask_lo_content (oid pg_catalog.oid, start pg_catalog.int8, data pg_catalog.bytea)";

/// Drops the staging tables.
pub const DROP_STAGING: &str = "DROP TABLE pg_temp.pgcask_lo_metadata, pg_temp.pgcask_lo_content";

/// Receives the metadata stream, which has these columns.
pub fn copy_metadata(columns: &[String]) -> String {
    let columns = quote::ident_list(columns.iter().map(String::as_str));
    format!("COPY pg_temp.pgcask_lo_metadata ({columns}) FROM STDIN")
}

/// Receives the content stream.
pub const COPY_CONTENT: &str = "COPY pg_temp.pgcask_lo_content FROM STDIN";

/// The staged objects of a batch, counted from 0.
fn of_batch(batch: u64) -> String {
    let first = batch.saturating_mul(BATCH);
    format!(
        "FROM pg_temp.pgcask_lo_metadata WHERE at BETWEEN {} AND {}",
        first + 1,
        first.saturating_add(BATCH)
    )
}

/// Creates the staged objects of a batch, empty.
pub fn create(batch: u64) -> String {
    format!("SELECT pg_catalog.count(pg_catalog.lo_create(oid)) {}", of_batch(batch))
}

/// Writes the staged content, and empties the stage. One page after the other: holes stay holes.
pub const WRITE: &str = "SELECT pg_catalog.count(*) FROM (SELECT pg_catalog.lo_put(oid, start, data) FROM pg_temp.pgcask_lo_content OFFSET 0) w; \
     TRUNCATE pg_temp.pgcask_lo_content";

/// Takes from the staged objects the roles that cannot own them here: they keep their access. And those that are unknown
/// here. Outside the loop's body: a name there could end it.
fn replace_roles(acting: &Acting) -> String {
    let list = |roles: &BTreeSet<String>| {
        let names: Vec<String> = roles.iter().map(|name| quote::literal(name)).collect();
        names.join(", ")
    };
    let mut sql = String::new();
    if !acting.replaced.is_empty() {
        let item = |privilege: &str| {
            format!(
                "pg_catalog.json_build_object('grantee', owner, 'privilege', '{privilege}', 'grantable', false)"
            )
        };
        sql += &format!(
            "UPDATE pg_temp.pgcask_lo_metadata SET owner = NULL, \
             acl = coalesce(acl, pg_catalog.json_build_array({}, {})::pg_catalog.text) WHERE owner IN ({}); ",
            item("SELECT"),
            item("UPDATE"),
            list(&acting.replaced)
        );
        sql += &format!(
            "UPDATE pg_temp.pgcask_lo_metadata SET acl = (SELECT pg_catalog.json_agg(CASE WHEN e->>'grantor' IN ({}) \
             THEN (e::pg_catalog.jsonb - 'grantor')::pg_catalog.json ELSE e END)::pg_catalog.text \
             FROM pg_catalog.json_array_elements(acl::pg_catalog.json) e) WHERE acl IS NOT NULL AND acl <> '[]'; ",
            list(&acting.replaced)
        );
    }
    if !acting.unknown.is_empty() {
        sql += &format!(
            "UPDATE pg_temp.pgcask_lo_metadata SET acl = (SELECT coalesce(pg_catalog.json_agg(e), '[]')::pg_catalog.text \
             FROM pg_catalog.json_array_elements(acl::pg_catalog.json) e \
             WHERE coalesce(e->>'grantee' NOT IN ({}), true)) WHERE acl IS NOT NULL; ",
            list(&acting.unknown)
        );
    }
    sql
}

/// Sets comments and labels, and as asked owners and privileges, of the staged objects of a batch: a loop on the server.
pub fn set_attributes(batch: u64, owners: bool, privileges: bool, acting: &Acting) -> String {
    let replace = replace_roles(acting);
    let owner = if owners {
        "IF o.owner IS NOT NULL AND o.owner <> current_user THEN EXECUTE format('ALTER LARGE OBJECT %s OWNER TO %I', o.oid, o.owner); END IF;"
    } else {
        ""
    };
    // Owner's rights and nobody else's are the default of a large object; all that differs is granted or revoked.
    let acl = if privileges {
        "IF o.acl IS NOT NULL THEN \
           IF o.owner IS NOT NULL THEN EXECUTE format('REVOKE ALL ON LARGE OBJECT %s FROM %I', o.oid, o.owner); END IF; \
           FOR p IN SELECT e->>'grantor' AS grantor, e->>'grantee' AS grantee, e->>'privilege' AS privilege, (e->>'grantable')::boolean AS grantable \
             FROM json_array_elements(o.acl::json) e LOOP \
             IF p.grantor <> o.owner THEN EXECUTE format('SET LOCAL ROLE %I', p.grantor); END IF; \
             EXECUTE format('GRANT %s ON LARGE OBJECT %s TO %s%s', p.privilege, o.oid, \
               CASE WHEN p.grantee IS NULL THEN 'PUBLIC' ELSE quote_ident(p.grantee) END, \
               CASE WHEN p.grantable THEN ' WITH GRANT OPTION' ELSE '' END); \
             RESET ROLE; \
           END LOOP; \
         END IF;"
    } else {
        ""
    };
    format!(
        "{replace}SET LOCAL search_path = pg_catalog, pg_temp; DO $pgcask$ DECLARE o record; p record; BEGIN \
         FOR o IN SELECT * {staged} LOOP \
         {owner} \
         IF o.comment IS NOT NULL THEN EXECUTE format('COMMENT ON LARGE OBJECT %s IS %L', o.oid, o.comment); END IF; \
         {acl} \
         FOR p IN SELECT e->>'provider' AS provider, e->>'label' AS label FROM json_array_elements(o.labels::json) e LOOP \
           EXECUTE format('SECURITY LABEL FOR %I ON LARGE OBJECT %s IS %L', p.provider, o.oid, p.label); END LOOP; \
         END LOOP; END $pgcask$",
        staged = of_batch(batch),
    )
}
