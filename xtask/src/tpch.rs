//! TPC-H tables, their keys, and the generated rows streamed into them.

use std::fmt::{Display, Write as _};
use std::io::{BufWriter, Write as _};
use std::process::{ChildStdin, Stdio};

use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use crate::postgres::Postgres;
use crate::{Context, Result};

/// Eight tables as the specification has them.
const TABLES: &str = "
CREATE TABLE region (r_regionkey int NOT NULL, r_name char(25) NOT NULL, r_comment varchar(152));
CREATE TABLE nation (n_nationkey int NOT NULL, n_name char(25) NOT NULL, n_regionkey int NOT NULL, n_comment varchar(152));
CREATE TABLE part (p_partkey bigint NOT NULL, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL, p_brand char(10) NOT NULL,
  p_type varchar(25) NOT NULL, p_size int NOT NULL, p_container char(10) NOT NULL, p_retailprice numeric(15,2) NOT NULL,
  p_comment varchar(23) NOT NULL);
CREATE TABLE supplier (s_suppkey bigint NOT NULL, s_name char(25) NOT NULL, s_address varchar(40) NOT NULL,
  s_nationkey int NOT NULL, s_phone char(15) NOT NULL, s_acctbal numeric(15,2) NOT NULL, s_comment varchar(101) NOT NULL);
CREATE TABLE partsupp (ps_partkey bigint NOT NULL, ps_suppkey bigint NOT NULL, ps_availqty int NOT NULL,
  ps_supplycost numeric(15,2) NOT NULL, ps_comment varchar(199) NOT NULL);
CREATE TABLE customer (c_custkey bigint NOT NULL, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL,
  c_nationkey int NOT NULL, c_phone char(15) NOT NULL, c_acctbal numeric(15,2) NOT NULL, c_mktsegment char(10) NOT NULL,
  c_comment varchar(117) NOT NULL);
CREATE TABLE orders (o_orderkey bigint NOT NULL, o_custkey bigint NOT NULL, o_orderstatus char(1) NOT NULL,
  o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority char(15) NOT NULL, o_clerk char(15) NOT NULL,
  o_shippriority int NOT NULL, o_comment varchar(79) NOT NULL);";

/// The largest table: 72 % of all bytes.
const LINEITEM: &str = "
CREATE TABLE lineitem (l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber int NOT NULL,
  l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
  l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL,
  l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL,
  l_comment varchar(44) NOT NULL);";

/// Twelve indexes with the primary keys, and eight foreign keys.
const KEYS: &str = "
ALTER TABLE region ADD PRIMARY KEY (r_regionkey);
ALTER TABLE nation ADD PRIMARY KEY (n_nationkey);
ALTER TABLE part ADD PRIMARY KEY (p_partkey);
ALTER TABLE supplier ADD PRIMARY KEY (s_suppkey);
ALTER TABLE partsupp ADD PRIMARY KEY (ps_partkey, ps_suppkey);
ALTER TABLE customer ADD PRIMARY KEY (c_custkey);
ALTER TABLE orders ADD PRIMARY KEY (o_orderkey);
ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber);
CREATE INDEX lineitem_part_supp ON lineitem (l_partkey, l_suppkey);
CREATE INDEX lineitem_shipdate ON lineitem (l_shipdate);
CREATE INDEX orders_custkey ON orders (o_custkey);
CREATE INDEX partsupp_suppkey ON partsupp (ps_suppkey);
VACUUM (FREEZE, ANALYZE);
ALTER TABLE nation ADD FOREIGN KEY (n_regionkey) REFERENCES region;
ALTER TABLE supplier ADD FOREIGN KEY (s_nationkey) REFERENCES nation;
ALTER TABLE partsupp ADD FOREIGN KEY (ps_partkey) REFERENCES part;
ALTER TABLE partsupp ADD FOREIGN KEY (ps_suppkey) REFERENCES supplier;
ALTER TABLE customer ADD FOREIGN KEY (c_nationkey) REFERENCES nation;
ALTER TABLE orders ADD FOREIGN KEY (o_custkey) REFERENCES customer;
ALTER TABLE lineitem ADD FOREIGN KEY (l_orderkey) REFERENCES orders;
ALTER TABLE lineitem ADD FOREIGN KEY (l_partkey, l_suppkey) REFERENCES partsupp;";

/// All eight tables with their keys.
///
/// # Errors
/// When the server refuses a statement or psql cannot be run.
pub fn build(server: &Postgres, db: &str, scale: f64) -> Result<()> {
    server.sql(db, TABLES)?;
    server.sql(db, LINEITEM)?;
    copy(server, db, "region", RegionGenerator::new(scale, 1, 1).iter())?;
    copy(server, db, "nation", NationGenerator::new(scale, 1, 1).iter())?;
    copy(server, db, "part", PartGenerator::new(scale, 1, 1).iter())?;
    copy(server, db, "supplier", SupplierGenerator::new(scale, 1, 1).iter())?;
    copy(server, db, "partsupp", PartSuppGenerator::new(scale, 1, 1).iter())?;
    copy(server, db, "customer", CustomerGenerator::new(scale, 1, 1).iter())?;
    copy(server, db, "orders", OrderGenerator::new(scale, 1, 1).iter())?;
    copy(server, db, "lineitem", LineItemGenerator::new(scale, 1, 1).iter())?;
    server.sql(db, KEYS).map(drop)
}

/// One big table and nothing else.
///
/// # Errors
/// As [`build`].
pub fn build_big(server: &Postgres, db: &str, scale: f64) -> Result<()> {
    server.sql(db, LINEITEM)?;
    copy(server, db, "lineitem", LineItemGenerator::new(scale, 1, 1).iter())?;
    server.sql(db, "VACUUM (FREEZE, ANALYZE)").map(drop)
}

/// Streams generated rows into a table. They come as `a|b|c|`; the last bar is one too many for COPY.
fn copy(server: &Postgres, db: &str, table: &str, rows: impl Iterator<Item = impl Display>) -> Result<()> {
    let mut psql = server.client("psql", db)?;
    psql.args(["-Xqc", &format!("COPY {table} FROM STDIN WITH (DELIMITER '|')")]).stdin(Stdio::piped());
    let mut child = psql.spawn().context(|| "start psql".to_owned())?;
    let stdin = child.stdin.take().ok_or("psql has no stdin")?;
    let written = write_rows(stdin, rows);
    let status = child.wait()?;
    written.context(|| format!("send rows of {table}"))?;
    if status.success() { Ok(()) } else { Err(format!("COPY {table} failed: {status}").into()) }
}

fn write_rows(stdin: ChildStdin, rows: impl Iterator<Item = impl Display>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, stdin);
    let mut line = String::new();
    for row in rows {
        line.clear();
        write!(line, "{row}")?;
        line.pop();
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(out.flush()?)
}
