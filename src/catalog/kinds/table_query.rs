//! The query of foreign tables, and what few tables have.

use crate::catalog::ident::class;
use crate::catalog::sql;
use crate::pg::ServerVersion;

/// The query of the relations of these kinds, with further columns (each followed by a comma) and joins. The columns of the
/// relations and the constraints that are created with them come from [`crate::catalog::facts`].
pub(super) fn query(server: ServerVersion, relkinds: &str, columns: &str, joins: &str) -> String {
    format!(
        "SELECT {id}, n.nspname AS schema, c.relname AS name, {owner}, {acl}, {more}\
           ('[' || pg_catalog.concat_ws(',', {row_type}, {row_array}) || ']')::pg_catalog.json AS also, \
           c.relpersistence = 'u' AS unlogged, \
           {rare}, \
           pg_catalog.array_to_json(c.reloptions OPERATOR(pg_catalog.||) CASE WHEN tc.reloptions IS NOT NULL THEN \
             (SELECT pg_catalog.array_agg('toast.' || o) FROM pg_catalog.unnest(tc.reloptions) o) END) AS options, \
           CASE WHEN am.amname <> 'heap' OR c.relkind = 'p' THEN am.amname END AS access_method, ts.spcname AS tablespace, \
           CASE WHEN c.relkind = 'f' THEN 'd' ELSE c.relreplident::pg_catalog.text END AS replica_identity, c.relrowsecurity AS row_security, \
           c.relforcerowsecurity AS force_row_security \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_type rt ON rt.oid = c.reltype \
         LEFT JOIN pg_catalog.pg_class tc ON tc.oid = c.reltoastrelid \
         LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
         LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace \
         {joins} WHERE c.relkind IN ({relkinds}) AND c.relpersistence <> 't' AND {user} AND {own} {order}",
        order = sql::by_names(&["n.nspname", "c.relname"]),
        id = sql::id(class::PG_CLASS, "c.oid"),
        owner = sql::owner("c.relowner"),
        acl = sql::acl("c.relacl"),
        more = columns,
        row_type = sql::identity(class::PG_TYPE, "c.reltype"),
        row_array = sql::identity(class::PG_TYPE, "CASE WHEN rt.typarray <> 0 THEN rt.typarray END"),
        rare = rare(server),
        user = sql::user_schema("c.relnamespace"),
        own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
    )
}

/// What few tables have: what comes from parents, partitioned tables and partitions, typed tables; for table `c`.
fn rare(server: ServerVersion) -> String {
    format!(
        "CASE WHEN {child} AND NOT c.relispartition THEN \
             (SELECT pg_catalog.json_agg(pg_catalog.format('%I.%I', pn.nspname, p.relname) ORDER BY h.inhseqno) \
             FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent \
             JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = c.oid) END AS inherits, \
           {child} \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attislocal) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('c', 'n') AND NOT k.conislocal) AS adopted, \
           {reordered} AS reordered, CASE WHEN {reordered} THEN {inherited_checks} END AS inherited_checks, \
           CASE WHEN c.relispartition THEN (SELECT pg_catalog.json_build_object(\
               'parent', pg_catalog.json_build_array({pg_class}, p.oid::pg_catalog.int8), \
               'parent_name', pg_catalog.format('%I.%I', pn.nspname, p.relname), \
               'half_detached', {half_detached}, 'bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid)) \
             FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent \
             JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = c.oid) END AS partition, \
           CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key, \
           CASE WHEN c.reloftype <> 0 THEN pg_catalog.format_type(c.reloftype, NULL) END AS of_type",
        child = CHILD,
        half_detached = if server.at_least(14) { "h.inhdetachpending" } else { "false" },
        reordered = reordered(),
        inherited_checks = inherited_checks(server),
        pg_class = class::PG_CLASS,
    )
}

/// A condition: table `c` has a parent.
const CHILD: &str = "c.oid IN (SELECT hc.inhrelid FROM pg_catalog.pg_inherits hc)";

