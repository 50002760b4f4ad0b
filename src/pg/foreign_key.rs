//! What the catalog says of foreign keys, for those who compare their rows.

/// An SQL expression: the columns of foreign key `k`, a row of `pg_constraint`, as a JSON array of arrays: referencing column,
/// referenced column, and the equality `referenced = referencing`, as an operator.
pub const COLUMNS: &str = "(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, b.attname, \
        pg_catalog.format('OPERATOR(%I.%s)', pn.nspname, o.oprname)) ORDER BY u.at) \
      FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conpfeqop)) \
        WITH ORDINALITY AS u(own, other, operator, at) \
      JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.own \
      JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.other \
      JOIN pg_catalog.pg_operator o ON o.oid = u.operator JOIN pg_catalog.pg_namespace pn ON pn.oid = o.oprnamespace)";
