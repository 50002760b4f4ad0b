//! What names an object: the pair of catalog and OID that `pg_depend` uses. An OID alone is not unique: two catalogs
//! may use the same one.

use serde::{Deserialize, Serialize};

/// OIDs of the system catalogs; fixed in PostgreSQL's headers since each catalog exists (`src/include/catalog`).
pub mod class {
    macro_rules! classes {
        ($($(#[$doc:meta])* $name:ident = $oid:literal;)*) => { $(#[doc = concat!("OID of `", stringify!($name), "`.")] pub const $name: u32 = $oid;)* };
    }
    classes! {
        PG_TYPE = 1247;
        PG_PROC = 1255;
        PG_CLASS = 1259;
        PG_AUTHID = 1260;
        PG_DATABASE = 1262;
        PG_TABLESPACE = 1213;
        PG_FOREIGN_SERVER = 1417;
        PG_USER_MAPPING = 1418;
        PG_FOREIGN_DATA_WRAPPER = 2328;
        PG_AM = 2601;
        PG_ATTRDEF = 2604;
        PG_CAST = 2605;
        PG_CONSTRAINT = 2606;
        PG_CONVERSION = 2607;
        PG_INDEX = 2610;
        PG_INHERITS = 2611;
        PG_LANGUAGE = 2612;
        PG_LARGEOBJECT = 2613;
        PG_NAMESPACE = 2615;
        PG_OPCLASS = 2616;
        PG_OPERATOR = 2617;
        PG_REWRITE = 2618;
        PG_TRIGGER = 2620;
        PG_OPFAMILY = 2753;
        PG_LARGEOBJECT_METADATA = 2995;
        PG_EXTENSION = 3079;
        PG_POLICY = 3256;
        PG_STATISTIC_EXT = 3381;
        PG_COLLATION = 3456;
        PG_EVENT_TRIGGER = 3466;
        PG_TRANSFORM = 3576;
        PG_TS_DICT = 3600;
        PG_TS_PARSER = 3601;
        PG_TS_CONFIG = 3602;
        PG_TS_TEMPLATE = 3764;
        PG_SUBSCRIPTION = 6100;
        PG_PUBLICATION = 6104;
        PG_PUBLICATION_REL = 6106;
        PG_PUBLICATION_NAMESPACE = 6237;
        PG_DEFAULT_ACL = 826;
        PG_PARAMETER_ACL = 6243;
    }
}

/// An object's identity in the source database: serialised as `[class, oid]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct ObjectId {
    /// OID of the catalog that holds the object: see [`class`].
    pub class: u32,
    /// OID of the object's row there.
    pub oid: u32,
}

impl ObjectId {
    /// The object `oid` of catalog `class`.
    pub const fn new(class: u32, oid: u32) -> Self {
        Self { class, oid }
    }
}

impl From<(u32, u32)> for ObjectId {
    fn from((class, oid): (u32, u32)) -> Self {
        Self { class, oid }
    }
}

impl From<ObjectId> for (u32, u32) {
    fn from(id: ObjectId) -> Self {
        (id.class, id.oid)
    }
}