/// An SQL expression: what table `c` has that few tables have, as the JSON text of a [`super::table::Table`]; null for most.
pub(in crate::catalog) fn unusual(server: ServerVersion) -> String {
    format!(
        "CASE WHEN c.relkind = 'p' OR c.relispartition OR c.reloftype <> 0 OR c.relam <> {HEAP} OR c.relreplident <> 'd' \
           OR c.relrowsecurity OR c.relforcerowsecurity OR {CHILD} THEN \
           (SELECT pg_catalog.to_json(x)::pg_catalog.text FROM (SELECT {rare}, \
             (SELECT am.amname FROM pg_catalog.pg_am am WHERE am.oid = c.relam AND (am.amname <> 'heap' OR c.relkind = 'p')) AS access_method, \
             c.relreplident::pg_catalog.text AS replica_identity, c.relrowsecurity AS row_security, \
             c.relforcerowsecurity AS force_row_security) x) END",
        rare = rare(server),
    )
}

/// OID of the access method `heap` in `pg_am`, fixed in PostgreSQL's headers.
const HEAP: u32 = 2;

/// A condition: the columns of table `c` are not in the order that `INHERITS` would give them, that is, those of the first
/// parent, those that the next one adds, its own.
fn reordered() -> String {
    "(c.oid IN (SELECT hc.inhrelid FROM pg_catalog.pg_inherits hc) AND NOT c.relispartition \
       AND (SELECT pg_catalog.array_agg(o.attname ORDER BY o.attnum) IS DISTINCT FROM pg_catalog.array_agg(o.attname ORDER BY o.parent, o.place, o.attnum) \
       FROM (SELECT a.attname, a.attnum, f.inhseqno AS parent, f.attnum AS place FROM pg_catalog.pg_attribute a \
         LEFT JOIN LATERAL (SELECT h.inhseqno, u.attnum FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_attribute u ON u.attrelid = h.inhparent \
           AND u.attname = a.attname AND u.attnum > 0 AND NOT u.attisdropped WHERE h.inhrelid = c.oid ORDER BY h.inhseqno LIMIT 1) f ON true \
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) o))"
        .to_owned()
}

/// CHECK constraints that table `c` has only from its parents, which make them when they are made.
fn inherited_checks(server: ServerVersion) -> String {
    let enforced = if server.at_least(18) { " AND k.conenforced" } else { "" };
    format!(
        "(SELECT pg_catalog.json_agg(pg_catalog.json_build_object('id', pg_catalog.json_build_array({pg_constraint}, k.oid::pg_catalog.int8), 'name', k.conname, \
           'definition', pg_catalog.pg_get_constraintdef(k.oid), 'local', false) ORDER BY k.conname) FROM pg_catalog.pg_constraint k \
           WHERE k.conrelid = c.oid AND k.contype = 'c' AND NOT k.conislocal AND k.convalidated{enforced} AND NOT {calls})",
        pg_constraint = class::PG_CONSTRAINT,
        calls = sql::calls_functions(class::PG_CONSTRAINT, "k.oid", false),
    )
}

/// A condition: constraint `k` of table `t` is a CHECK or NOT NULL constraint that is created with the table. It holds for
/// all rows, does not come from a parent, whose own may come late, and does not ask a function about other tables, whose
/// rows may not be there.
pub(super) fn is_inline(server: ServerVersion, t: &str) -> String {
    // Since PostgreSQL 18 constraints may not be enforced, and NOT NULL is one. It is inherited with the column.
    let enforced = if server.at_least(18) { " AND k.conenforced" } else { "" };
    let calls = sql::calls_functions(class::PG_CONSTRAINT, "k.oid", false);
    format!(
        "(k.convalidated{enforced} AND (k.contype = 'n' OR k.contype = 'c' AND (k.conislocal OR {t}.relispartition) AND NOT {calls}))"
    )
}
