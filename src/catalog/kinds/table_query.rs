//! The query of tables, ordinary and foreign.

use super::column::{Column, NotNull};
use crate::catalog::ident::class;
use crate::catalog::sql;
use crate::pg::ServerVersion;

/// The query of the relations of these kinds, with further columns (each followed by a comma) and joins.
pub(super) fn query(server: ServerVersion, relkinds: &str, columns: &str, joins: &str) -> String {
    format!(
        "SELECT {id}, n.nspname AS schema, c.relname AS name, {owner}, {acl}, {more}{columns} AS columns, \
           (SELECT pg_catalog.json_agg(i.id) FROM (\
             SELECT pg_catalog.json_build_array({pg_type}, c.reltype::pg_catalog.int8) AS id \
             UNION ALL SELECT pg_catalog.json_build_array({pg_type}, t.typarray::pg_catalog.int8) FROM pg_catalog.pg_type t WHERE t.oid = c.reltype AND t.typarray <> 0 \
             UNION ALL SELECT pg_catalog.json_build_array({pg_attrdef}, d.oid::pg_catalog.int8) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid \
             UNION ALL SELECT pg_catalog.json_build_array({pg_constraint}, k.oid::pg_catalog.int8) FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND {inline}) i) AS also, \
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('id', pg_catalog.json_build_array({pg_constraint}, k.oid::pg_catalog.int8), 'name', k.conname, \
               'definition', pg_catalog.pg_get_constraintdef(k.oid), 'local', k.conislocal, \
               'comment', pg_catalog.obj_description(k.oid, 'pg_constraint')) ORDER BY k.conname) \
             FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND {inline}) AS checks, \
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('column', a.attname, 'acl', {system_acl}) ORDER BY a.attnum DESC) \
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum < 0 AND a.attacl IS NOT NULL) AS system_acls, \
           {not_nulls} AS not_nulls, c.relpersistence = 'u' AS unlogged, \
           (SELECT pg_catalog.json_agg(pg_catalog.format('%I.%I', pn.nspname, p.relname) ORDER BY h.inhseqno) \
             FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent \
             JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
             WHERE h.inhrelid = c.oid AND NOT c.relispartition) AS inherits, \
           NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attislocal) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('c', 'n') AND NOT k.conislocal) AS adopted, \
           CASE WHEN c.relispartition THEN (SELECT pg_catalog.json_build_object(\
               'parent', pg_catalog.json_build_array({pg_class}, p.oid::pg_catalog.int8), \
               'parent_name', pg_catalog.format('%I.%I', pn.nspname, p.relname), \
               'bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid)) \
             FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent \
             JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = c.oid) END AS partition, \
           CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key, \
           CASE WHEN c.reloftype <> 0 THEN pg_catalog.format_type(c.reloftype, NULL) END AS of_type, \
           pg_catalog.array_to_json(c.reloptions OPERATOR(pg_catalog.||) (SELECT pg_catalog.array_agg('toast.' || o) FROM pg_catalog.pg_class tc, \
             pg_catalog.unnest(tc.reloptions) o WHERE tc.oid = c.reltoastrelid)) AS options, \
           CASE WHEN am.amname <> 'heap' OR c.relkind = 'p' THEN am.amname END AS access_method, ts.spcname AS tablespace, \
           CASE WHEN c.relkind = 'f' THEN 'd' ELSE c.relreplident::pg_catalog.text END AS replica_identity, c.relrowsecurity AS row_security, \
           c.relforcerowsecurity AS force_row_security \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
         LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace \
         {joins} WHERE c.relkind IN ({relkinds}) AND c.relpersistence <> 't' AND {user} AND {own} ORDER BY n.nspname, c.relname",
        id = sql::id(class::PG_CLASS, "c.oid"),
        owner = sql::owner("c.relowner"),
        acl = sql::acl("c.relacl"),
        system_acl = sql::acl_json("a.attacl"),
        more = columns,
        columns = Column::json("c", server),
        not_nulls = NotNull::json("c", server),
        inline = is_inline(server, "c"),
        pg_type = class::PG_TYPE,
        pg_class = class::PG_CLASS,
        pg_attrdef = class::PG_ATTRDEF,
        pg_constraint = class::PG_CONSTRAINT,
        user = sql::user_schema("c.relnamespace"),
        own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
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
