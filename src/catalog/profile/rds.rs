//! Amazon RDS and Aurora. The names are those of the manual's chapter "Understanding PostgreSQL roles and permissions".

use super::Rules;

/// What an instance of RDS has of its own.
pub(super) const RULES: Rules = Rules {
    name: "rds",
    // Nobody outside the platform can act as these, so that what they own is never a user's.
    owners_anywhere: &["rdsadmin", "rdsrepladmin", "rdsproxyadmin", "rdstopmgr", "rdswriteforwarduser"],
    roles: &["rds_*", "rdsadmin", "rdsrepladmin", "rdsproxyadmin", "rdstopmgr", "rdswriteforwarduser"],
    schemas: &["rds_tools"],
    data: &[],
    bookkeeping: &[],
    not_portable: &[],
    certain: "pg_catalog.to_regrole('rds_superuser') IS NOT NULL \
              AND pg_catalog.to_regrole('rdsadmin') IS NOT NULL",
};
